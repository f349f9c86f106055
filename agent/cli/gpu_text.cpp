#include "agent/cli/gpu_text.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/cli/table.hpp"
#include "agent/wire/json_text.hpp"
#include "agent/wire/node.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"

namespace berth::cli {
namespace {

constexpr std::size_t kShortUuid = 12;  // "GPU-8f6e2c11"

// "GPU 3 MIG 1g.10gb" → "3 MIG 1g.10gb"
std::string number_of(const wire::Gpu& gpu) {
  const auto label = printable(gpu.label);
  return label.starts_with("GPU ") ? label.substr(4) : label;
}

// How much of the UUIDs tells them apart.
std::size_t telling_length(const std::vector<wire::Gpu>& gpus) {
  std::size_t longest = 0;
  for (const auto& gpu : gpus) longest = std::max(longest, gpu.uuid.size());
  for (auto length = kShortUuid; length < longest; ++length) {
    std::set<std::string> beginnings;
    for (const auto& gpu : gpus) beginnings.insert(gpu.uuid.substr(0, length));
    if (beginnings.size() == gpus.size()) return length;
  }
  return longest;
}

// "41 GiB of 80 GiB"
std::string memory_of(const wire::Gpu& gpu) {
  return (gpu.used ? to_text(*gpu.used) + " of " : "") + to_text(gpu.memory);
}

std::string jobs_of(const wire::Gpu& gpu) {
  std::string jobs;
  for (const auto& job : gpu.jobs) jobs += (jobs.empty() ? "" : ", ") + printable(job.value());
  return jobs;
}

Cell state_of(const wire::Gpu& gpu) {
  if (gpu.withheld) return {"withheld: " + printable(*gpu.withheld), Style::yellow};
  return gpu.jobs.empty() ? Cell{"free"} : Cell{"in use"};
}

std::string none(const wire::Nvidia& nvidia) {
  std::string text = "no GPUs";
  for (const auto& note : nvidia.notes) text += ": " + printable(note);
  return text + "\n";
}

}  // namespace

std::string gpus_table(const wire::Gpus& told, const Screen& screen) {
  const auto& gpus = told.gpus;
  if (gpus.empty()) return none(told.nvidia);
  const auto length = telling_length(gpus);
  Table table({{"GPU"}, {"UUID"}, {"NAME", 12}, {"MEMORY"}, {"BUSY"}, {"JOBS", 12}, {"STATE", 20}});
  for (const auto& gpu : gpus)
    table.add({{number_of(gpu)},
               {printable(gpu.uuid.substr(0, length))},
               {printable(gpu.name)},
               {memory_of(gpu)},
               {gpu.utilisation ? std::to_string(*gpu.utilisation) + "%" : ""},
               {jobs_of(gpu)},
               state_of(gpu)});
  return table.text(screen);
}

wire::Gpus gpus_from_json(std::string_view answer) {
  return message_from<wire::Gpus>(wire::parse_json(answer), "GPUs");
}

}  // namespace berth::cli
