#pragma once

// The long work that the agent does for the owners of jobs, each kind apart, so that nobody's wait for one is a wait
// for another. Owners are uids, and the agent, which clears away what nobody owns.

#include "runtime/async/lanes.hpp"

namespace berth::jobs {

constexpr auto kAgentsOwn = ~async::Lanes::Owner{0};

struct JobLanes {
  async::Lanes preparing{{2, 4}};   // code brought to disk
  async::Lanes collecting{{1, 3}};  // outputs
  async::Lanes removing{{1, 3}};    // what jobs left
  async::Lanes names{{1, 4}};       // the user databases, which may be far away
};

}  // namespace berth::jobs
