#include "runtime/os/priority.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

namespace berth::os {
namespace {

constexpr int kPrompt = 10;  // steps of niceness
constexpr int kNicest = 19;

// Read before main(): when nothing has changed it yet.
const int usual = ::getpriority(PRIO_PROCESS, 0);

// Linux has a niceness for each thread.
void set(int niceness) noexcept {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), std::clamp(niceness, -20, kNicest));
}

}  // namespace

void be_prompt() noexcept { set(usual - kPrompt); }
void be_usual() noexcept { set(usual); }
void be_nice(int by) noexcept { set(usual + by); }

}  // namespace berth::os
