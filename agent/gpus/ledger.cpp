#include "agent/gpus/ledger.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/gpu/visibility.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::gpus {
namespace {

constexpr const char* kNotOffered = "the agent's configuration does not offer it (gpus)";

const std::string& whole_uuid(const gpu::Gpu& gpu) { return gpu.mig ? gpu.mig->parent : gpu.uuid; }

std::string in_words(const Record::Drained& said) {
  return "taken out of use by " + said.by + (said.reason.empty() ? "" : ": " + said.reason);
}

// What follows "PREFIX/" in the path, up to the next slash.
std::optional<std::string> name_below(std::string_view path, std::string_view prefix) {
  if (prefix.empty() || !path.starts_with(prefix)) return std::nullopt;
  path.remove_prefix(prefix.size());
  if (!path.starts_with('/')) return std::nullopt;
  path.remove_prefix(1);
  const auto name = path.substr(0, path.find('/'));
  return name.empty() ? std::nullopt : std::optional(std::string(name));
}

}  // namespace

// The group of a launch is "JOB-LAUNCH".
std::optional<model::JobId> job_of_group(std::string_view directory, std::string_view base) {
  const auto name = name_below(directory, base);
  if (!name) return std::nullopt;
  const auto dash = name->rfind('-');
  if (dash == std::string::npos || dash == 0 || dash + 1 == name->size()) return std::nullopt;
  if (name->find_first_not_of("0123456789", dash + 1) != std::string::npos) return std::nullopt;
  return model::JobId(name->substr(0, dash));
}

std::optional<model::JobId> job_of_environment(std::string_view environment, std::string_view jobs_directory) {
  const auto mark = std::string(shim::kLaunchVariable) + "=";
  while (!environment.empty()) {
    const auto end = std::min(environment.find('\0'), environment.size());
    const auto entry = environment.substr(0, end);
    if (entry.starts_with(mark)) {
      auto job = name_below(entry.substr(mark.size()), jobs_directory);
      return job ? std::optional(model::JobId(std::move(*job))) : std::nullopt;
    }
    environment.remove_prefix(std::min(end + 1, environment.size()));
  }
  return std::nullopt;
}

Ledger::Failures Ledger::take(Look look, Steady now) {
  look_ = std::move(look);
  judge();
  Failures failures;
  for (auto& [job, hold] : holds_) {
    const auto memory = assignment_.jobs.find(job.value());
    hold.meter.sample(now, gpus_,
                      memory == assignment_.jobs.end() ? std::map<std::string, ByteSize>{} : memory->second);
    if (hold.failure) continue;
    hold.failure = failure_among(hold.uuids);
    if (hold.failure) failures.emplace_back(job, *hold.failure);
  }
  return failures;
}

std::optional<model::GpuError> Ledger::failure_among(const queue::Uuids& uuids) const {
  for (const auto& uuid : uuids) {
    const auto found = std::find_if(gpus_.begin(), gpus_.end(), [&](const gpu::Gpu& gpu) { return gpu.uuid == uuid; });
    if (found != gpus_.end()) {
      if (auto failure = failure_of(*found)) return failure;
    } else if (look_.survey.driver) {  // NVML answers, and another agent had seen it
      return model::GpuError{"GPU " + uuid, uuid, 0, "the machine has no such GPU any more"};
    }
  }
  return std::nullopt;
}

std::optional<model::GpuError> Ledger::failure_of(const gpu::Gpu& gpu) const {
  const auto& troubles = look_.survey.troubles;
  if (const auto found = troubles.find(whole_uuid(gpu)); found != troubles.end())
    return model::GpuError{gpu.label(), gpu.uuid, found->second.xid, gpu::xid_in_words(found->second.xid)};
  if (gpu.lost) return model::GpuError{gpu.label(), gpu.uuid, 0, gpu.withheld.value_or("it does not answer any more")};
  return std::nullopt;
}

void Ledger::judge() {
  gpus_ = look_.survey.gpus;
  assignment_ = gpu::assignment_of(gpus_, [&](pid_t pid) {
    const auto found = look_.owners.find(pid);
    return found == look_.owners.end() ? gpu::Owner{} : found->second;
  });
  unwell_.clear();
  for (auto& gpu : gpus_) {
    if (gpu.withheld) unwell_.insert(gpu.uuid);
    if (const auto* said = said_of(gpu); said != nullptr && !gpu.withheld) gpu.withheld = in_words(*said);
  }
  for (const auto& [name, uses] : assignment_.jobs) {
    const model::JobId job(name);
    for (const auto& [uuid, memory] : uses)
      if (!is_held_by(job, uuid))
        assignment_.foreign.emplace(
            uuid, holds_.contains(job) ? "used by the job " + job + ", which was not given it"
                                       : "memory of the job " + job + " is not back yet (" + to_text(memory) + ")");
  }
  gpu::withhold(gpus_, assignment_);
  for (auto& gpu : gpus_)
    if (!is_offered(gpu) && !gpu.withheld) gpu.withheld = kNotOffered;
}

