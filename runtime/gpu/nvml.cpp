#include "runtime/gpu/nvml.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/gpu/nvml_session.hpp"

namespace berth::gpu {
namespace {

const std::string& whole_uuid(const Gpu& gpu) { return gpu.mig ? gpu.mig->parent : gpu.uuid; }

}  // namespace

Nvml::Nvml(NvmlSettings settings) : settings_(std::move(settings)) {}

Nvml::~Nvml() = default;

Survey Nvml::survey() {
  const std::lock_guard lock(mutex_);
  Survey survey;
  std::set<std::string> answered;
  try {
    if (!session_) session_ = std::make_unique<nvml::Session>(settings_.library, settings_.capabilities);
    answered = session_->look(survey);
  } catch (const Error& error) {
    survey.notes.push_back(error.describe());
    survey.driver_expected = error.code() != Code::not_found;
    session_.reset();
  }
  keep_numbers(survey);
  withhold_troubled(survey);
  add_lost(survey, answered);
  known_ = survey.gpus;
  return survey;
}

void Nvml::forgive(const std::string& uuid) {
  const std::lock_guard lock(mutex_);
  troubles_.erase(uuid);
  std::erase_if(known_, [&](const Gpu& gpu) { return gpu.lost && whole_uuid(gpu) == uuid; });
}

void Nvml::recall(std::vector<Gpu> known, std::map<std::string, Trouble> troubles) {
  const std::lock_guard lock(mutex_);
  known_ = std::move(known);
  troubles_ = std::move(troubles);
}

// NVML counts anew when one has gone.
void Nvml::keep_numbers(Survey& survey) const {
  for (auto& gpu : survey.gpus)
    for (const auto& known : known_)
      if (whole_uuid(known) == whole_uuid(gpu)) gpu.index = known.index;
}

void Nvml::withhold_troubled(Survey& survey) {
  std::erase_if(troubles_, [&](const auto& entry) {
    const auto& told_by = entry.second.driver;
    return told_by && survey.driver && told_by != survey.driver;
  });
  for (const auto& fault : survey.faults)
    if (!is_programs_fault(fault.xid)) troubles_.emplace(fault.uuid, Trouble{fault.xid, survey.driver});
  for (auto& gpu : survey.gpus)
    if (const auto found = troubles_.find(whole_uuid(gpu)); found != troubles_.end() && !gpu.withheld)
      gpu.withheld = xid_in_words(found->second.xid) + ": see dmesg; reboot, or reset the GPU and `berth gpu resume " +
                     std::to_string(gpu.index) + "`";
  survey.troubles = troubles_;
}

// An instance whose GPU answers was taken away by the administrator, as was a GPU that is in MIG mode now.
void Nvml::add_lost(Survey& survey, const std::set<std::string>& answered) {
  for (auto gpu : known_) {
    if (answered.contains(whole_uuid(gpu))) continue;
    gpu.withheld = "it does not answer any more: it has fallen off the bus, or its driver was unloaded";
    if (const auto found = troubles_.find(whole_uuid(gpu)); found != troubles_.end())
      gpu.withheld = "it does not answer any more after " + xid_in_words(found->second.xid);
    gpu.lost = true;
    gpu.processes.clear();
    gpu.used.reset();
    gpu.utilisation.reset();
    survey.gpus.push_back(std::move(gpu));
  }
  std::stable_sort(survey.gpus.begin(), survey.gpus.end(),
                   [](const Gpu& a, const Gpu& b) { return a.index < b.index; });
}

}  // namespace berth::gpu
