#include "agent/jobs/jobs.hpp"

#include <algorithm>
#include <limits>
#include <set>

#include "runtime/shim/client.hpp"

namespace berth::jobs {
namespace {

bool asks_for_gpus(const store::NewJob& job) { return job.request.resources.gpus > 0; }

bool runs(model::State state) {
  return state == model::State::running || state == model::State::cancel_requested || state == model::State::finalizing;
}

}  // namespace

Jobs::Jobs(async::Executor executor, Settings settings, const Parts& parts, Log log)
    : context_(executor, std::move(settings), parts, std::move(log)) {
  context_.schedule = [this] { schedule(); };
  context_.ended = [this](Runner& runner) { forget(runner); };
  context_.is_live = [this](Sequence job) { return runners_.contains(job); };
}

Task<> Jobs::stop() {
  co_await context_.nursery.stop_and_join();
  for (auto* driver : context_.drivers.all()) co_await driver->stop();
  co_await context_.environments.stop();
  co_await context_.leftovers.clear_the_last();
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
    context_.quota.require_places(uid, count, jobs.size());
  } catch (const Error&) {
    const auto known = [&](const store::NewJob& job) {
      return context_.store.knows_submission(job.request.submission_id);
    };
    if (!std::all_of(jobs.begin(), jobs.end(), known)) throw;
  }
  return Places(places_, uid, jobs.size());
}

