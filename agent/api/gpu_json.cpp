#include "agent/api/gpu_json.hpp"

#include <nlohmann/json.hpp>

namespace berth::api {
namespace {

using nlohmann::json;

template <class T, class F>
json or_null(const std::optional<T>& value, F convert) {
  return value ? json(convert(*value)) : json(nullptr);
}

}  // namespace

json gpu_json(const gpu::Gpu& gpu, const gpus::Ledger& ledger) {
  return {{"uuid", gpu.uuid},
          {"index", gpu.index},
          {"label", gpu.label()},
          {"name", gpu.name},
          {"memory_bytes", gpu.memory.bytes()},
          {"used_bytes", or_null(gpu.used, [](ByteSize used) { return used.bytes(); })},
          {"utilisation", or_null(gpu.utilisation, [](unsigned percent) { return percent; })},
          {"jobs", ledger.holders_of(gpu.uuid)},
          {"withheld", or_null(gpu.withheld, [](const std::string& why) { return why; })},
          {"mig", or_null(gpu.mig,
                          [](const gpu::Mig& mig) {
                            return json{{"parent", mig.parent}, {"profile", mig.profile}};
                          })},
          {"capability", gpu::to_text(gpu.capability)}};
}

json gpus_json(const gpus::Ledger& ledger) {
  json gpus = json::array();
  for (const auto& gpu : ledger.gpus()) gpus.push_back(gpu_json(gpu, ledger));
  return gpus;
}

json nvidia_json(const gpus::Ledger& ledger) {
  const auto& survey = ledger.survey();
  return {{"driver", or_null(survey.driver, gpu::driver_text)},
          {"cuda", or_null(survey.cuda, gpu::to_text)},
          {"notes", survey.notes}};
}

std::vector<std::string> remarks_of(const gpus::Ledger& ledger) {
  std::vector<std::string> remarks;
  for (const auto& gpu : ledger.gpus())
    if (ledger.is_unwell(gpu.uuid)) remarks.push_back(gpu.label() + " is withheld: " + gpu.withheld.value_or(""));
  return remarks;
}

}  // namespace berth::api
