#include "agent/api/doctor.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "agent/api/gpu_view.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/cgroup.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/file_system.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::api {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kRecordsLookedAt = 100;
constexpr std::size_t kMostUnrecorded = 100;
// What a launch or a group that is younger may be: still being made or taken away.
constexpr auto kSettled = std::chrono::seconds(10);

// Taken on the loop, so that a thread of the pool can look at files.
struct Moment {
  Node node;
  std::string jobs_directory;
  std::set<model::JobId> live;
  std::vector<jobs::Jobs::RunningLaunch> running;
};

std::set<std::string> names_in(const std::string& directory) {
  std::set<std::string> names;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(directory, absent)) names.insert(entry.path().filename());
  return names;
}

bool is_settled(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return false;
  const auto changed = std::chrono::system_clock::from_time_t(info.st_mtim.tv_sec);
  return std::chrono::system_clock::now() - changed > kSettled;
}

std::vector<std::string> words_of(const std::string& file) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : os::read_file_if_exists(file).value_or("") + "\n") {
    if (c != ' ' && c != '\n')
      word += c;
    else if (!word.empty())
      words.push_back(std::exchange(word, {}));
  }
  return words;
}

wire::DoctorFacts::Cgroup cgroup_facts(const std::string& base) {
  if (base.empty()) return {};
  return {base, words_of(os::join(base, "cgroup.controllers")), words_of(os::join(base, "cgroup.subtree_control"))};
}

wire::DoctorFacts::State state_facts(const Node& node) {
  const auto system = os::file_system_of(node.state_dir);
  wire::DoctorFacts::State state;
  state.path = node.state_dir;
  state.file_system = system.type;
  state.free = ByteSize(system.space.free);
  state.total = ByteSize(system.space.total);
  state.files_free = system.files_free;
  state.files_total = system.files_total;
  state.reserved = node.reserved_space;
  return state;
}

bool same_file(const std::string& a, const std::string& b) {
  struct stat first {};
  struct stat second {};
  return ::stat(a.c_str(), &first) == 0 && ::stat(b.c_str(), &second) == 0 && first.st_ino == second.st_ino &&
         first.st_dev == second.st_dev;
}

// Whether each job's supervisor is the program that the agent would start today.
std::vector<wire::DoctorFacts::Supervisor> supervisors_of(const Moment& moment) {
  std::vector<wire::DoctorFacts::Supervisor> out;
  for (const auto& [id, launch] : moment.running) {
    const auto file = os::join(moment.jobs_directory, id + "/" + std::to_string(launch) + "/" + shim::kStartedFile);
    pid_t pid = 0;
    try {
      const auto text = os::read_plain_if_exists(file, os::trusted_file(), 1U << 20);
      if (!text) continue;
      pid = shim::started_from_text(*text).shim.pid;
    } catch (const Error&) {  // it has not started, or ended meanwhile
      continue;
    }
    const auto program = "/proc/" + std::to_string(pid) + "/exe";
    // Of an agent that is not root the supervisor does not let its own user look into it.
    if (::access(program.c_str(), R_OK) != 0 && ::geteuid() != 0) continue;
    out.push_back({id, pid, !same_file(program, moment.node.shim_program)});
  }
  return out;
}

// What launches of ended jobs have besides their logs.
std::vector<std::string> directories_left(const Moment& moment) {
  std::vector<std::string> left;
  for (const auto& id : names_in(moment.jobs_directory)) {
    if (moment.live.contains(model::JobId(id))) continue;
    const auto job = os::join(moment.jobs_directory, id);
    for (const auto& launch : names_in(job)) {
      const auto place = os::join(job, launch);
      auto files = names_in(place);
      files.erase(shim::kLogFile);
      files.erase(shim::kLogIndexFile);
      if (!files.empty() && is_settled(place)) left.push_back(place);
    }
  }
  return left;
}

