// What is done once nothing of an attempt runs any more: each step of launch_state.hpp's second half can be repeated.

#include "agent/jobs/runner.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobs {
namespace {

bool collects_outputs(const model::Job& job) { return job.request.snapshot || !job.request.outputs.empty(); }

}  // namespace

// Nothing of it is supervised any more: gathers what is known of what became of it.
Task<Came> Runner::settle() {
  auto& attempt = *attempt_;
  auto& evidence = attempt.evidence;
  const bool added = co_await attempt.driver->settle(launch_id(attempt.launch), evidence.condition);
  attempt.told_by_driver = attempt.told_by_driver || added;
  if (const auto* lost = std::get_if<shim::Lost>(&evidence.condition)) {
    if (!lost->rebooted && evidence.changed.empty()) evidence.lost = co_await attempt.driver->why_lost();
    co_await kill_leftovers(attempt.launch, attempt.driver->group_of(id_, attempt.launch));
  } else if (!std::holds_alternative<shim::Over>(evidence.condition) && !stopping_ && evidence.failure) {
    const bool waits = co_await postpone(evidence.failure->error);
    if (waits) co_return Came::postponed;
  }
  note_what_ran(evidence.condition, attempt.record);
  co_return Came::done;
}

// The first time that all is known of it. What fails afterwards is done again, and comes to the same.
Task<> Runner::release() {
  auto& attempt = *attempt_;
  auto& evidence = attempt.evidence;
  auto failed = co_await give_back_gpus(attempt.record);
  if (failed) evidence.gpu = std::move(failed);
  evidence.canceled_by = canceler();
  evidence.may_be_asked = attempt.adopted || asked_to_stop_;
  auto verdict = judge(*job_, evidence);
  attempt.record.ending = std::move(verdict.ending);
  for (const auto& remark : verdict.remarks) context_.directories.remark(id_, remark);
  context_.queue.finish(sequence_);
  context_.schedule();
}

Task<std::optional<model::GpuError>> Runner::give_back_gpus(model::Attempt& attempt) {
  const auto held = gpus_.size();
  if (held == 0) co_return std::nullopt;
  const bool back = co_await context_.gpus.memory_back(id_);
  if (!back)
    context_.directories.remark(
        id_, "processes of the job still have memory on its GPUs, which are withheld until it is back");
  gpus_.clear();
  const auto stay = context_.gpus.give_back(id_);
  if (!stay) co_return std::nullopt;
  attempt.usage.gpu_time = attempt.duration ? *attempt.duration * held : stay->usage.gpu_time;
  attempt.usage.gpu_peak_memory = stay->usage.peak_memory;
  co_return stay->failure;
}

Task<> Runner::note_end() {
  if (!collects_outputs(*job_) || !attempt_->record.started) co_return;
  enter(model::State::finalizing);
  const auto ended = [&] { return context_.store.ended(sequence_, attempt_->record); };
  co_await context_.persist(ended, "an ending");
}

Task<> Runner::gather() {
  if (!attempt_->record.started) co_return;
  if (collects_outputs(*job_)) attempt_->outputs = co_await gather_outputs();
  co_await look_at_environment();
}

// Before anything else of the launch goes.
Task<> Runner::look_at_environment() {
  auto& record = attempt_->record;
  const auto launch = attempt_->launch;
  const auto changed = co_await context_.environments.was_changed(*job_);
  if (changed) record.environment_changes.emplace().shared = *changed;
  if (changed || !context_.directories.has_layer(id_, launch)) co_return;
  auto look = [&](const std::stop_token&) {
    record.environment_changes = context_.directories.environment_changes(id_, launch);
  };
  co_await async::offload(context_.lanes.collecting, uid_, look);
}

// The last step: the record, then the directory. Once it is recorded nothing here fails.
Task<> Runner::conclude() {
  if (!stopping_ && wants_retry(*job_, attempt_->record)) co_return co_await conclude_to_retry();
  const auto last = launch_id(attempt_->launch);
  auto& driver = *attempt_->driver;
  auto environment = context_.environments.lease_of(sequence_);
  // What its supervisor wrote is on disk, and stays until this record is there as well: nobody has to wait for that.
  const auto& evidence = attempt_->evidence;
  const bool kept = std::holds_alternative<shim::Over>(evidence.condition) && !attempt_->told_by_driver &&
                    !evidence.gpu && !attempt_->record.outputs;
  const auto durable = kept ? db::Durable::no : db::Durable::yes;
  co_await end(attempt_->record, *attempt_->record.ending, durable);
  context_.leftovers.clear(last, driver, std::move(environment));
}

Task<> Runner::conclude_to_retry() {
  const auto& record = attempt_->record;
  context_.log.info("job attempt ended; it will be retried", kv("job", id_),
                    kv("ending", model::to_words(*record.ending)));
  const auto again = [&] { return context_.store.requeue(sequence_, record, model::State::queued); };
  co_await context_.persist(again, "a retry");
  leave_launch();
  attempt_->outputs = {};
  context_.leftovers.clear_attempt(launch_id(attempt_->launch));
  if (stopping_) {  // canceled while that was written
    model::Ending ending = model::Canceled{canceled_by_};
    co_return co_await end(std::nullopt, std::move(ending), db::Durable::yes);
  }
  change_record([&](model::Job& job) {
    job.state = model::State::queued;
    if (!job.attempts.empty() && job.attempts.back().number == record.number) job.attempts.pop_back();
    job.attempts.push_back(record);
  });
  attempt_->stage = Stage::over;
  context_.queue.add(entry(true));
  enter(model::State::queued);
  spawn([](Runner& runner) -> Task<> {  // when this attempt has left
    runner.context_.schedule();
    co_return;
  });
}

}  // namespace berth::jobs
