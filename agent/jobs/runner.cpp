#include "agent/jobs/runner.hpp"

#include <signal.h>

#include <algorithm>

#include "agent/jobs/outage.hpp"
#include "runtime/shim/client.hpp"

namespace berth::jobs {
namespace {

// Of jobs that were submitted before the node filled it in.
constexpr std::chrono::milliseconds kUnknownGrace{10'000};
constexpr std::chrono::milliseconds kFirstReadPause{50};
constexpr std::chrono::milliseconds kLongestReadPause{5'000};
constexpr auto kStopPatience = std::chrono::seconds(5);
constexpr std::chrono::milliseconds kLongestGrace = std::chrono::hours(24);
// A record that is kept while its job waits is not read again when its turn comes.
constexpr std::size_t kMostKept = 256;
constexpr std::uint64_t kLongestKept = 16U << 10;

std::optional<std::chrono::milliseconds> limit_of(const model::JobRequest& request) {
  if (!request.timeout) return std::nullopt;
  return *request.timeout + request.stop.grace.value_or(kUnknownGrace);
}

std::optional<std::chrono::milliseconds> limit_of(const store::LiveJob& job) {
  if (!job.timeout) return std::nullopt;
  return *job.timeout + job.grace;
}

// An attempt that could not even be prepared has none.
int last_launch(const model::Job& job) {
  int last = 0;
  for (const auto& attempt : job.attempts) last = std::max(last, attempt.launch);
  return last;
}

model::State final_state(const model::Ending& ending) {
  if (std::holds_alternative<model::Canceled>(ending)) return model::State::canceled;
  return model::succeeded(ending) ? model::State::completed : model::State::failed;
}

}  // namespace

Runner::Runner(Context& context, std::shared_ptr<const model::Job> job, std::uint64_t bytes)
    : context_(context),
      sequence_(job->sequence),
      id_(job->id),
      uid_(job->uid),
      resources_(job->request.resources),
      limit_(limit_of(job->request)),
      state_(job->state),
      priority_(job->priority),
      held_(job->held),
      attempts_(job->attempts.empty() ? 0 : job->attempts.back().number),
      launches_(last_launch(*job)),
      large_(bytes > kLongestKept) {
  counted_ = !large_ && context_.kept < kMostKept;
  if (!counted_) return;
  ++context_.kept;
  job_ = std::move(job);
}

// How long it is nobody has looked.
Runner::Runner(Context& context, const store::LiveJob& job)
    : context_(context),
      sequence_(job.sequence),
      id_(job.id),
      uid_(job.uid),
      resources_(job.resources),
      limit_(limit_of(job)),
      state_(job.state),
      priority_(job.priority),
      held_(job.held),
      stopping_(job.state == model::State::cancel_requested),
      canceled_by_(job.canceled_by),
      attempts_(job.attempt),
      launches_(job.last_launch),
      large_(true) {}

Runner::~Runner() {
  if (counted_) --context_.kept;
}

void Runner::enter_queue() {
  context_.queue.add(entry(state_ != model::State::preparing));
  if (state_ == model::State::preparing) spawn([](Runner& runner) { return runner.prepare(); });
}

queue::Entry Runner::entry(bool ready) const { return {sequence_, resources_, priority_, held_, ready, limit_}; }

// That there is no thread for it at the moment is no job's failure.
Task<std::shared_ptr<const model::Job>> Runner::record() {
  async::Backoff pause(kFirstReadPause, kLongestReadPause);
  while (!job_) {
    auto job = co_await async::attempt(context_.store.read(sequence_));
    if (job && !*job) throw Error(Code::not_found, "there is no job number " + std::to_string(sequence_.value()));
    if (job) {
      job_ = std::make_shared<const model::Job>(std::move(**job));
    } else {
      // What another agent has launched, or seen the end of, is not given up for that.
      const bool passes = job.error().code() == Code::unavailable || (attempt_ && attempt_->adopted);
      if (!passes) throw job.error();
      co_await async::sleep_for(pause.next());
    }
  }
  co_return job_;
}

void Runner::enter(model::State state) {
  state_ = state;
  if (changed_) changed_->notify_all();
}

Task<> Runner::next_change() {
  if (ended_) co_return;
  if (!changed_) changed_ = std::make_shared<async::Event>();
  const auto changed = changed_;  // outlives the runner
  co_await changed->wait();
}

bool Runner::is_over(int launch) const {
  if (ended_ || launched_ > launch) return true;
  return state_ != model::State::running && state_ != model::State::cancel_requested;
}

void Runner::complete(model::Job& job) const {
  if (!model::is_final(job.state)) job.state = state_;
  if (started_ && !job.attempts.empty() && !job.attempts.back().started) job.attempts.back().started = started_;
}

void Runner::leave_launch() {
  launched_ = 0;
  asked_to_stop_ = false;
  supervisor_.reset();
  started_.reset();
}

std::optional<std::string> Runner::canceler() const { return stopping_ ? std::optional(canceled_by_) : std::nullopt; }

Task<> Runner::cancel(std::string by) {
  if (collecting_) {  // it has ended; what is left is what it left
    context_.log.info("collecting of outputs canceled", kv("job", id_), kv("by", by));
    collecting_canceled_by_ = by;
    auto stop = *collecting_;
    stop.request_stop();
    co_return;
  }
  if (ended_ || state_ == model::State::finalizing || stopping_) co_return;
  stopping_ = true;
  canceled_by_ = by;
  const bool waits = context_.queue.remove(sequence_);
  context_.log.info("job cancel requested", kv("job", id_), kv("by", by));
  context_.environments.abandon(sequence_);
  if (waits) {
    model::Ending ending = model::Canceled{by};
    co_await end(std::nullopt, std::move(ending), db::Durable::yes);
    context_.schedule();
    co_return;
  }
  enter(model::State::cancel_requested);
  // The supervisor is asked first, so that a full disk keeps no job alive; should the agent die in between, the
  // supervisor's ending tells of the cancellation.
  co_await stop_supervisor(shim::kStoppedCanceled);
  if (ended_) co_return;
  auto write = [&] { return context_.store.cancel_requested(sequence_, by); };
  const auto written = co_await async::attempt(context_.persist(write, "a cancellation"));
  if (!written && !ended_) throw written.error();  // it may have ended before this was written
}

Task<> Runner::stop_supervisor(std::string reason) {
  if (ended_ || launched_ == 0 || !attempt_ || !may_be_supervised(attempt_->stage)) co_return;
  const auto launch = launched_;
  const auto job = co_await record();  // this agent may have taken it up just now
  if (is_over(launch)) co_return;
  asked_to_stop_ = true;
  shim::Stop stop;
  stop.signal = job->request.stop.signal;
  stop.grace = job->request.stop.grace.value_or(context_.settings.defaults.stop_grace);
  stop.reason = std::move(reason);
  const auto directory = context_.directories.directory(id_, launch);
  const auto request = [&]() -> Task<> {
    shim::request_stop(directory, stop);
    co_return;
  };
  const auto asked = co_await async::attempt(context_.persist(request, "a stop"));
  if (asked) {
    if (!context_.settings.switch_user)
      spawn([launch, grace = stop.grace](Runner& runner) { return runner.enforce_stop(launch, grace); });
    co_return;
  }
  // Its directory is gone, or is not what it was: then nobody there can be asked.
  context_.log.warn("a job cannot be asked to stop; it is killed", kv("job", id_),
                    kv("error", asked.error().describe()));
  co_await kill_leftovers(launch, context_.drivers.of(job->request).group_of(id_, launch));
}

// A job may keep its own supervisor, which has the same user, from doing anything.
Task<> Runner::enforce_stop(int launch, std::chrono::milliseconds grace) {
  co_await async::sleep_for(std::min<std::chrono::milliseconds>(grace, kLongestGrace) + kStopPatience);
  if (ended_ || launched_ != launch || !supervisor_) co_return;
  os::send_signal(*supervisor_, SIGCONT);
  co_await async::sleep_for(kStopPatience);
  if (launched_ != launch || !supervisor_ || is_over(launch)) co_return;
  context_.log.warn("a job's supervisor does not stop it; it is killed", kv("job", id_));
  context_.directories.remark(id_, "its supervisor did not stop it though it was asked to, and was killed");
  os::send_signal(*supervisor_, SIGKILL);
}

Task<> Runner::kill_leftovers(int launch, std::string group) {
  const auto directory = context_.directories.directory(id_, launch);
  auto kill = [&] { shim::kill_unsupervised(directory, group); };
  const auto killed = co_await async::attempt(async::offload(context_.pool, kill));
  if (killed) co_return;
  context_.log.error("processes of a lost job are left", kv("job", id_), kv("error", killed.error().describe()));
  context_.directories.remark(id_, "processes of the job are left: " + killed.error().describe());
}

Task<> Runner::end(std::optional<model::Attempt> attempt, model::Ending ending, db::Durable durable) {
  store::Final final;
  final.sequence = sequence_;
  final.state = final_state(ending);
  final.ending = ending;
  final.finished = context_.clock.now();
  final.attempt = std::move(attempt);
  co_await context_.persist([&] { return context_.store.finalized(final, durable); }, "an ending");
  context_.log.info("job ended", kv("job", id_), kv("ending", model::to_words(ending)));
  state_ = final.state;
  ended_ = true;
  leave_launch();  // whoever still holds this holds nothing of it
  job_.reset();
  context_.environments.release(sequence_);
  const auto changed = std::move(changed_);
  context_.ended(*this);
  if (changed) changed->notify_all();
}

}  // namespace berth::jobs
