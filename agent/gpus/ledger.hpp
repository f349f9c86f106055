#pragma once

// The node's GPUs as they were last seen, and the jobs that hold them: which may be handed out, and what each job made
// of its own. Pure.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/gpus/record.hpp"
#include "agent/model/ending.hpp"
#include "agent/model/job.hpp"
#include "agent/queue/devices.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/gpu/assignment.hpp"
#include "runtime/gpu/cuda.hpp"
#include "runtime/gpu/gpu.hpp"
#include "runtime/gpu/usage.hpp"
#include "runtime/os/device_filter.hpp"

namespace berth::gpus {

// One look at the machine.
struct Look {
  gpu::Survey survey;
  std::map<pid_t, gpu::Owner> owners;  // of the processes on GPUs
  std::string proc_devices;            // the text of /proc/devices
};

// The job whose control group this is, or is below; `base`: where the jobs' groups are. Nothing for others.
std::optional<model::JobId> job_of_group(std::string_view directory, std::string_view base);
// The job that the supervisor's mark in a process' environment (its entries end with NUL) names; `jobs_directory`:
// where the jobs' launches are. Nothing without a mark, or where it is of another agent.
std::optional<model::JobId> job_of_environment(std::string_view environment, std::string_view jobs_directory);

class Ledger {
 public:
  // `offered`: UUIDs or numbers of the GPUs that jobs may have; nothing: all.
  explicit Ledger(std::optional<std::vector<std::string>> offered = {}) : offered_(std::move(offered)) {}

  using Failures = std::vector<std::pair<model::JobId, model::GpuError>>;
  // Samples every holder. The jobs of which a GPU has failed since the look before.
  Failures take(Look look, Steady now);

  void hold(const model::JobId& job, queue::Uuids uuids, Steady now);
  // No process of the job had memory on a GPU when they were last seen.
  bool is_memory_back(const model::JobId& job) const { return !assignment_.jobs.contains(job.value()); }
  struct Stay {
    gpu::Usage usage;
    std::optional<model::GpuError> failure;  // the first of its GPUs that failed meanwhile
  };
  // What the job still has on a GPU is from now on a reason to withhold it. Nothing for a job that holds none.
  std::optional<Stay> give_back(const model::JobId& job, Steady now);

  // A GPU, or an instance of one, as the operator names it.
  struct Target {
    std::string uuid;
    std::string whole;  // the UUID of the GPU that it is or is a part of
    std::string label;  // for people
  };
  // By number, by UUID, or by the unique beginning of one. Throws Code::not_found, Code::conflict when ambiguous.
  Target resolve(std::string_view reference) const;
  // No job gets it from now on; one that has it keeps it. A GPU is withheld with all its instances.
  void drain(const Target& target, Record::Drained said);
  // Ends what drain() said of it and, of a GPU, of its instances. Throws Code::conflict for an instance of which
  // the whole GPU is withheld.
  void resume(const Target& target);
  void set_withheld(std::map<std::string, Record::Drained> withheld) { withheld_ = std::move(withheld); }
  const std::map<std::string, Record::Drained>& withheld() const { return withheld_; }

  const std::vector<gpu::Gpu>& gpus() const { return gpus_; }
  std::vector<model::JobId> holders_of(const std::string& uuid) const;
  // Whether it is withheld for its own sake, not for who uses it.
  bool is_unwell(const std::string& uuid) const { return unwell_.contains(uuid); }
  // Those that are offered, as the queue takes them.
  std::vector<queue::Device> devices() const;
  const gpu::Survey& survey() const { return look_.survey; }
  // What CUDA software is held against.
  gpu::Machine machine() const;
  // The device rules of a job that has these; empty where there is nothing to rule.
  os::DeviceRules rules_for(const queue::Uuids& uuids) const;

 private:
  struct Hold {
    queue::Uuids uuids;
    gpu::UsageMeter meter;
    std::optional<model::GpuError> failure;
  };
  bool is_offered(const gpu::Gpu& gpu) const;
  std::vector<Target> targets() const;
  const Record::Drained* said_of(const gpu::Gpu& gpu) const;
  bool is_held_by(const model::JobId& job, const std::string& uuid) const;
  void judge();
  std::optional<model::GpuError> failure_among(const queue::Uuids& uuids) const;
  std::optional<model::GpuError> failure_of(const gpu::Gpu& gpu) const;

  std::optional<std::vector<std::string>> offered_;
  Look look_;
  gpu::Assignment assignment_;
  std::vector<gpu::Gpu> gpus_;  // with every reason to withhold them
  std::set<std::string> unwell_;
  std::map<std::string, Record::Drained> withheld_;  // by UUID, by the operator
  std::map<model::JobId, Hold> holds_;
};

}  // namespace berth::gpus
