#include "runtime/shim/live_use.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/cgroup.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/process_use.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::shim {
namespace {

std::optional<Started> started_in(const std::string& directory) {
  try {
    const auto text = os::read_plain_if_exists(os::join(directory, kStartedFile), os::trusted_file(), 1U << 20);
    if (text) return started_from_text(*text);
  } catch (const Error&) {  // of a version that this one cannot read
  }
  return std::nullopt;
}

// The sum over the job's processes. What ended children used has gone to those who waited for them, in the
// end to the supervisor, whose own CPU time is not the job's.
LiveUse sum_of(const std::vector<pid_t>& processes, const Started& started) {
  LiveUse sum;
  const auto shim = os::process_id(started.shim.pid) == started.shim ? os::use_of(started.shim.pid) : std::nullopt;
  if (shim) {
    sum.cpu = shim->children_cpu;
    sum.read = shim->read;
    sum.written = shim->written;
  }
  for (const auto pid : processes) {
    const auto use = os::use_of(pid);
    if (!use) continue;
    ++sum.processes;
    sum.cpu += use->cpu + use->children_cpu;
    sum.memory += use->resident;
    sum.peak_memory = std::max(sum.peak_memory, use->peak_resident);
    sum.read += use->read;
    sum.written += use->written;
  }
  return sum;
}

// Where the group knows better.
void correct(LiveUse& use, const os::Cgroup& group) {
  if (const auto cpu = group.cpu_micros()) use.cpu = std::chrono::microseconds(cpu->total);
  if (const auto memory = group.current_memory()) use.memory = *memory;
  if (const auto peak = group.peak_memory()) use.peak_memory = *peak;
  use.memory_limit = group.memory_limit();
  if (const auto io = group.io_bytes()) {
    use.read = io->read;
    use.written = io->written;
  }
}

}  // namespace

std::optional<LiveUse> LiveUseReader::of(const std::string& directory) {
  const auto started = started_in(directory);
  if (!started || os::exists(os::join(directory, kEndingFile))) return std::nullopt;
  const auto group = started->cgroup.empty() ? std::nullopt : os::Cgroup::open(started->cgroup);
  auto use = sum_of(group ? group->processes() : tree().descendants_of(started->shim.pid), *started);
  if (group) correct(use, *group);
  use.peak_memory = std::max(use.peak_memory, use.memory);
  return use;
}

const os::ProcessTree& LiveUseReader::tree() {
  if (!tree_) tree_.emplace();
  return *tree_;
}

}  // namespace berth::shim