void Ledger::hold(const model::JobId& job, queue::Uuids uuids, Steady now) {
  gpu::UsageMeter meter(uuids, now);
  holds_.insert_or_assign(job, Hold{std::move(uuids), std::move(meter), std::nullopt});
  judge();
}

std::optional<Ledger::Stay> Ledger::give_back(const model::JobId& job, Steady now) {
  const auto found = holds_.find(job);
  if (found == holds_.end()) return std::nullopt;
  auto& hold = found->second;
  hold.meter.finish(now);
  Stay stay{hold.meter.usage(), std::move(hold.failure)};
  holds_.erase(found);
  judge();
  return stay;
}

// Those that are gone can still be named by what was said of them.
std::vector<Ledger::Target> Ledger::targets() const {
  std::map<std::string, Target> targets;
  for (const auto& gpu : gpus_) {
    const auto& whole = whole_uuid(gpu);
    targets[gpu.uuid] = {gpu.uuid, whole, gpu.label()};
    targets[whole] = {whole, whole, "GPU " + std::to_string(gpu.index)};
  }
  for (const auto& [uuid, said] : withheld_) targets.emplace(uuid, Target{uuid, uuid, uuid});
  std::vector<Target> all;
  for (auto& [uuid, target] : targets) all.push_back(std::move(target));
  return all;
}

Ledger::Target Ledger::resolve(std::string_view reference) const {
  std::vector<Target> found;
  for (auto& target : targets()) {
    if (target.uuid == reference) return target;
    if ((!reference.empty() && target.uuid.starts_with(reference)) || target.label == "GPU " + std::string(reference))
      found.push_back(std::move(target));
  }
  if (found.empty())
    throw Error(Code::not_found, "there is no GPU '" + printable(reference) + "'",
                "`berth gpu ls` lists those there are");
  if (found.size() > 1)
    throw Error(Code::conflict, "'" + printable(reference) + "' is ambiguous: " + found[0].uuid + ", " + found[1].uuid,
                "write more of the UUID");
  return std::move(found.front());
}

void Ledger::drain(const Target& target, Record::Drained said) {
  withheld_.insert_or_assign(target.uuid, std::move(said));
  judge();
}

void Ledger::resume(const Target& target) {
  const bool is_part = target.uuid != target.whole;
  if (is_part && (withheld_.contains(target.whole) || look_.survey.troubles.contains(target.whole)))
    throw Error(Code::conflict, target.label + " is withheld because the GPU that it is a part of is",
                "`berth gpu resume " + target.whole + "` offers that one again, with all its instances");
  withheld_.erase(target.uuid);
  for (const auto& gpu : gpus_)
    if (whole_uuid(gpu) == target.uuid) withheld_.erase(gpu.uuid);
  judge();
}

const Record::Drained* Ledger::said_of(const gpu::Gpu& gpu) const {
  for (const auto& uuid : {gpu.uuid, whole_uuid(gpu)})
    if (const auto found = withheld_.find(uuid); found != withheld_.end()) return &found->second;
  return nullptr;
}

bool Ledger::is_offered(const gpu::Gpu& gpu) const {
  if (!offered_) return true;
  return std::any_of(offered_->begin(), offered_->end(), [&](const std::string& name) {
    return name == gpu.uuid || name == whole_uuid(gpu) || name == std::to_string(gpu.index);
  });
}

bool Ledger::is_held_by(const model::JobId& job, const std::string& uuid) const {
  const auto found = holds_.find(job);
  if (found == holds_.end()) return false;
  const auto& uuids = found->second.uuids;
  return std::find(uuids.begin(), uuids.end(), uuid) != uuids.end();
}

std::vector<model::JobId> Ledger::holders_of(const std::string& uuid) const {
  std::vector<model::JobId> holders;
  for (const auto& [job, hold] : holds_)
    if (is_held_by(job, uuid)) holders.push_back(job);
  return holders;
}

std::vector<queue::Device> Ledger::devices() const {
  std::vector<queue::Device> devices;
  for (const auto& gpu : gpus_)
    if (is_offered(gpu)) devices.push_back({gpu.uuid, gpu.label(), gpu.memory, gpu.withheld});
  return devices;
}

gpu::Machine Ledger::machine() const {
  gpu::Machine machine{look_.survey.driver, look_.survey.cuda, {}, !look_.survey.driver && !gpus_.empty()};
  for (const auto& gpu : gpus_)
    if (is_offered(gpu)) machine.cards.push_back({gpu.name, gpu.capability, gpu.brand});
  return machine;
}

os::DeviceRules Ledger::rules_for(const queue::Uuids& uuids) const {
  if (gpus_.empty()) return {};
  std::vector<std::string> paths;
  for (const auto& gpu : gpus_)
    if (std::find(uuids.begin(), uuids.end(), gpu.uuid) != uuids.end())
      paths.insert(paths.end(), gpu.device_paths.begin(), gpu.device_paths.end());
  return gpu::device_rules(paths, look_.proc_devices);
}

}  // namespace berth::gpus
