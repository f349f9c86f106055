#include "agent/gpus/gpus.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "runtime/async/attempt.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/cgroup.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/identity.hpp"
#include "runtime/os/process.hpp"

namespace berth::gpus {
namespace {

constexpr auto kFirstLookPatience = std::chrono::seconds(15);
constexpr auto kLookPatience = std::chrono::seconds(10);
// A driver that has not come minutes after the agent started is waited for no longer.
constexpr auto kLongestDriverPause = std::chrono::minutes(5);
constexpr auto kMemoryPatience = std::chrono::seconds(10);
constexpr std::chrono::milliseconds kFirstMemoryPause{50};
constexpr std::chrono::milliseconds kLongestMemoryPause{1000};
constexpr std::size_t kLongestEnvironment = 4U << 20;

std::string file_of(pid_t pid, const char* name) { return "/proc/" + std::to_string(pid) + "/" + name; }

// "" where it cannot be read: the process is gone, or another user's.
std::string text_of(pid_t pid, const char* name) {
  try {
    return os::read_file_if_exists(file_of(pid, name), kLongestEnvironment).value_or("");
  } catch (const Error&) {
    return {};
  }
}

// "python3 of alice"
std::string process_in_words(pid_t pid) {
  auto words = text_of(pid, "comm");
  while (!words.empty() && words.back() == '\n') words.pop_back();
  struct stat info {};
  if (words.empty() || ::stat(file_of(pid, "").c_str(), &info) != 0) return {};
  return words + " of " + os::user_name(info.st_uid);
}

std::string canonical(const std::string& directory) {
  std::error_code failure;
  const auto path = std::filesystem::weakly_canonical(directory, failure);
  return failure ? directory : path.string();
}

}  // namespace

Owners::Owners(std::string cgroup_base, std::string jobs_directory)
    : cgroup_base_(std::move(cgroup_base)), jobs_directory_(canonical(jobs_directory)) {}

std::map<pid_t, gpu::Owner> Owners::of(const std::vector<gpu::Gpu>& gpus) {
  std::map<pid_t, gpu::Owner> owners;
  std::map<pid_t, Known> seen;
  for (const auto& gpu : gpus) {
    for (const auto& process : gpu.processes) {
      if (owners.contains(process.pid)) continue;
      const auto id = os::process_id(process.pid);
      const auto known = known_.find(process.pid);
      const bool same = known != known_.end() && (!id || id->start_ticks == known->second.start_ticks);
      auto owner = same && known->second.owner.job ? known->second.owner : find(process.pid);
      seen[process.pid] = {id ? id->start_ticks : same ? known->second.start_ticks : 0, owner};
      owners.emplace(process.pid, std::move(owner));
    }
  }
  known_ = std::move(seen);
  return owners;
}

gpu::Owner Owners::find(pid_t pid) const {
  gpu::Owner owner;
  if (auto job = job_of(pid)) owner.job = job->value();
  if (!owner.job) owner.words = process_in_words(pid);
  return owner;
}

// The mark counts where there are no groups, and in containers, whose groups are not the agent's.
std::optional<model::JobId> Owners::job_of(pid_t pid) const {
  try {
    const auto group = cgroup_base_.empty() ? std::nullopt : os::group_of(pid);
    const auto directory = group ? os::directory_of_group(*group) : std::nullopt;
    if (directory)
      if (auto job = job_of_group(*directory, cgroup_base_)) return job;
  } catch (const Error&) {  // it is gone
  }
  return job_of_environment(text_of(pid, "environ"), jobs_directory_);
}

Gpus::Gpus(async::Executor executor, Settings settings, store::Store& store, const Clock& clock, Log log)
    : settings_(std::move(settings)),
      store_(store),
      clock_(clock),
      log_(std::move(log)),
      nvml_({.library = settings_.library}),
      owners_(settings_.cgroup_base, settings_.jobs_directory),
      ledger_(settings_.offered),
      nursery_(executor, [this](std::exception_ptr failure) {
        log_.error("looking at the GPUs failed", kv("error", error_from(std::move(failure)).describe()));
      }) {}

async::Task<> Gpus::start(Listener listener) {
  listener_ = std::move(listener);
  if (!settings_.managed) {
    Look none;
    none.survey.notes.emplace_back("the agent's configuration says gpus: none");
    co_await take(std::move(none));
    co_return;
  }
  recall();
  nursery_.spawn(keep_looking());
  auto looked = [](Gpus& self) -> async::Task<> {
    while (self.done_ == 0) co_await self.looked_.wait();
  };
  auto first = looked(*this);
  auto patience = async::sleep_for(kFirstLookPatience);
  const bool impatient = co_await async::run_until(std::move(first), std::move(patience));
  if (impatient)
    log_.warn("NVML does not answer; the agent goes on without GPUs until it does", kv("library", settings_.library));
}

// Before anything is looked at, given out or served. A record that makes no sense is no reason not to start: the next
// look makes a new one. A store that cannot be read is one.
void Gpus::recall() {
  try {
    kept_ = record_from_text(store_.gpu_record(), settings_.boot_id);
  } catch (const Error& error) {
    if (error.code() != Code::corrupt) throw;
    log_.warn("GPUs are looked at as if for the first time", kv("error", error.describe()));
  }
  nvml_.recall(kept_.gpus, kept_.troubles);
  ledger_.set_withheld(kept_.withheld);
}

async::Task<> Gpus::keep_looking() {
  for (;;) {
    asked_ = false;
    const auto number = ++begun_;
    auto work = [this, resumed = std::exchange(resumed_, {})] { return look_at_machine(resumed); };
    auto seen = co_await async::offload(pool_, work);
    co_await take(std::move(seen));
    done_ = number;
    looked_.notify_all();
    co_await pause();
  }
}

// Nothing: there is nothing to wake up for.
std::optional<std::chrono::milliseconds> Gpus::next_pause() {
  if (!ledger_.gpus().empty()) {
    driver_pause_ = {};
    return settings_.sample;
  }
  if (!ledger_.survey().driver_expected) return std::nullopt;
  if (driver_pause_ > kLongestDriverPause) return std::nullopt;
  driver_pause_ = std::max(settings_.sample, driver_pause_ * 2);
  return driver_pause_;
}

// Until somebody asks, or the next look is due.
async::Task<> Gpus::pause() {
  auto asked = [](Gpus& self) -> async::Task<> {
    while (!self.asked_) co_await self.ask_.wait();
  };
  auto asking = asked(*this);
  const auto length = next_pause();
  if (!length) co_return co_await std::move(asking);
  auto due = async::sleep_for(*length);
  co_await async::run_until(std::move(due), std::move(asking));
}

Look Gpus::look_at_machine(const std::vector<std::string>& resumed) {
  for (const auto& uuid : resumed) nvml_.forgive(uuid);
  Look look;
  look.survey = nvml_.survey();
  look.owners = owners_.of(look.survey.gpus);
  if (!look.survey.gpus.empty()) look.proc_devices = os::read_file_if_exists("/proc/devices").value_or("");
  return look;
}

// On disk before anybody can see it: what was seen to be wrong once is wrong after a restart, too.
async::Task<> Gpus::take(Look look) {
  auto record = record_of(settings_.boot_id, look.survey, ledger_.withheld());
  const auto kept = co_await async::attempt(keep(std::move(record)));
  if (!kept) log_.warn("the state of the GPUs cannot be kept", kv("error", kept.error().describe()));
  const auto failures = ledger_.take(std::move(look), clock_.steady());
  {
    const std::lock_guard lock(machine_mutex_);
    machine_ = ledger_.machine();
  }
  tell_changes();
  for (const auto& [job, failure] : failures) {
    log_.error("a job's GPU failed", kv("job", job), kv("gpu", failure.gpu), kv("reason", failure.reason));
    listener_.failed(job, failure);
  }
}

void Gpus::tell_changes() {
  auto devices = ledger_.devices();
  if (devices == told_) return;
  for (const auto& device : devices) {
    const auto before = std::find_if(told_.begin(), told_.end(), [&](const auto& d) { return d.uuid == device.uuid; });
    if (before == told_.end()) log_.info("GPU found", kv("gpu", device.label), kv("uuid", device.uuid));
    const auto why = before == told_.end() ? std::nullopt : before->withheld;
    if (device.withheld && !why) log_.warn("GPU withheld", kv("gpu", device.label), kv("why", *device.withheld));
    if (!device.withheld && why) log_.info("GPU offered again", kv("gpu", device.label));
  }
  told_ = devices;
  listener_.changed(std::move(devices));
}

async::Task<> Gpus::keep_record() { return keep(record_of(settings_.boot_id, ledger_.survey(), ledger_.withheld())); }

async::Task<> Gpus::keep(Record record) {
  if (!settings_.managed || record == kept_) co_return;
  co_await store_.set_gpu_record(to_text(record));
  kept_ = std::move(record);
}

async::Task<std::string> Gpus::drain(std::string reference, Record::Drained said) {
  const auto target = ledger_.resolve(reference);
  log_.info("GPU drained by the operator", kv("gpu", target.label), kv("by", said.by), kv("reason", said.reason));
  ledger_.drain(target, std::move(said));
  tell_changes();
  co_await keep_record();
  co_return target.uuid;
}

async::Task<std::string> Gpus::resume(std::string reference) {
  const auto target = ledger_.resolve(reference);
  ledger_.resume(target);
  log_.info("GPU resumed by the operator", kv("gpu", target.label));
  if (target.uuid == target.whole) resumed_.push_back(target.uuid);
  co_await look_in_time();
  tell_changes();
  co_await keep_record();
  co_return target.uuid;
}

async::Task<> Gpus::look_in_time() { co_await async::with_deadline(kLookPatience, look(), "looking at the GPUs"); }

async::Task<> Gpus::look_if_none() {
  if (!ledger_.gpus().empty()) co_return;
  auto patience = async::sleep_for(kLookPatience);
  co_await async::run_until(look(), std::move(patience));
}

async::Task<> Gpus::look() {
  if (!settings_.managed) co_return;
  const auto wanted = begun_ + 1;
  asked_ = true;
  ask_.notify_all();
  while (done_ < wanted) co_await looked_.wait();
}

void Gpus::hold(const model::JobId& job, queue::Uuids uuids) { ledger_.hold(job, std::move(uuids), clock_.steady()); }

async::Task<bool> Gpus::memory_back(model::JobId job) {
  auto until_back = [](Gpus& self, const model::JobId& of) -> async::Task<> {
    async::Backoff pause(kFirstMemoryPause, kLongestMemoryPause);
    co_await self.look();
    while (!self.ledger_.is_memory_back(of)) {
      co_await async::sleep_for(pause.next());
      co_await self.look();
    }
  };
  auto waiting = until_back(*this, job);
  auto patience = async::sleep_for(kMemoryPatience);
  co_await async::run_until(std::move(waiting), std::move(patience));
  co_return ledger_.is_memory_back(job);
}

std::optional<Ledger::Stay> Gpus::give_back(const model::JobId& job) {
  auto stay = ledger_.give_back(job, clock_.steady());
  tell_changes();
  return stay;
}

gpu::Machine Gpus::machine() const {
  const std::lock_guard lock(machine_mutex_);
  return machine_;
}

}  // namespace berth::gpus
