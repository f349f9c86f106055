#include "agent/wire/node.hpp"

#include "agent/wire/request.hpp"

namespace berth::wire {
namespace {

constexpr const char* kEnvironmentChanges =
    "What becomes of what a job changes in its environment: own (it is the job's alone), refused (nothing can be "
    "written) or shared (no mounts keep it from the jobs after it).";

}  // namespace

void describe(Fields& fields, JobCounts& counts) {
  fields.field("preparing", counts.preparing, "Their code and environment is made ready.");
  fields.field("queued", counts.queued, "They wait for their turn.");
  fields.field("running", counts.running, "Their commands run.");
  fields.field("finalizing", counts.finalizing, "Their outputs are collected.");
}

void describe(Fields& fields, Status& status) {
  fields.answered("Status", "The node: version, queue, capacity and what is in use, disk, health.");
  fields.field("name", status.name, "Of the machine.");
  fields.field("version", status.version, "Of the agent.");
  fields.field("pid", status.pid, "Of the agent.");
  fields.field("mode", status.mode, "machine: it serves every user; user: one alone.");
  fields.field("state_dir", status.state_dir, "Where it keeps what it remembers.");
  fields.field("started", status.started, "When the agent was.");
  fields.field("uptime_ms", status.uptime, "Since then.");
  fields.field("drained", status.drained, "No job is started.");
  fields.field("health", status.health, "ok, or degraded with the reasons in remarks.");
  fields.field("remarks", status.remarks, "What the node does without, for people.");
  fields.field("cgroup", status.cgroup, "Below which jobs have their groups; null: limits are off.", {.or_null = true});
  fields.field("controllers", status.controllers, "Of memory, cpu, pids and io those that limit jobs.");
  fields.field("overlays", status.overlays, "Jobs' trees are overlays; else each is a copy.");
  fields.field("environment_changes", status.environment_changes, kEnvironmentChanges);
  fields.field("capacity", status.capacity, "What jobs may use together.");
  fields.field("in_use", status.in_use, "What running jobs hold.");
  fields.field("jobs", status.jobs, "Live jobs by state.");
  fields.field("gpus", status.gpus.gpus, "In the order of their numbers.");
  fields.field("nvidia", status.gpus.nvidia, "The driver.");
  fields.field("disk", status.disk, "What is kept.");
}

void describe(Fields& fields, Drain& drain) {
  fields.named("Drain", "How a node is drained.");
  fields.field("stop", drain.stop, "Running jobs are asked to stop, and end as preempted; else they run on.");
}

void describe(Fields& fields, JobUse& use) {
  fields.answered("JobUse", "What a running job uses.");
  fields.field("id", use.id, "Which.");
  fields.field("launch", use.launch, "Which of its launches.");
  fields.field("cpu_us", use.cpu, "CPU time so far.");
  fields.field("memory_bytes", use.memory, "Now.");
  fields.field("memory_peak_bytes", use.peak_memory, "The most so far.");
  fields.field("memory_limit_bytes", use.memory_limit, "Not there without a limit.", {.left_out = true});
  fields.field("processes", use.processes, "Now.");
  fields.field("io_read_bytes", use.io_read, "So far.");
  fields.field("io_written_bytes", use.io_written, "So far.");
  fields.field("log_bytes", use.log, "So far.");
}

void describe(Fields& fields, NodeUsage::Machine& machine) {
  fields.field("cpus", machine.cpus, "How many it has.");
  fields.field("cpu_us", machine.cpu, "How long they were busy, together.");
  fields.field("memory_bytes", machine.memory, "That it has.");
  fields.field("memory_available_bytes", machine.memory_available, "For new programs, without swapping.");
}

void describe(Fields& fields, NodeUsage& usage) {
  fields.answered("Usage", "What the running jobs and the machine use at this moment.");
  fields.field("time", usage.time, "Which moment.");
  fields.field("monotonic_us", usage.monotonic, "The same on a clock that nobody sets.");
  fields.field("machine", usage.machine, "The machine as a whole.");
  fields.field("jobs", usage.jobs, "Those whose command runs.");
}

void describe(Fields& fields, DoctorFacts::Socket& socket) {
  fields.field("path", socket.path, "Where.");
  fields.field("group", socket.group, "Who may open it; \"\" for a user's own agent.");
}

void describe(Fields& fields, DoctorFacts::State& state) {
  fields.field("path", state.path, "Where.");
  fields.field("file_system", state.file_system, "Its type.");
  fields.field("free_bytes", state.free, "There.");
  fields.field("total_bytes", state.total, "There.");
  fields.field("files_free", state.files_free, "There.");
  fields.field("files_total", state.files_total, "There.");
  fields.field("reserved_bytes", state.reserved, "With less free, new jobs are refused.");
  fields.field("refusal", state.refusal, "Why new work is refused; null where it is taken.", {.or_null = true});
  fields.field("disk_high_percent", state.high, "Of the disk, above which space is given back.");
}

void describe(Fields& fields, DoctorFacts::Cgroup& cgroup) {
  fields.field("base", cgroup.base, "Below which jobs have their groups; null without.", {.or_null = true});
  fields.field("controllers", cgroup.controllers, "That are there.");
  fields.field("delegated", cgroup.delegated, "That groups below it have.");
}

void describe(Fields& fields, DoctorFacts::Supervisor& supervisor) {
  fields.field("job", supervisor.job, "Whose.");
  fields.field("pid", supervisor.pid, "Its own.");
  fields.field("outdated", supervisor.outdated, "It is another program than the agent would start now.");
}

void describe(Fields& fields, DoctorFacts::Group& group) {
  fields.field("path", group.path, "Where.");
  fields.field("processes", group.processes, "That are in it.");
}

void describe(Fields& fields, DoctorFacts::Leftovers& leftovers) {
  fields.field("directories", leftovers.directories, "Of launches that are over.");
  fields.field("cgroups", leftovers.cgroups, "Of jobs that are over.");
  fields.field("unrecorded", leftovers.unrecorded, "Of jobs that the database does not know.");
}

void describe(Fields& fields, DoctorFacts& facts) {
  fields.answered("DoctorFacts", "Facts for `berth doctor` that only the agent can tell.");
  fields.field("version", facts.version, "Of the agent.");
  fields.field("mode", facts.mode, "As in Status.");
  fields.field("pid", facts.pid, "Of the agent.");
  fields.field("socket", facts.socket, "That it listens on.");
  fields.field("state", facts.state, "Where it keeps what it remembers.");
  fields.field("cgroup", facts.cgroup, "What limits jobs.");
  fields.field("overlays", facts.overlays, "As in Status.");
  fields.field("environment_changes", facts.environment_changes, kEnvironmentChanges);
  fields.field("docker_socket", facts.docker_socket, "That it looks for a container engine on.");
  fields.field("open_files", facts.open_files, "That it may have at a time.");
  fields.field("supervisors", facts.supervisors, "Of running jobs, as far as they can be looked at.");
  fields.field("leftovers", facts.leftovers, "What a crash has left.");
  fields.field("gpus", facts.gpus.gpus, "As in Status.");
  fields.field("nvidia", facts.gpus.nvidia, "As in Status.");
  fields.field("newest_record", facts.newest_record, "The latest time on record; a clock behind it was set back.");
}

}  // namespace berth::wire