// The place in the queue's order of a job that would start at once, taken while it is being submitted, so that its
// start goes on record with it: one wait for the disk instead of two. It is given to the job, or back.
class Jobs::Turn {
 public:
  // Takes one where the job would be the next to start. Devices are given to jobs that are on record only.
  Turn(Jobs& jobs, store::NewJob& job)
      : jobs_(jobs),
        context_(jobs.context_),
        key_(std::numeric_limits<std::int64_t>::max() - jobs.turns_++ % kMostTurns) {
    const auto& request = job.request;
    if (job.state != model::State::queued || request.held || request.resources.gpus > 0) return;
    queue::Entry entry{key_, request.resources, request.priority, false, true, std::nullopt};
    context_.queue.add(entry);
    if (context_.queue.next(context_.clock.steady()) != key_) {
      context_.queue.remove(key_);
      return;
    }
    context_.queue.start(key_, context_.clock.steady());
    taken_ = true;
    ++jobs_.taken_;
    intent_.boot_id = context_.settings.boot_id;
    if (context_.drivers.of(request).hands_over_keys()) {
      seal_.key = shim::new_key();
      seal_.print = intent_.seal = shim::print_of(seal_.key);
    }
    job.start = intent_;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  // Whoever did not fit meanwhile may fit now.
  ~Turn() {
    if (!taken_) return;
    give_back();
    context_.nursery.spawn(schedule(jobs_));
  }

  bool taken() const { return taken_; }
  // The job's own now, whose start is on record.
  void give_to(Runner& runner) {
    give_back();
    context_.queue.start(runner.sequence(), context_.clock.steady());
    runner.begin_recorded(intent_, seal_);
  }

 private:
  static constexpr std::int64_t kMostTurns = 1'000'000;  // at once, by far

  void give_back() {
    taken_ = false;
    --jobs_.taken_;
    context_.queue.finish(key_);
    jobs_.activity_.notify_all();
  }
  static Task<> schedule(Jobs& jobs) {
    jobs.schedule();
    co_return;
  }

  Jobs& jobs_;
  Context& context_;
  const Sequence key_;
  bool taken_ = false;
  store::StartIntent intent_;
  shim::Seal seal_;
};

Task<std::vector<store::Submitted>> Jobs::submit(std::vector<store::NewJob> jobs, SubmittedSecrets secrets) {
  const auto places = places_for(jobs);
  if (!jobs.empty()) co_await context_.quota.require_storage(jobs.front().uid, 0);
  co_await context_.disk.make_room();
  if (std::any_of(jobs.begin(), jobs.end(), asks_for_gpus)) co_await context_.gpus.look_if_none();
  for (auto& job : jobs) {
    drivers::fill_in(job.request, context_.settings.defaults);
    drivers::check_credentials(job.request);
    require_room(job.request.resources);
    job.state = needs_preparation(job.request) ? model::State::preparing : model::State::queued;
  }
  if (!secrets.empty()) co_await context_.secrets.close(jobs, secrets);
  if (jobs.empty()) co_return std::vector<store::Submitted>();
  Turn turn(*this, jobs.front());
  auto written = co_await async::attempt(context_.store.submit(std::move(jobs)));
  if (!written && !is_refused(written.error().code())) look_for_unknown();
  auto submitted = std::move(written).value();
  for (auto& one : submitted) settle_submitted(one, turn);
  schedule();
  co_return submitted;
}

void Jobs::require_room(const model::Resources& resources) const {
  if (const auto reason = context_.queue.never_fits(resources))
    throw Error(Code::invalid, "this job can never run here: it " + *reason, "`berth status` shows what the node has");
}

void Jobs::settle_submitted(store::Submitted& submitted, Turn& turn) {
  const auto& job = submitted.job;
  if (runners_.contains(job.sequence) || model::is_final(job.state)) return;
  const bool begun = turn.taken() && !submitted.existed && job.state == model::State::running;
  // One that was told to have failed may have come to the disk all the same: whoever sends it again gets it to run.
  if (!begun && !waits(job.state)) return;
  auto record = std::make_shared<const model::Job>(job);
  auto& runner = admit(std::make_shared<Runner>(context_, std::move(record), submitted.request_bytes));
  context_.log.info("job submitted", kv("job", job.id), kv("user", job.user));
  runner.enter_queue();
  if (begun) turn.give_to(runner);
}

Runner& Jobs::admit(RunnerPtr runner) {
  auto& admitted = *runner;
  ++places_[admitted.uid()];
  runners_[admitted.sequence()] = std::move(runner);
  activity_.notify_all();
  return admitted;
}

Jobs::RunnerPtr Jobs::find(Sequence job) const {
  const auto found = runners_.find(job);
  return found == runners_.end() ? nullptr : found->second;
}

void Jobs::forget(Runner& runner) {
  ++(runner.state() == model::State::completed  ? ended_.completed
     : runner.state() == model::State::canceled ? ended_.canceled
                                                : ended_.failed);
  if (const auto places = places_.find(runner.uid()); --places->second == 0) places_.erase(places);
  runners_.erase(runner.sequence());
  activity_.notify_all();
}

void Jobs::schedule() {
  if (context_.nursery.stopping()) return;
  while (const auto next = context_.queue.next(context_.clock.steady())) {
    auto devices = context_.queue.start(*next, context_.clock.steady());
    runners_.at(*next)->begin(std::move(devices));
  }
}

void Jobs::take_devices(std::vector<queue::Device> devices) {
  context_.queue.set_devices(std::move(devices));
  schedule();
}

model::JobId Jobs::id_of(Sequence job) {
  if (const auto runner = find(job)) return runner->id();
  auto id = context_.store.id_of(job);
  if (!id) throw Error(Code::not_found, "there is no job number " + std::to_string(job.value()));
  return std::move(*id);
}

Task<> Jobs::cancel(Sequence job, std::string by) {
  if (const auto runner = find(job)) co_await runner->cancel(std::move(by));
}

Task<> Jobs::set_held(Sequence job, bool held, std::string by) {
  const auto runner = find(job);
  if (!runner || !context_.queue.is_waiting(job))
    throw Error(Code::conflict,
                id_of(job) + " does not wait any more, so it can not be " + (held ? "held" : "released"));
  if (held) context_.queue.set_held(job, true);  // at once, lest it starts while this is written
  co_await context_.store.set_held(job, held, std::move(by));
  context_.queue.set_held(job, held);
  runner->set_held(held);
  activity_.notify_all();
  schedule();
}

Task<> Jobs::set_priority(Sequence job, int priority, std::string by) {
  if (priority < model::kMinPriority || priority > model::kMaxPriority)
    throw Error(Code::invalid, "priority must be from " + std::to_string(model::kMinPriority) + " to " +
                                   std::to_string(model::kMaxPriority));
  const auto runner = find(job);
  if (!runner || !context_.queue.is_waiting(job))
    throw Error(Code::conflict, id_of(job) + " does not wait any more: its priority has no effect");
  co_await context_.store.set_priority(job, priority, std::move(by));
  context_.queue.set_priority(job, priority);
  runner->set_priority(priority);
  schedule();
}

Task<> Jobs::retry(Sequence sequence, std::string by) {
  if (!is_final(sequence))
    throw Error(Code::conflict, id_of(sequence) + " has not ended yet", "cancel it first, or wait");
  auto read = co_await context_.store.read(sequence);
  if (!read) throw Error(Code::not_found, "there is no job number " + std::to_string(sequence.value()));
  auto job = std::move(*read);
  const auto has = places_.find(job.uid);
  context_.quota.require_places(job.uid, has == places_.end() ? 0 : has->second, 1);
  if (job.request.resources.gpus > 0) co_await context_.gpus.look_if_none();
  require_room(job.request.resources);
  co_await context_.disk.make_room();
  co_await context_.leftovers.swept(job.id);
  job.state = needs_preparation(job.request) ? model::State::preparing : model::State::queued;
  const auto bytes = context_.store.request_bytes(sequence);
  co_await context_.store.reopen(sequence, job.state, std::move(by));
  if (runners_.contains(sequence)) co_return;  // whoever looked for unknown ones has taken it
  job.held = false;
  job.canceled_by.clear();
  job.ending.reset();
  job.finished.reset();
  context_.log.info("job retried", kv("job", job.id));
  auto record = std::make_shared<const model::Job>(std::move(job));
  admit(std::make_shared<Runner>(context_, std::move(record), bytes)).enter_queue();
  schedule();
}

void Jobs::reconfigure(const Settings& settings) {
  context_.settings.capacity = settings.capacity;
  context_.settings.patience = settings.patience;
  context_.settings.outage_patience = settings.outage_patience;
  context_.settings.defaults = settings.defaults;
  context_.queue.set_capacity(settings.capacity, settings.patience);
  warn_of_too_big();
  schedule();
}

// They were promised to be run, and the node may have as much again: so they wait, and say what for.
void Jobs::warn_of_too_big() const {
  const auto count = context_.queue.too_big();
  if (count > 0)
    context_.log.warn("waiting jobs ask for more than this node has", kv("jobs", static_cast<std::uint64_t>(count)));
}

Task<> Jobs::set_drained(bool drained) {
  if (drained) context_.queue.set_drained(true);
  co_await context_.store.set_drained(drained);
  context_.queue.set_drained(drained);
  context_.log.info(drained ? "node drained" : "node resumed");
  schedule();
}

Task<> Jobs::preempt_all(model::Preempted::Cause cause) {
  context_.queue.set_drained(true);
  const auto* reason = cause == model::Preempted::Cause::drain ? shim::kStoppedDrain : shim::kStoppedShutdown;
  context_.log.info("running jobs are asked to stop", kv("reason", reason));
  std::set<RunnerPtr> asked;
  for (;;) {
    std::vector<RunnerPtr> running;
    for (const auto& [sequence, runner] : runners_)
      if (runs(runner->state()) && !asked.contains(runner)) running.push_back(runner);
    if (running.empty() && taken_ == 0) break;
    if (running.empty()) co_await activity_.wait();  // for one that is being submitted, and starts with that
    for (const auto& runner : running) {
      asked.insert(runner);
      while (!runner->ended() && runner->state() == model::State::running && runner->launch() == 0)
        co_await runner->next_change();  // it is about to start, and can be told only then
      if (!runner->ended() && !runner->stopping()) co_await runner->stop_supervisor(reason);
    }
  }
  for (const auto& runner : asked)
    while (!runner->ended() && runs(runner->state())) co_await runner->next_change();
}

bool Jobs::idle() const {
  return runners_.size() == context_.queue.waiting() && !context_.queue.any_released() && context_.preparing == 0 &&
         !context_.environments.any_waits();
}

Task<> Jobs::wait_until_final(Sequence job) {
  while (const auto runner = find(job)) co_await runner->next_change();
}

Task<int> Jobs::wait_for_launch(Sequence job, int at_least) {
  while (const auto runner = find(job)) {
    if (runner->launch() > 0 && runner->launch() >= at_least) co_return runner->launch();
    co_await runner->next_change();
  }
  co_return 0;
}

Task<> Jobs::wait_until_over(Sequence job, int launch) {
  for (;;) {
    const auto runner = find(job);
    if (!runner || runner->is_over(launch)) co_return;
    co_await runner->next_change();
  }
}

Task<std::string> Jobs::name_of(model::Principal who) {
  if (auto name = who.name()) co_return std::move(*name);
  co_return co_await user_name(*who.uid());
}

Task<Masks::Kept> Jobs::mask_of(Sequence job, model::Principal reader) {
  return context_.masks.of(job, reader, [this, job, reader] { return context_.secrets.values_of(job, reader); });
}

Task<Masks::Kept> Jobs::mask_of(Digest environment, model::Principal reader) {
  auto values = co_await context_.secrets.values_of(environment, reader);
  co_return co_await context_.masks.make(std::move(values), std::move(reader));
}

}  // namespace berth::jobs
