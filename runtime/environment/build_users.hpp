#pragma once

// Users that builds run as: numbers that nobody else has. Each build of an environment for all gets one of its own, for
// as long as it lives; those for one person run as that person's own build user, to whom the person's cache of
// downloads belongs. Thread-safe.

#include <sys/types.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "runtime/base/digest.hpp"
#include "runtime/os/identity.hpp"

namespace berth::environment {

struct UserRange {
  uid_t first = 1'900'000'000;  // systemd's table of user ids has this part as unused
  uid_t count = 4096;
  friend bool operator==(const UserRange&, const UserRange&) = default;
};

class BuildUsers {
 public:
  // `caches`: the directory with one for each person, named by the uid.
  BuildUsers(std::optional<UserRange> range, std::string caches) : range_(range), caches_(std::move(caches)) {}

  bool any() const { return range_.has_value(); }

  // Nobody runs as him but builds of the same person. Code::unavailable where all are taken.
  os::Identity take(const Digest& build, std::optional<uid_t> person);
  // What take() gave to a build of an earlier agent; another user, who may run more than builds, is none of these.
  void adopt(const Digest& build, uid_t user);
  // Kills what he still runs, unless he has another build: after the end of the build, before its files are touched.
  void stop(const Digest& build);
  // Stops him, and lets others have him.
  void release(const Digest& build);

 private:
  uid_t free_one() const;
  uid_t user_of(uid_t person) const;
  bool has_other(const Digest& build, uid_t user) const;

  const std::optional<UserRange> range_;
  const std::string caches_;
  std::mutex mutex_;
  std::map<Digest, uid_t> taken_;
};

os::Identity build_identity_of(uid_t user);

}  // namespace berth::environment