// "JOB-LAUNCH" → "JOB"; nothing for a group that is no job's.
std::optional<model::JobId> job_of_group(const std::string& name) {
  const auto dash = name.rfind('-');
  if (dash == std::string::npos || dash + 1 == name.size()) return std::nullopt;
  if (name.find_first_not_of("0123456789", dash + 1) != std::string::npos) return std::nullopt;
  return model::JobId(name.substr(0, dash));
}

std::vector<wire::DoctorFacts::Group> cgroups_left(const Moment& moment) {
  std::vector<wire::DoctorFacts::Group> left;
  const auto& base = moment.node.cgroup_base;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(base, absent)) {
    const auto job = job_of_group(entry.path().filename());
    if (!job || moment.live.contains(*job)) continue;
    const auto group = os::Cgroup::open(entry.path());
    if (group && is_settled(group->path())) left.push_back({group->path(), group->processes().size()});
  }
  return left;
}

wire::DoctorFacts files_facts(const Moment& moment) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  const auto& node = moment.node;
  wire::DoctorFacts facts;
  facts.version = node.version;
  facts.mode = node.machine_agent ? "machine" : "user";
  facts.pid = node.pid;
  facts.socket = {node.socket, node.group};
  facts.state = state_facts(node);
  facts.cgroup = cgroup_facts(node.cgroup_base);
  facts.overlays = node.overlays;
  facts.environment_changes = node.environment_changes;
  facts.docker_socket = node.docker_socket;
  facts.open_files = files.rlim_cur;
  facts.supervisors = supervisors_of(moment);
  facts.leftovers.directories = directories_left(moment);
  facts.leftovers.cgroups = cgroups_left(moment);
  return facts;
}

// The latest time in the records of the youngest jobs; a clock that is behind it has been set back.
async::Task<std::optional<Instant>> newest_record(Services& services) {
  store::Filter filter;
  filter.limit = kRecordsLookedAt;
  auto youngest = co_await services.store.list(std::move(filter));
  const auto listed = co_await services.store.listed(std::move(youngest));
  if (listed.empty()) co_return std::nullopt;
  Instant newest = listed.front().job.submitted;
  for (const auto& [job, title, bytes] : listed)
    newest = std::max({newest, job.submitted, job.finished.value_or(newest)});
  co_return newest;
}

// Of jobs that the database does not know, as after it was lost: what they wrote stays for whoever misses it.
async::Task<std::vector<std::string>> unrecorded(Services& services, const std::string& jobs_directory) {
  auto list = [&] { return names_in(jobs_directory); };
  const auto names = co_await async::offload(services.pool, list);
  std::vector<std::string> unknown;
  for (const auto& name : names) {
    if (unknown.size() >= kMostUnrecorded) break;
    const auto place = os::join(jobs_directory, name);
    if (!services.store.owner_of(model::JobId(name)) && is_settled(place)) unknown.push_back(place);
  }
  co_return unknown;
}

}  // namespace

async::Task<wire::DoctorFacts> doctor_facts(Services& services) {
  Moment moment;
  moment.node = services.node;
  moment.jobs_directory = os::parent_of(os::parent_of(services.directories.directory(model::JobId("any"), 1)));
  for (auto& id : services.jobs.live()) moment.live.insert(std::move(id));
  moment.running = services.jobs.running();
  auto look = [&] { return files_facts(moment); };
  auto facts = co_await async::offload(services.pool, look);
  auto unknown = co_await unrecorded(services, moment.jobs_directory);
  facts.leftovers.unrecorded = std::move(unknown);
  auto& gpus = services.jobs.gpus();
  co_await gpus.look_if_none();
  facts.gpus = told(gpus.ledger());
  facts.newest_record = co_await newest_record(services);
  facts.state.refusal = services.disk.use().refusal.value_or("");
  facts.state.high = services.disk.limits().high;
  co_return facts;
}

}  // namespace berth::api
