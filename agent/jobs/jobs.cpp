#include "agent/jobs/jobs.hpp"

#include <algorithm>

#include "agent/jobs/persist.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/shim/client.hpp"

namespace berth::jobs {
namespace {

// Of jobs that were submitted before the node filled it in.
constexpr std::chrono::milliseconds kUnknownGrace{10'000};
constexpr std::chrono::milliseconds kFirstReadPause{50};
constexpr std::chrono::milliseconds kLongestReadPause{5'000};
constexpr auto kIdentityKnownFor = std::chrono::seconds(5);

bool asks_for_gpus(const store::NewJob& job) { return job.request.resources.gpus > 0; }

Error no_job(Sequence sequence) { return {Code::not_found, "there is no job number " + std::to_string(sequence)}; }

// An attempt that could not even be prepared has none.
int last_launch(const model::Job& job) {
  int last = 0;
  for (const auto& attempt : job.attempts) last = std::max(last, attempt.launch);
  return last;
}

}  // namespace

queue::Entry Jobs::queue_entry(const model::Job& job, bool ready) {
  queue::Entry entry{job.sequence, job.request.resources, job.priority, job.held, ready, std::nullopt};
  if (job.request.timeout) entry.limit = *job.request.timeout + job.request.stop.grace.value_or(kUnknownGrace);
  return entry;
}

namespace {

bool runs(model::State state) {
  return state == model::State::running || state == model::State::cancel_requested || state == model::State::finalizing;
}

}  // namespace

bool needs_preparation(const model::JobRequest& request) {
  return request.snapshot || request.environment.kind != model::EnvironmentRequest::Kind::none;
}

Jobs::Jobs(async::Executor executor, Settings settings, store::Store& store, drivers::JobDirectories& directories,
           drivers::Drivers& drivers, environment::Environments& environments, disk::Manager& disk, disk::Quota& quota,
           gpus::Gpus& gpus, async::Watcher& watcher, async::Pool& pool, const Clock& clock, Log log)
    : executor_(executor),
      settings_(std::move(settings)),
      store_(store),
      directories_(directories),
      box_(settings_.secrets_key, store_.anything_sealed()),
      environments_(
          executor, environments, directories, [this](uid_t uid, std::uint64_t bytes) { return room_for(uid, bytes); },
          {settings_.switch_user, settings_.defaults.path, settings_.cgroup_base, settings_.guard_environments}),
      drivers_(drivers),
      disk_(disk),
      quota_(quota),
      gpus_(gpus),
      reserve_(disk.reserve()),
      watcher_(watcher),
      pool_(pool),
      clock_(clock),
      log_(std::move(log)),
      queue_(settings_.capacity, settings_.patience),
      nursery_(executor, [this](std::exception_ptr failure) {
        log_.error("a job's task failed", kv("error", error_from(std::move(failure)).describe()));
      }) {}

Task<> Jobs::stop() {
  co_await nursery_.stop_and_join();
  for (auto* driver : drivers_.all()) co_await driver->stop();
  co_await environments_.stop();
  strip_the_last();
}

// Places that are taken by jobs on their way; given back when these are admitted, or refused.
class Jobs::Places {
 public:
  Places(std::unordered_map<uid_t, std::size_t>& of, uid_t uid, std::size_t count) : of_(of), uid_(uid), count_(count) {
    if (count_ > 0) of_[uid_] += count_;
  }
  Places(const Places&) = delete;
  Places& operator=(const Places&) = delete;
  ~Places() {
    if (count_ > 0 && (of_[uid_] -= count_) == 0) of_.erase(uid_);
  }

 private:
  std::unordered_map<uid_t, std::size_t>& of_;
  uid_t uid_;
  std::size_t count_;
};

// A submission that is only repeated takes none.
Jobs::Places Jobs::places_for(const std::vector<store::NewJob>& jobs) {
  if (jobs.empty()) return Places(places_, 0, 0);
  const auto uid = jobs.front().uid;
  const auto has = places_.find(uid);
  const auto count = has == places_.end() ? 0 : has->second;
  try {
    quota_.require_places(uid, count, jobs.size());
  } catch (const Error&) {
    const auto known = [&](const store::NewJob& job) { return store_.knows_submission(job.request.submission_id); };
    if (!std::all_of(jobs.begin(), jobs.end(), known)) throw;
  }
  return Places(places_, uid, jobs.size());
}

Task<std::vector<store::Submitted>> Jobs::submit(std::vector<store::NewJob> jobs, SubmittedSecrets secrets) {
  const auto places = places_for(jobs);
  if (!jobs.empty()) co_await quota_.require_storage(jobs.front().uid, 0);
  co_await disk_.make_room();
  if (std::any_of(jobs.begin(), jobs.end(), asks_for_gpus)) co_await gpus_.look_if_none();
  for (auto& job : jobs) {
    drivers::fill_in(job.request, settings_.defaults);
    drivers::check_credentials(job.request);
    if (const auto reason = queue_.never_fits(job.request.resources))
      throw Error(Code::invalid, "this job can never run here: it " + *reason,
                  "`berth status` shows what the node has");
    job.state = needs_preparation(job.request) ? model::State::preparing : model::State::queued;
  }
  if (!secrets.empty()) co_await close_secrets(jobs, secrets);
  auto written = co_await async::attempt(store_.submit(std::move(jobs)));
  if (!written && !is_refused(written.error().code())) look_for_unknown();
  auto submitted = std::move(written).value();
  for (const auto& [job, existed] : submitted) {
    // One that was told to have failed may have come to the disk all the same: whoever sends it again gets it to run.
    if (live_.contains(job.sequence) || model::is_final(job.state)) continue;
    if (existed && job.state != model::State::queued && job.state != model::State::preparing) continue;
    const bool ready = job.state == model::State::queued;
    admit(job.sequence, job.id, job.uid, job.state, queue_entry(job, ready));
    log_.info("job submitted", kv("job", job.id), kv("user", job.user));
  }
  schedule();
  co_return submitted;
}

void Jobs::admit(Sequence sequence, model::JobId id, uid_t uid, model::State state, const queue::Entry& entry) {
  auto& live = live_[sequence];
  live.id = std::move(id);
  live.uid = uid;
  ++places_[uid];
  live.state = state;
  live.life = ++lives_;
  queue_.add(entry);
  activity_.notify_all();
  if (state == model::State::preparing) nursery_.spawn(prepare(sequence, live.life));
}

Jobs::Live* Jobs::find(Sequence sequence) {
  const auto found = live_.find(sequence);
  return found == live_.end() ? nullptr : &found->second;
}

void Jobs::enter(Sequence sequence, model::State state) {
  auto* live = find(sequence);
  if (live == nullptr) return;
  live->state = state;
  if (live->changed) live->changed->notify_all();
}

void Jobs::forget(Sequence sequence) {
  const auto found = live_.find(sequence);
  if (found == live_.end()) return;
  const auto changed = std::move(found->second.changed);
  if (const auto places = places_.find(found->second.uid); --places->second == 0) places_.erase(places);
  live_.erase(found);
  canceled_by_.erase(sequence);
  environments_.release(sequence);
  activity_.notify_all();
  if (changed) changed->notify_all();
}

void Jobs::schedule() {
  if (nursery_.stopping()) return;
  while (const auto next = queue_.next(clock_.steady())) {
    auto& live = live_[*next];
    live.gpus = queue_.start(*next, clock_.steady());
    if (!live.gpus.empty()) gpus_.hold(live.id, live.gpus);
    enter(*next, model::State::running);
    const auto job = columns(*next);
    const int attempt = job.attempts.empty() ? 1 : job.attempts.back().number + 1;
    const int launch = last_launch(job) + 1;
    nursery_.spawn(run(*next, attempt, launch));
  }
}

void Jobs::take_devices(std::vector<queue::Device> devices) {
  queue_.set_devices(std::move(devices));
  schedule();
}

void Jobs::note_gpu_failure(const model::JobId& job, const model::GpuError& failure) {
  directories_.remark(job, failure.gpu + ", which the job holds, failed: " + failure.reason);
}

Task<> Jobs::cancel(Sequence sequence, std::string by) {
  auto* live = find(sequence);
  if (live != nullptr && live->collecting) {  // it has ended; what is left is what it left
    log_.info("collecting of outputs canceled", kv("job", live->id), kv("by", by));
    live->collecting_canceled_by = by;
    auto stop = *live->collecting;
    stop.request_stop();
    co_return;
  }
  if (live == nullptr || live->state == model::State::finalizing || live->stopping) co_return;
  live->stopping = true;
  canceled_by_[sequence] = by;
  const bool waits = queue_.remove(sequence);
  log_.info("job cancel requested", kv("job", live->id), kv("by", by));
  environments_.abandon(sequence);
  if (waits) {
    model::Ending ending = model::Canceled{by};
    co_await end(sequence, std::nullopt, std::move(ending));
    schedule();
    co_return;
  }
  enter(sequence, model::State::cancel_requested);
  // The supervisor is asked first, so that a full disk keeps no job alive; should the agent die in between, the
  // supervisor's ending tells of the cancellation.
  co_await stop_supervisor(sequence, shim::kStoppedCanceled);
  auto write = [&] { return store_.cancel_requested(sequence, by); };
  const auto written = co_await async::attempt(persist(write, "a cancellation"));
  if (!written && !is_final(sequence)) throw written.error();  // it may have ended before this was written
}

Task<> Jobs::set_held(Sequence sequence, bool held, std::string by) {
  const auto* live = find(sequence);
  if (live == nullptr || !queue_.is_waiting(sequence))
    throw Error(Code::conflict,
                columns(sequence).id + " does not wait any more, so it can not be " + (held ? "held" : "released"));
  if (held) queue_.set_held(sequence, true);  // at once, lest it starts while this is written
  co_await store_.set_held(sequence, held, std::move(by));
  queue_.set_held(sequence, held);
  activity_.notify_all();
  schedule();
}

Task<> Jobs::set_priority(Sequence sequence, int priority, std::string by) {
  if (priority < model::kMinPriority || priority > model::kMaxPriority)
    throw Error(Code::invalid, "priority must be from " + std::to_string(model::kMinPriority) + " to " +
                                   std::to_string(model::kMaxPriority));
  if (!queue_.is_waiting(sequence))
    throw Error(Code::conflict, columns(sequence).id + " does not wait any more: its priority has no effect");
  co_await store_.set_priority(sequence, priority, std::move(by));
  queue_.set_priority(sequence, priority);
  schedule();
}

Task<> Jobs::retry(Sequence sequence, std::string by) {
  if (!is_final(sequence))
    throw Error(Code::conflict, columns(sequence).id + " has not ended yet", "cancel it first, or wait");
  const auto whole = co_await read(sequence);
  auto job = *whole;
  const auto has = places_.find(job.uid);
  quota_.require_places(job.uid, has == places_.end() ? 0 : has->second, 1);
  co_await disk_.make_room();
  while (!swept_drivers_ || unswept_.contains(job.id)) co_await swept_now_.wait();
  const auto state = needs_preparation(job.request) ? model::State::preparing : model::State::queued;
  co_await store_.reopen(sequence, state, std::move(by));
  const auto now = columns(sequence);
  job.priority = now.priority;
  job.held = now.held;
  admit(sequence, job.id, job.uid, state, queue_entry(job, state == model::State::queued));
  log_.info("job retried", kv("job", job.id));
  schedule();
}

Task<> Jobs::set_drained(bool drained) {
  if (drained) queue_.set_drained(true);
  co_await store_.set_drained(drained);
  queue_.set_drained(drained);
  log_.info(drained ? "node drained" : "node resumed");
  schedule();
}

Task<> Jobs::preempt_all(model::Preempted::Cause cause) {
  queue_.set_drained(true);
  const auto* reason = cause == model::Preempted::Cause::drain ? shim::kStoppedDrain : shim::kStoppedShutdown;
  std::vector<Sequence> running;
  for (const auto& [sequence, live] : live_)
    if (runs(live.state)) running.push_back(sequence);
  log_.info("running jobs are asked to stop", kv("reason", reason),
            kv("jobs", static_cast<std::uint64_t>(running.size())));
  for (const auto sequence : running) {
    while (find(sequence) != nullptr && find(sequence)->state == model::State::running && find(sequence)->launch == 0)
      co_await next_change(sequence);  // it is about to start, and can be told only then
    if (find(sequence) != nullptr && !find(sequence)->stopping) co_await stop_supervisor(sequence, reason);
  }
  for (const auto sequence : running)
    while (find(sequence) != nullptr && runs(find(sequence)->state)) co_await next_change(sequence);
}

bool Jobs::idle() const {
  return live_.size() == queue_.waiting() && !queue_.any_released() && preparing_ == 0 && !environments_.any_waits();
}

Task<> Jobs::next_change(Sequence sequence) {
  auto* live = find(sequence);
  if (live == nullptr) co_return;
  if (!live->changed) live->changed = std::make_shared<async::Event>();
  const auto changed = live->changed;  // outlives the job's entry
  co_await changed->wait();
}

Task<> Jobs::wait_until_final(Sequence sequence) {
  while (!is_final(sequence)) co_await next_change(sequence);
}

Task<int> Jobs::wait_for_launch(Sequence sequence, int at_least) {
  while (const auto* live = find(sequence)) {
    if (live->launch > 0 && live->launch >= at_least) co_return live->launch;
    co_await next_change(sequence);
  }
  co_return 0;
}

bool Jobs::is_over(Sequence sequence, int launch) {
  const auto* live = find(sequence);
  if (live == nullptr || live->launch > launch) return true;
  return live->state != model::State::running && live->state != model::State::cancel_requested;
}

Task<> Jobs::wait_until_over(Sequence sequence, int launch) {
  while (!is_over(sequence, launch)) co_await next_change(sequence);
}

void Jobs::complete(model::Job& job) const {
  const auto found = live_.find(job.sequence);
  if (found == live_.end()) return;
  const auto& live = found->second;
  if (!model::is_final(job.state)) job.state = live.state;
  if (live.started && !job.attempts.empty() && !job.attempts.back().started) job.attempts.back().started = live.started;
}

std::optional<std::string> Jobs::why_waiting(Sequence sequence) const {
  if (const auto live = live_.find(sequence); live != live_.end())
    if (auto words = why_out(live->second)) return words;
  if (auto words = environments_.words(sequence, clock_.now())) return words;
  const auto waiting = queue_.why(sequence, clock_.steady());
  if (waiting.reason == queue::Waiting::Reason::not_waiting) return std::nullopt;
  return queue::to_words(waiting, [&](Sequence other) {
    const auto found = live_.find(other);
    return found == live_.end() ? std::string("a job that just ended") : found->second.id;
  });
}

Counts Jobs::counts() const {
  auto counts = ended_;
  for (const auto& [sequence, live] : live_) {
    switch (live.state) {
      case model::State::preparing:
        ++counts.preparing;
        break;
      case model::State::queued:
        ++counts.queued;
        break;
      case model::State::finalizing:
        ++counts.finalizing;
        break;
      default:
        ++counts.running;
    }
  }
  return counts;
}

Task<os::Identity> Jobs::identity_of(uid_t uid) {
  const auto known = identities_.find(uid);
  if (known != identities_.end() && clock_.steady() < known->second.until) co_return known->second.identity;
  auto look = [uid](const std::stop_token&) { return os::identity_of(uid); };
  auto found = co_await async::attempt(async::offload(lanes_.names, uid, look));
  if (!found) {
    const auto before = identities_.find(uid);  // better than nothing while nobody can be asked
    if (before == identities_.end()) throw found.error();
    co_return before->second.identity;
  }
  if (!*found)
    throw Error(Code::not_found, "the user with the number " + std::to_string(uid) + " does not exist any more");
  identities_.insert_or_assign(uid, KnownIdentity{**found, clock_.steady() + kIdentityKnownFor});
  co_return std::move(**found);
}

Task<std::string> Jobs::user_name(uid_t uid) {
  auto identity = co_await async::attempt(identity_of(uid));
  co_return identity ? std::move(identity->name) : std::to_string(uid);
}

model::Job Jobs::columns(Sequence sequence) {
  auto job = store_.columns(sequence);
  if (!job) throw no_job(sequence);
  return std::move(*job);
}

// That there is no thread for it at the moment is no job's failure.
Task<std::shared_ptr<const model::Job>> Jobs::read(Sequence sequence) {
  async::Backoff pause(kFirstReadPause, kLongestReadPause);
  for (;;) {
    auto job = co_await async::attempt(store_.read(sequence));
    if (job && !*job) throw no_job(sequence);
    if (job) co_return std::make_shared<const model::Job>(std::move(**job));
    if (job.error().code() != Code::unavailable) throw job.error();
    co_await async::sleep_for(pause.next());
  }
}

}  // namespace berth::jobs
