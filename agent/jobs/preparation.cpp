// Code and environment of a job, brought to this machine before it is given a place. Everything here may be overtaken
// by a cancellation at a co_await, so each step looks at the job again afterwards.

#include "agent/jobs/runner.hpp"
#include "agent/wire/secrets.hpp"

namespace berth::jobs {
namespace {

constexpr std::chrono::milliseconds kFirstPreparationPause{200};
constexpr std::chrono::milliseconds kLongestPreparationPause{60'000};

}  // namespace

Task<> Runner::prepare() {
  const auto current = [this] { return !ended_ && !stopping_; };
  async::Backoff pause(kFirstPreparationPause, kLongestPreparationPause);
  store::Prepared prepared;
  for (;;) {
    if (!current()) co_return;
    const auto job = co_await record();
    if (!current()) co_return;
    auto materialized = co_await materialize(*job);
    if (ended_ && !context_.is_live(sequence_))  // canceled just when it was there, and not run once more
      context_.environments.release(sequence_);
    if (!current()) co_return;
    if (materialized.failure && note_outage(materialized.failure->error)) {
      co_await sit_out(outage_);
      continue;
    }
    outage_.reset();
    if (!materialized.failure) {
      prepared.environment_record = std::move(materialized.environment.record);
      if (materialized.environment.digest != Digest{}) prepared.environment = materialized.environment.digest;
      break;
    }
    Evidence evidence;
    evidence.failure = std::move(materialized.failure);
    model::Attempt failed;
    failed.number = ++attempts_;
    failed.ending = judge(*job, evidence).ending;
    const bool goes_on = co_await goes_on_without(*job, std::move(failed));
    if (!goes_on) co_return;
    co_await async::sleep_for(pause.next());
  }
  const auto done = [&] { return context_.store.prepared(sequence_, prepared); };
  const auto written = co_await async::attempt(context_.persist(done, "a preparation"));
  if (!current()) co_return;
  if (!written) throw written.error();
  change_record([&](model::Job& job) {
    job.state = model::State::queued;
    job.environment_record = prepared.environment_record;
    job.environment = prepared.environment;
  });
  enter(model::State::queued);
  context_.queue.set_ready(sequence_, true);
  context_.schedule();
}

// Whether the job is to be prepared once more; else it is over, or somebody has canceled it.
Task<bool> Runner::goes_on_without(const model::Job& job, model::Attempt failed) {
  if (!wants_retry(job, failed)) {
    stopping_ = true;
    context_.queue.remove(sequence_);
    const auto ending = *failed.ending;
    co_await end(std::move(failed), ending, db::Durable::yes);
    context_.schedule();
    co_return false;
  }
  context_.log.info("job could not be prepared; it will be retried", kv("job", id_),
                    kv("ending", model::to_words(*failed.ending)));
  const auto again = [&] { return context_.store.requeue(sequence_, failed, model::State::preparing); };
  const auto written = co_await async::attempt(context_.persist(again, "a retry"));
  if (ended_ || stopping_) co_return false;
  if (!written) throw written.error();
  auto now = job;
  now.attempts.push_back(std::move(failed));
  job_ = std::make_shared<const model::Job>(std::move(now));
  co_return true;
}

Task<Runner::Materialized> Runner::materialize(model::Job job) {
  Materialized result;
  const auto known = co_await async::attempt(context_.identities.of(uid_));
  if (!known) {
    result.failure = Failure{Failure::Of::start, known.error()};
    co_return result;
  }
  const auto& identity = *known;
  if (job.request.snapshot) {
    const auto code = co_await async::attempt(prepare_code(job, identity));
    if (!code) {
      result.failure = Failure{Failure::Of::code, code.error()};
      co_return result;
    }
    if (stopping_) co_return result;
  }
  model::JobSecrets secrets;
  auto ensure = [&]() -> Task<environment::Ready> {
    const bool wanted = job.request.environment.kind != model::EnvironmentRequest::Kind::none;
    if (wanted) secrets = co_await context_.secrets.of(job);
    wire::put_back(job.request, secrets);
    co_return co_await context_.environments.ensure(job, identity, secrets.registries);
  };
  auto environment = co_await async::attempt(ensure());
  if (environment) {
    result.environment = std::move(*environment);
  } else {
    auto hidden = co_await context_.masks.hide(environment.error(), secrets, uid_);
    result.failure = Failure{Failure::Of::environment, std::move(hidden)};
  }
  co_return result;
}

Task<> Runner::prepare_code(const model::Job& job, const os::Identity& identity) {
  struct Count {
    explicit Count(std::size_t& of) : all(of) { ++all; }
    Count(const Count&) = delete;
    Count& operator=(const Count&) = delete;
    ~Count() { --all; }
    std::size_t& all;
  } const count(context_.preparing);
  disk::Transit::Charge room;
  for (;;) {
    auto work = [&](const std::stop_token&) { return context_.directories.prepare(job, identity, room.bytes()); };
    const auto needed = co_await async::offload(context_.lanes.preparing, uid_, work);
    if (!needed) co_return;
    room = co_await context_.room_for(uid_, *needed);
  }
}

}  // namespace berth::jobs
