#include "runtime/os/priority.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

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

void when_memory_runs_out(WithoutMemory what) noexcept {
  if (what == WithoutMemory::as_any && ::getuid() != 0) return;
  const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  const std::string_view score = what == WithoutMemory::goes_first ? "1000" : "0";
  [[maybe_unused]] const auto written = ::write(file, score.data(), score.size());
  ::close(file);
}

}  // namespace berth::os
