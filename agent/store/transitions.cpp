#include <algorithm>

#include "agent/store/changes.hpp"
#include "agent/store/records.hpp"
#include "agent/store/rows.hpp"
#include "runtime/base/error.hpp"

namespace berth::store {
namespace {

using model::Attempt;
using model::State;
using What = model::Event::What;

[[noreturn]] void refuse(const Current& job, const std::string& what) {
  throw Error(Code::conflict, "job " + job.id + " is " + std::string(model::name(job.state)) + ": " + what);
}

void check_step(const Current& job, State to) {
  if (!model::may_follow(job.state, to)) refuse(job, "it cannot become " + std::string(model::name(to)));
}

void check_live(const Current& job, const std::string& what) {
  if (model::is_final(job.state)) refuse(job, what);
}

// Keeps the launch and the boot of the start intent; an attempt that failed before one has none.
void record(db::Connection& db, Sequence sequence, const Attempt& attempt) {
  db.run(
      "INSERT INTO attempt (sequence, number, launch, boot_id, started, ended, duration_us, ending, "
      "user_cpu_us,"
      " system_cpu_us, peak_memory, io_read, io_written, gpu_us, gpu_peak_memory, outputs, outputs_size, "
      "outputs_left_out,"
      " owner)"
      " VALUES (?, ?, 0, '', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT uid FROM job WHERE sequence = ?1))"
      " ON CONFLICT (sequence, number) DO UPDATE SET started = ifnull(excluded.started, started),"
      " ended = excluded.ended, duration_us = excluded.duration_us, ending = excluded.ending,"
      " user_cpu_us = excluded.user_cpu_us, system_cpu_us = excluded.system_cpu_us,"
      " peak_memory = excluded.peak_memory, io_read = excluded.io_read, io_written = excluded.io_written,"
      " gpu_us = excluded.gpu_us, gpu_peak_memory = excluded.gpu_peak_memory,"
      " outputs = ifnull(excluded.outputs, outputs),"
      " outputs_left_out = ifnull(excluded.outputs_left_out, outputs_left_out),"
      " outputs_size = iif(excluded.outputs IS NULL, outputs_size, excluded.outputs_size), owner = excluded.owner",
      sequence, attempt.number, to_column(attempt.started), to_column(attempt.ended), to_column(attempt.duration),
      to_column(attempt.ending), attempt.usage.user_cpu.count(), attempt.usage.system_cpu.count(),
      to_column(attempt.usage.peak_memory), to_column(attempt.usage.io_read), to_column(attempt.usage.io_written),
      attempt.usage.gpu_time.count(), to_column(attempt.usage.gpu_peak_memory), to_column(attempt.outputs),
      to_column(attempt.outputs_size), to_column(attempt.outputs_left_out));
  if (attempt.environment_changes)
    db.run("UPDATE attempt SET environment_changes = ? WHERE sequence = ? AND number = ?",
           to_column(*attempt.environment_changes), sequence, attempt.number);
}

int last_launch(db::Connection& db, Sequence sequence) {
  auto row = db.query("SELECT max(launch) FROM attempt WHERE sequence = ?", sequence);
  row.step();
  return static_cast<int>(row.integer(0));
}

int last_attempt(db::Connection& db, Sequence sequence) {
  auto row = db.query("SELECT ifnull(max(number), 0) FROM attempt WHERE sequence = ?", sequence);
  row.step();
  return static_cast<int>(row.integer(0));
}

// A commit that was told to have failed may have come to the disk all the same, and is repeated: here and below, what
// is as it is to become is no reason to refuse.
bool is_written(db::Connection& db, const StartIntent& intent) {
  auto row = db.query(
      "SELECT 1 FROM attempt WHERE sequence = ? AND number = ? AND launch = ? AND boot_id = ? AND seal = ?"
      " AND started IS NULL AND ending IS NULL",
      intent.sequence, intent.attempt, intent.launch, intent.boot_id, intent.seal);
  return row.step();
}

// What the node keeps under a name.
void set_of_node(db::Connection& db, const char* name, const std::string& value) {
  db.run(
      "INSERT INTO node (name, value) VALUES (?, ?)"
      " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
      name, value);
}

}  // namespace

void prepared(db::Connection& db, const Origin& origin, Sequence sequence, const Prepared& prepared) {
  const auto job = current(db, sequence);
  std::optional<Change> change;
  if (job.state != State::queued) {
    check_step(job, State::queued);
    change = {What::queued, State::queued, job.attempt};
  }
  change_job(db, origin, job, change, "state = ?, environment_record = ?, environment = ?", model::name(State::queued),
             prepared.environment_record, to_column(prepared.environment));
  if (prepared.environment)
    db.run(
        "INSERT OR IGNORE INTO environment_user (environment, uid) SELECT environment, uid FROM job WHERE sequence = ?",
        sequence);
}

void start_intent(db::Connection& db, const Origin& origin, const StartIntent& intent) {
  const auto job = current(db, intent.sequence);
  const bool again = job.state == State::running && job.attempt == intent.attempt;
  if (!again) {
    check_step(job, State::running);
    if (intent.attempt <= job.attempt) refuse(job, "this attempt is over");
  }
  if (is_written(db, intent)) return;
  if (intent.launch <= last_launch(db, intent.sequence)) refuse(job, "this launch has been used");
  db.run(
      "INSERT INTO attempt (sequence, number, launch, boot_id, gpus, seal) VALUES (?, ?, ?, ?, ?, ?)"
      " ON CONFLICT (sequence, number) DO UPDATE SET launch = excluded.launch, boot_id = excluded.boot_id,"
      " gpus = excluded.gpus, seal = excluded.seal",
      intent.sequence, intent.attempt, intent.launch, intent.boot_id, to_column(intent.gpus), intent.seal);
  std::optional<Change> change;
  if (!again) change = {What::started, State::running, intent.attempt};
  change_job(db, origin, job, change, "state = ?, attempt = ?", model::name(State::running), intent.attempt);
}

void ended(db::Connection& db, const Origin& origin, Sequence sequence, const Attempt& attempt) {
  const auto job = current(db, sequence);
  if (job.state != State::finalizing) check_step(job, State::finalizing);
  if (attempt.number != job.attempt) refuse(job, "attempt " + std::to_string(attempt.number) + " is not the last");
  record(db, sequence, attempt);
  if (job.state == State::finalizing) return;
  const Change change{What::attempt_ended, State::finalizing, attempt.number, {}, attempt.ending};
  change_job(db, origin, job, change, "state = ?", model::name(State::finalizing));
}

void finalized(db::Connection& db, const Origin& origin, const Final& final) {
  const auto job = current(db, final.sequence);
  if (job.state == final.state) return;  // written by a commit that was told to have failed
  check_step(job, final.state);
  if (!model::is_final(final.state)) refuse(job, "a job cannot end as " + std::string(model::name(final.state)));
  if (final.attempt) record(db, final.sequence, *final.attempt);
  const int attempt = std::max(job.attempt, final.attempt ? final.attempt->number : 0);
  const Change change{What::ended, final.state, attempt, {}, final.ending};
  change_job(db, origin, job, change, "state = ?, ending = ?, finished = ?, attempt = ?", model::name(final.state),
             to_column(std::optional(final.ending)), to_unix_micros(final.finished), attempt);
}

void cancel_requested(db::Connection& db, const Origin& origin, Sequence sequence) {
  const auto job = current(db, sequence);
  check_live(job, "it cannot be canceled any more");
  if (job.state == State::cancel_requested) return;
  const Change change{What::cancel_requested, State::cancel_requested, job.attempt};
  change_job(db, origin, job, change, "state = ?, canceled_by = ?", model::name(State::cancel_requested), origin.by);
}

void requeue(db::Connection& db, const Origin& origin, Sequence sequence, const Attempt& attempt, State to) {
  const auto job = current(db, sequence);
  if (to != State::queued && to != State::preparing) refuse(job, "it can only wait again");
  if (job.state != to) check_step(job, to);
  if (attempt.number < job.attempt) refuse(job, "that attempt is long over");
  record(db, sequence, attempt);
  if (job.state == to && job.attempt == attempt.number) return;
  const Change change{What::requeued, to, attempt.number, {}, attempt.ending};
  change_job(db, origin, job, change, "state = ?, attempt = ?", model::name(to), attempt.number);
}

void postpone(db::Connection& db, const Origin& origin, Sequence sequence) {
  const auto job = current(db, sequence);
  if (job.state == State::queued) return;
  check_step(job, State::queued);
  db.run("DELETE FROM attempt WHERE sequence = ? AND started IS NULL AND ending IS NULL", sequence);
  const int attempt = last_attempt(db, sequence);
  const Change change{What::postponed, State::queued, attempt};
  change_job(db, origin, job, change, "state = ?, attempt = ?", model::name(State::queued), attempt);
}

void reopen(db::Connection& db, const Origin& origin, Sequence sequence, State to) {
  const auto job = current(db, sequence);
  if (!model::is_final(job.state)) refuse(job, "only a job that is over can be run again");
  if (to != State::queued && to != State::preparing) refuse(job, "it can only wait again");
  const Change change{What::retried, to, job.attempt};
  change_job(db, origin, job, change, "state = ?, ending = NULL, finished = NULL, held = 0, canceled_by = ''",
             model::name(to));
}

void set_priority(db::Connection& db, const Origin& origin, Sequence sequence, int priority) {
  const auto job = current(db, sequence);
  check_live(job, "its priority does not matter any more");
  if (job.priority == priority) return;
  const Change change{What::priority_changed, job.state, job.attempt, priority};
  change_job(db, origin, job, change, "priority = ?", priority);
}

void set_held(db::Connection& db, const Origin& origin, Sequence sequence, bool held) {
  const auto job = current(db, sequence);
  if (job.state != State::preparing && job.state != State::queued)
    refuse(job, held ? "only a waiting job can be held" : "only a waiting job can be released");
  if (job.held == held) return;
  const Change change{held ? What::held : What::released, job.state, job.attempt};
  change_job(db, origin, job, change, "held = ?", held);
}

void set_drained(db::Connection& db, bool drained) { set_of_node(db, "drained", drained ? "yes" : "no"); }

void set_gpu_record(db::Connection& db, const std::string& record) { set_of_node(db, "gpus", record); }

}  // namespace berth::store
