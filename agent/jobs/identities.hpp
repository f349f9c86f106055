#pragma once

// Whom jobs run as: the user databases, which may be far away, asked every few seconds at most. Belongs to the loop.

#include <string>
#include <unordered_map>

#include "agent/jobs/lanes.hpp"
#include "runtime/async/task.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/os/identity.hpp"

namespace berth::jobs {

class Identities {
 public:
  Identities(JobLanes& lanes, const Clock& clock) : lanes_(lanes), clock_(clock) {}

  // Code::not_found for a user who does not exist any more. While nobody can be asked, what they said last.
  async::Task<os::Identity> of(uid_t uid);
  // What they call him; the number as text where they cannot be asked, or know none.
  async::Task<std::string> name_of(uid_t uid);

 private:
  struct Known {
    os::Identity identity;
    Steady until;
  };

  JobLanes& lanes_;
  const Clock& clock_;
  std::unordered_map<uid_t, Known> known_;
};

}  // namespace berth::jobs
