#include "agent/api/gpu_view.hpp"

namespace berth::api {

wire::Gpu told(const gpu::Gpu& gpu, const gpus::Ledger& ledger) {
  wire::Gpu out;
  out.uuid = gpu.uuid;
  out.index = gpu.index;
  out.label = gpu.label();
  out.name = gpu.name;
  out.memory = gpu.memory;
  out.used = gpu.used;
  out.utilisation = gpu.utilisation;
  out.jobs = ledger.holders_of(gpu.uuid);
  out.withheld = gpu.withheld;
  if (gpu.mig) out.mig = {gpu.mig->parent, gpu.mig->profile};
  out.capability = gpu::to_text(gpu.capability);
  return out;
}

wire::Nvidia nvidia_told(const gpus::Ledger& ledger) {
  const auto& survey = ledger.survey();
  wire::Nvidia out;
  if (survey.driver) out.driver = gpu::driver_text(*survey.driver);
  if (survey.cuda) out.cuda = gpu::to_text(*survey.cuda);
  out.notes = survey.notes;
  return out;
}

wire::Gpus told(const gpus::Ledger& ledger) {
  wire::Gpus out;
  for (const auto& gpu : ledger.gpus()) out.gpus.push_back(told(gpu, ledger));
  out.nvidia = nvidia_told(ledger);
  return out;
}

std::vector<std::string> remarks_of(const gpus::Ledger& ledger) {
  std::vector<std::string> remarks;
  for (const auto& gpu : ledger.gpus())
    if (ledger.is_unwell(gpu.uuid)) remarks.push_back(gpu.label() + " is withheld: " + gpu.withheld.value_or(""));
  return remarks;
}

}  // namespace berth::api
