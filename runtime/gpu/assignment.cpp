#include "runtime/gpu/assignment.hpp"

namespace berth::gpu {
namespace {

std::string in_words(const Process& process, const Owner& owner) {
  auto text = "pid " + std::to_string(process.pid);
  std::string details = owner.words;
  if (process.memory) details += (details.empty() ? "" : ", ") + to_text(*process.memory);
  return details.empty() ? text : text + " (" + details + ")";
}

// "used by pid 1 (…) and 2 more processes, none of them a job's"
std::string in_words(const std::vector<std::string>& foreign) {
  auto text = "used by " + foreign.front();
  if (foreign.size() == 1) return text + ", which is no job's";
  const auto more = foreign.size() - 1;
  return text + " and " + std::to_string(more) + (more == 1 ? " more process" : " more processes") +
         ", none of them a job's";
}

}  // namespace

Assignment assignment_of(const std::vector<Gpu>& gpus, const OwnerOf& owner_of, ByteSize tolerated) {
  Assignment assignment;
  for (const auto& gpu : gpus) {
    std::vector<std::string> foreign;
    for (const auto& process : gpu.processes) {
      const auto owner = owner_of(process.pid);
      if (owner.job) {
        auto& memory = assignment.jobs[*owner.job][gpu.uuid];
        memory = ByteSize(memory.bytes() + process.memory.value_or(ByteSize()).bytes());
      } else if (!process.memory || *process.memory > tolerated) {
        foreign.push_back(in_words(process, owner));
      }
    }
    if (!foreign.empty()) assignment.foreign[gpu.uuid] = in_words(foreign);
  }
  return assignment;
}

void withhold(std::vector<Gpu>& gpus, const Assignment& assignment) {
  for (auto& gpu : gpus)
    if (const auto found = assignment.foreign.find(gpu.uuid); found != assignment.foreign.end() && !gpu.withheld)
      gpu.withheld = found->second;
}

}  // namespace berth::gpu
