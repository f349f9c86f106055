#pragma once

// One caller's wait for an environment, as the caller sees it: for which build, since when, and where its log
// is. Only for the loop's thread.

#include <sys/types.h>

#include <optional>
#include <set>
#include <string>

#include "runtime/async/event.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/digest.hpp"

namespace berth::environment {

class Waiting {
 public:
  struct Build {
    Digest digest;
    std::optional<uid_t> owner;  // whose alone it will be; nothing: for all
    std::string words;     // "conda environment (python=3.11, numpy and 12 more)"
    bool running = false;  // false: it waits until other builds are done
    Instant since{};       // of this state
    // The file that its output goes to; "" before there is one. Make a hard link of it: it grows on under
    // that name, and stays when the build has failed and its directory is gone.
    std::string log;
    std::set<uid_t> wanted_by;  // who waits for it; told of all builds together, not to each who waits
  };

  Waiting() = default;
  explicit Waiting(uid_t who) : who_(who) {}  // on whose behalf
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  const std::optional<uid_t>& who() const { return who_; }
  // Nothing while no build is waited for. After the wait it tells of the last one.
  const std::optional<Build>& build() const { return build_; }
  // "waits for the conda environment 3fa9c1… (python=3.11), building for 40 seconds"; "" without a build.
  std::string description(Instant now) const;
  // That build() has changed, or abandon() was called.
  async::Event& changed() { return changed_; }

  // The caller does not want it any more: ensure() throws Cancelled, and a build for which nobody else waits
  // is stopped. A stop of the waiting coroutine itself leaves the build running, for it means that the agent
  // ends.
  void abandon();
  bool abandoned() const { return abandoned_; }
  async::Task<> until_abandoned();

  // By who builds.
  void tell(Build build);

 private:
  std::optional<uid_t> who_;
  std::optional<Build> build_;
  bool abandoned_ = false;
  async::Event changed_;
};

}  // namespace berth::environment
