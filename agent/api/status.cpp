#include "agent/api/status.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/api/disk_view.hpp"
#include "agent/api/gpu_view.hpp"

namespace berth::api {
namespace {

using nlohmann::json;

std::vector<std::string> remarks_of(const Node& node) {
  std::vector<std::string> remarks;
  if (node.cgroup_base.empty())
    remarks.emplace_back(
        "no cgroup2 hierarchy can be written: limits are off, and a job's tree is killed process by process");
  else if (std::find(node.controllers.begin(), node.controllers.end(), "memory") == node.controllers.end())
    remarks.emplace_back(
        "the cgroup2 hierarchy has no memory controller: memory limits are off; `berth doctor` tells more");
  if (!node.overlays) remarks.emplace_back("overlays cannot be mounted: every job gets a copy of its code");
  if (node.environment_changes == "shared")
    remarks.emplace_back(
        "no mount namespaces can be made: what jobs share is closed to them by permissions alone, and an environment "
        "that "
        "one changed is made again");
  if (!node.why_no_sandbox.empty())
    remarks.push_back("builds of environments are not kept apart from the machine: " + node.why_no_sandbox);
  return remarks;
}

// One metric family with its samples.
class Family {
 public:
  Family(std::string& out, std::string name, const char* type, const char* help) : out_(out), name_(std::move(name)) {
    out_ += "# HELP " + name_ + " " + help + "\n# TYPE " + name_ + " " + type + "\n";
  }
  Family& sample(const std::string& labels, double value) {
    out_ += name_;
    if (!labels.empty()) out_ += "{" + labels + "}";
    out_ += " " + json(value).dump() + "\n";
    return *this;
  }

 private:
  std::string& out_;
  std::string name_;
};

void add_resources(Family& family, const model::Resources& resources) {
  family.sample(R"(resource="cpus")", resources.cpu_milli / 1000.0)
      .sample(R"(resource="memory_bytes")", static_cast<double>(resources.memory.bytes()))
      .sample(R"(resource="gpus")", resources.gpus)
      .sample(R"(resource="slots")", resources.slots);
}

// What NVML does not tell of a GPU has no sample.
void add_gpus(std::string& out, const gpus::Ledger& ledger) {
  if (ledger.gpus().empty()) return;
  const auto labels = [](const gpu::Gpu& gpu) {
    return "uuid=" + json(gpu.uuid).dump() + ",gpu=" + json(gpu.label()).dump();
  };
  Family utilisation(out, "berth_gpu_utilisation", "gauge", "How busy the GPU is, from 0 to 1.");
  for (const auto& gpu : ledger.gpus())
    if (gpu.utilisation) utilisation.sample(labels(gpu), *gpu.utilisation / 100.0);
  Family used(out, "berth_gpu_memory_used_bytes", "gauge", "Memory in use on the GPU, whoever's.");
  for (const auto& gpu : ledger.gpus())
    if (gpu.used) used.sample(labels(gpu), static_cast<double>(gpu.used->bytes()));
  Family withheld(out, "berth_gpu_withheld", "gauge", "1 when no job may have the GPU.");
  for (const auto& gpu : ledger.gpus()) withheld.sample(labels(gpu), gpu.withheld ? 1 : 0);
}

}  // namespace

wire::Status status_of(const Node& node, const jobs::Jobs& jobs, const disk::Use& disk, Instant now) {
  const auto counts = jobs.counts();
  const auto& gpus = jobs.gpus().ledger();
  const auto& queue = jobs.queue();
  wire::Status status;
  status.name = node.name;
  status.version = node.version;
  status.pid = node.pid;
  status.mode = node.machine_agent ? "machine" : "user";
  status.state_dir = node.state_dir;
  status.started = node.started;
  status.uptime =
      std::max(std::chrono::duration_cast<std::chrono::milliseconds>(now - node.started), std::chrono::milliseconds(0));
  status.drained = queue.drained();
  status.remarks = remarks_of(node);
  for (auto& remark : remarks_of(gpus)) status.remarks.push_back(std::move(remark));
  for (auto& trouble : jobs.troubles()) status.remarks.push_back(std::move(trouble));
  if (disk.refusal) status.remarks.push_back("new work is refused: " + *disk.refusal);
  status.health = status.remarks.empty() ? "ok" : "degraded";
  status.cgroup = node.cgroup_base;
  status.controllers = node.controllers;
  status.overlays = node.overlays;
  status.environment_changes = node.environment_changes;
  status.capacity = queue.capacity();
  status.in_use = queue.used();
  status.jobs = {counts.preparing, counts.queued, counts.running, counts.finalizing};
  status.gpus = told(gpus);
  status.disk = told(disk);
  return status;
}

std::string metrics_text(const Node& node, const jobs::Jobs& jobs, const disk::Use& disk) {
  const auto counts = jobs.counts();
  std::string out;
  Family(out, "berth_info", "gauge", "The agent's version.").sample("version=\"" + node.version + "\"", 1);
  Family(out, "berth_jobs", "gauge", "Live jobs by state.")
      .sample(R"(state="preparing")", static_cast<double>(counts.preparing))
      .sample(R"(state="queued")", static_cast<double>(counts.queued))
      .sample(R"(state="running")", static_cast<double>(counts.running))
      .sample(R"(state="finalizing")", static_cast<double>(counts.finalizing));
  Family(out, "berth_jobs_ended_total", "counter", "Jobs ended since the agent started.")
      .sample(R"(state="completed")", static_cast<double>(counts.completed))
      .sample(R"(state="failed")", static_cast<double>(counts.failed))
      .sample(R"(state="canceled")", static_cast<double>(counts.canceled));
  Family capacity(out, "berth_capacity", "gauge", "What jobs may use together.");
  add_resources(capacity, jobs.queue().capacity());
  Family used(out, "berth_in_use", "gauge", "What running jobs hold.");
  add_resources(used, jobs.queue().used());
  add_gpus(out, jobs.gpus().ledger());
  Family(out, "berth_drained", "gauge", "1 when the node starts no jobs.").sample("", jobs.queue().drained() ? 1 : 0);
  Family(out, "berth_disk_free_bytes", "gauge", "Free where the state directory is.")
      .sample("", static_cast<double>(disk.state.free));
  Family(out, "berth_disk_kept_bytes", "gauge", "What Berth keeps on the disk, by kind.")
      .sample(R"(kind="stored")", static_cast<double>(disk.stored))
      .sample(R"(kind="checkouts")", static_cast<double>(disk.checkouts))
      .sample(R"(kind="downloads")", static_cast<double>(disk.downloads))
      .sample(R"(kind="environments")", static_cast<double>(disk.environments))
      .sample(R"(kind="images")", static_cast<double>(disk.images.state.kept))
      .sample(R"(kind="logs")", static_cast<double>(disk.logs))
      .sample(R"(kind="records")", static_cast<double>(disk.records));
  Family(out, "berth_start_time_seconds", "gauge", "When the agent started, Unix time.")
      .sample("", static_cast<double>(to_unix_micros(node.started)) / 1e6);
  return out;
}

}  // namespace berth::api
