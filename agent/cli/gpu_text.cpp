#include "agent/cli/gpu_text.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/cli/table.hpp"
#include "agent/model/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"

namespace berth::cli {
namespace {

using nlohmann::json;

constexpr std::size_t kShortUuid = 12;  // "GPU-8f6e2c11"

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? printable(found->get<std::string>()) : std::string();
}

json list_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : json::array();
}

std::string size_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? to_text(ByteSize(found->get<std::uint64_t>())) : "";
}

// "GPU 3 MIG 1g.10gb" → "3 MIG 1g.10gb"
std::string number_of(const json& gpu) {
  const auto label = text_at(gpu, "label");
  return label.starts_with("GPU ") ? label.substr(4) : label;
}

// How much of the UUIDs tells them apart.
std::size_t telling_length(const json& gpus) {
  std::size_t longest = 0;
  for (const auto& gpu : gpus) longest = std::max(longest, text_at(gpu, "uuid").size());
  for (auto length = kShortUuid; length < longest; ++length) {
    std::set<std::string> beginnings;
    for (const auto& gpu : gpus) beginnings.insert(text_at(gpu, "uuid").substr(0, length));
    if (beginnings.size() == gpus.size()) return length;
  }
  return longest;
}

// "41 GiB of 80 GiB"
std::string memory_of(const json& gpu) {
  const auto used = size_at(gpu, "used_bytes");
  return (used.empty() ? "" : used + " of ") + size_at(gpu, "memory_bytes");
}

std::string busy_of(const json& gpu) {
  const auto found = gpu.find("utilisation");
  return found != gpu.end() && found->is_number_unsigned() ? std::to_string(found->get<unsigned>()) + "%" : "";
}

std::string jobs_of(const json& gpu) {
  std::string jobs;
  for (const auto& job : list_at(gpu, "jobs"))
    if (job.is_string()) jobs += (jobs.empty() ? "" : ", ") + printable(job.get<std::string>());
  return jobs;
}

Cell state_of(const json& gpu) {
  if (const auto withheld = text_at(gpu, "withheld"); !withheld.empty())
    return {"withheld: " + withheld, Style::yellow};
  return list_at(gpu, "jobs").empty() ? Cell{"free"} : Cell{"in use"};
}

std::string none(const json& answer) {
  std::string text = "no GPUs";
  for (const auto& note : list_at(answer.value("nvidia", json::object()), "notes"))
    if (note.is_string()) text += ": " + printable(note.get<std::string>());
  return text + "\n";
}

}  // namespace

std::string gpus_table(std::string_view answer, const Screen& screen) {
  const auto told = model::parse_json(answer);
  const auto gpus = list_at(told, "gpus");
  if (gpus.empty()) return none(told);
  const auto length = telling_length(gpus);
  Table table({{"GPU"}, {"UUID"}, {"NAME", 12}, {"MEMORY"}, {"BUSY"}, {"JOBS", 12}, {"STATE", 20}});
  for (const auto& gpu : gpus)
    table.add({{number_of(gpu)},
               {text_at(gpu, "uuid").substr(0, length)},
               {text_at(gpu, "name")},
               {memory_of(gpu)},
               {busy_of(gpu)},
               {jobs_of(gpu)},
               state_of(gpu)});
  return table.text(screen);
}

}  // namespace berth::cli
