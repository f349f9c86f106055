#pragma once

// What a build needs on disk, and what becomes of it: the half of Builds that blocks. Thread-safe.

#include <chrono>
#include <optional>
#include <string>

#include "runtime/base/digest.hpp"
#include "runtime/base/units.hpp"
#include "runtime/environment/build_users.hpp"
#include "runtime/environment/cache.hpp"
#include "runtime/environment/downloads.hpp"
#include "runtime/environment/recipe.hpp"
#include "runtime/os/cgroup.hpp"
#include "runtime/os/identity.hpp"
#include "runtime/shim/client.hpp"

namespace berth::environment {

struct BuildSettings {
  std::string directory;  // the cache's
  std::string shim_program;
  std::optional<os::Identity> identity;  // whom builds run as; nothing: who this process is
  std::optional<UserRange> users;        // instead, where users are told apart
  bool sandbox = false;                  // os::Sandbox works here: builds see nothing but what is theirs
  std::string why_no_sandbox;            // for people, where it does not
  std::string hidden;                    // from them: the agent's own directory
  std::string cgroup_base;               // builds get groups below it; "" for none, and so without limits
  os::Limits limits;                     // of each build
  std::chrono::milliseconds time_limit = std::chrono::hours(2);
  std::chrono::milliseconds stop_grace = std::chrono::seconds(5);
  std::size_t at_once = 2;
  std::string path = "/usr/local/bin:/usr/bin:/bin";  // the builds' PATH
  ByteSize log_cap = 64_MiB;
  ByteSize least_space = 256_MiB;  // free on the disk, or no build begins
};

class BuildDirectories {
 public:
  // Makes the tools' cache a directory of the build user, where there is one for all.
  BuildDirectories(const BuildSettings& settings, Cache& cache);

  std::string launch_directory(const Digest& digest) const;
  std::string log_file(const Digest& digest) const;

  // Clears away what an earlier build left, and writes all that the recipe needs. Code::no_space where the
  // disk is too full to begin.
  shim::Launch prepare(const Digest& digest, const Recipe& recipe);

  // A build that an earlier agent began within this boot; nothing where none was begun, or a reboot ended it.
  struct Begun {
    std::string kind;
    std::string words;
    std::string canonical;
    Instant since{};
    std::optional<os::Identity> identity;
    std::optional<uid_t> owner;
    std::optional<uid_t> asker;
  };
  std::optional<Begun> begun(const Digest& digest) const;

  // Keeps its user for it, until it is settled or abandoned.
  void adopt(const Digest& digest, const Begun& begun);

  // After the end of its process tree: the environment, or the Error that tells why there is none. After the
  // latter call abandon().
  Leased settle(const Digest& digest, const shim::Condition& condition);

  // Keeps the log of a build that failed, tells where ("" where there is none), and removes all else.
  std::string abandon(const Digest& digest);

  // Those of the builds that are prepared or adopted here, until they are settled or abandoned.
  Downloads& downloads() { return downloads_; }

 private:
  std::string work_directory(const Digest& digest) const;
  using Who = std::optional<os::Identity>;  // builds

  Who take_user(const Digest& digest, const Recipe& recipe);
  void hand_over(const std::string& path, const Who& who) const;
  void write_files(const std::string& work, const Recipe& recipe, const Who& who) const;
  void record(const Digest& digest, const Recipe& recipe, const Who& who) const;
  std::string make_tools_cache(const Digest& digest, const Recipe& recipe, const Who& who);
  os::Sandbox sandbox(const Digest& digest, const Recipe& recipe, const std::string& tools_cache) const;
  std::vector<std::string> variables(const Digest& digest, const Recipe& recipe, const std::string& tools_cache) const;
  Leased complete(const Digest& digest, const shim::Ended& ended);
  void release(const Digest& digest);
  std::string result_of(const Digest& digest) const;
  void prune_failed_logs(const std::string& newest) const;

  const BuildSettings& settings_;
  Cache& cache_;
  BuildUsers users_;
  Downloads downloads_;
};

}  // namespace berth::environment
