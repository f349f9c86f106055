#include "agent/store/records.hpp"
#include "agent/store/rows.hpp"
#include "runtime/base/error.hpp"

namespace berth::store {
namespace {

using model::Attempt;
using model::State;

struct Current {
  model::JobId id;
  State state;
  int attempt = 0;
};

Current current(db::Connection& db, Sequence sequence) {
  auto row = db.query("SELECT id, state, attempt FROM job WHERE sequence = ?", sequence);
  if (!row.step()) throw Error(Code::not_found, "there is no job with number " + std::to_string(sequence));
  return {model::JobId(row.text(0)), state_column(row, 1), static_cast<int>(row.integer(2))};
}

[[noreturn]] void refuse(const Current& job, const std::string& what) {
  throw Error(Code::conflict, "job " + job.id + " is " + std::string(model::name(job.state)) + ": " + what);
}

void check_step(const Current& job, State to) {
  if (!model::may_follow(job.state, to)) refuse(job, "it cannot become " + std::string(model::name(to)));
}

void check_live(const Current& job, const std::string& what) {
  if (model::is_final(job.state)) refuse(job, what);
}

void set_state(db::Connection& db, Sequence sequence, State state) {
  db.run("UPDATE job SET state = ? WHERE sequence = ?", model::name(state), sequence);
}

// Keeps the launch and the boot of the start intent; an attempt that failed before one has none.
void record(db::Connection& db, Sequence sequence, const Attempt& attempt) {
  db.run(
      "INSERT INTO attempt (sequence, number, launch, boot_id, started, ended, duration_us, ending, "
      "user_cpu_us,"
      " system_cpu_us, peak_memory, io_read, io_written, gpu_us, gpu_peak_memory, outputs, outputs_size, outputs_left_out,"
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
      sequence, attempt.number, to_column(attempt.started), to_column(attempt.ended),
      to_column(attempt.duration), to_column(attempt.ending), attempt.usage.user_cpu.count(),
      attempt.usage.system_cpu.count(), to_column(attempt.usage.peak_memory), to_column(attempt.usage.io_read),
      to_column(attempt.usage.io_written), attempt.usage.gpu_time.count(),
      to_column(attempt.usage.gpu_peak_memory), to_column(attempt.outputs), to_column(attempt.outputs_size),
      to_column(attempt.outputs_left_out));
  if (attempt.environment_changes)
    db.run("UPDATE attempt SET environment_changes = ? WHERE sequence = ? AND number = ?",
           to_column(*attempt.environment_changes), sequence, attempt.number);
  db.run("UPDATE job SET attempt = max(attempt, ?) WHERE sequence = ?", attempt.number, sequence);
}

int last_launch(db::Connection& db, Sequence sequence) {
  auto row = db.query("SELECT max(launch) FROM attempt WHERE sequence = ?", sequence);
  row.step();
  return static_cast<int>(row.integer(0));
}

// A commit that was told to have failed may have come to the disk all the same, and is repeated: here and below, what is
// as it is to become is no reason to refuse.
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

void prepared(db::Connection& db, Sequence sequence, const Prepared& prepared) {
  const auto job = current(db, sequence);
  if (job.state != State::queued) check_step(job, State::queued);
  db.run("UPDATE job SET state = ?, environment_record = ?, environment = ? WHERE sequence = ?",
         model::name(State::queued), prepared.environment_record, to_column(prepared.environment), sequence);
  if (prepared.environment)
    db.run("INSERT OR IGNORE INTO environment_user (environment, uid) SELECT environment, uid FROM job WHERE sequence = ?",
           sequence);
}

void start_intent(db::Connection& db, const StartIntent& intent) {
  const auto job = current(db, intent.sequence);
  const bool again = job.state == State::running && job.attempt == intent.attempt;
  if (!again) {
    check_step(job, State::running);
    if (intent.attempt <= job.attempt) refuse(job, "this attempt is over");
  }
  if (intent.launch <= last_launch(db, intent.sequence) && !is_written(db, intent)) refuse(job, "this launch has been used");
  db.run(
      "INSERT INTO attempt (sequence, number, launch, boot_id, gpus, seal) VALUES (?, ?, ?, ?, ?, ?)"
      " ON CONFLICT (sequence, number) DO UPDATE SET launch = excluded.launch, boot_id = excluded.boot_id,"
      " gpus = excluded.gpus, seal = excluded.seal",
      intent.sequence, intent.attempt, intent.launch, intent.boot_id, to_column(intent.gpus), intent.seal);
  db.run("UPDATE job SET state = ?, attempt = ? WHERE sequence = ?", model::name(State::running),
         intent.attempt, intent.sequence);
}

void ended(db::Connection& db, Sequence sequence, const Attempt& attempt) {
  const auto job = current(db, sequence);
  if (job.state != State::finalizing) check_step(job, State::finalizing);
  if (attempt.number != job.attempt)
    refuse(job, "attempt " + std::to_string(attempt.number) + " is not the last");
  record(db, sequence, attempt);
  set_state(db, sequence, State::finalizing);
}

void finalized(db::Connection& db, const Final& final) {
  const auto job = current(db, final.sequence);
  if (job.state == final.state) return;  // written by a commit that was told to have failed
  check_step(job, final.state);
  if (!model::is_final(final.state))
    refuse(job, "a job cannot end as " + std::string(model::name(final.state)));
  if (final.attempt) record(db, final.sequence, *final.attempt);
  db.run("UPDATE job SET state = ?, ending = ?, finished = ? WHERE sequence = ?", model::name(final.state),
         to_column(std::optional(final.ending)), to_unix_micros(final.finished), final.sequence);
}

void cancel_requested(db::Connection& db, Sequence sequence, const std::string& by) {
  const auto job = current(db, sequence);
  check_live(job, "it cannot be canceled any more");
  if (job.state == State::cancel_requested) return;
  db.run("UPDATE job SET state = ?, canceled_by = ? WHERE sequence = ?", model::name(State::cancel_requested),
         by, sequence);
}

void requeue(db::Connection& db, Sequence sequence, const Attempt& attempt, State to) {
  const auto job = current(db, sequence);
  if (to != State::queued && to != State::preparing) refuse(job, "it can only wait again");
  if (job.state != to) check_step(job, to);
  if (attempt.number < job.attempt) refuse(job, "that attempt is long over");
  record(db, sequence, attempt);
  set_state(db, sequence, to);
}

void postpone(db::Connection& db, Sequence sequence) {
  const auto job = current(db, sequence);
  if (job.state != State::queued) check_step(job, State::queued);
  db.run("DELETE FROM attempt WHERE sequence = ? AND started IS NULL AND ending IS NULL", sequence);
  db.run(
      "UPDATE job SET state = ?, attempt = (SELECT ifnull(max(number), 0) FROM attempt WHERE sequence = job.sequence)"
      " WHERE sequence = ?",
      model::name(State::queued), sequence);
}

void reopen(db::Connection& db, Sequence sequence, State to) {
  const auto job = current(db, sequence);
  if (!model::is_final(job.state)) refuse(job, "only a job that is over can be run again");
  if (to != State::queued && to != State::preparing) refuse(job, "it can only wait again");
  db.run(
      "UPDATE job SET state = ?, ending = NULL, finished = NULL, held = 0, canceled_by = '' WHERE sequence = "
      "?",
      model::name(to), sequence);
}

void set_priority(db::Connection& db, Sequence sequence, int priority) {
  check_live(current(db, sequence), "its priority does not matter any more");
  db.run("UPDATE job SET priority = ? WHERE sequence = ?", priority, sequence);
}

void set_held(db::Connection& db, Sequence sequence, bool held) {
  const auto job = current(db, sequence);
  if (job.state != State::preparing && job.state != State::queued)
    refuse(job, held ? "only a waiting job can be held" : "only a waiting job can be released");
  db.run("UPDATE job SET held = ? WHERE sequence = ?", held, sequence);
}

void set_drained(db::Connection& db, bool drained) {
  set_of_node(db, "drained", drained ? "yes" : "no");
}

void set_gpu_record(db::Connection& db, const std::string& record) {
  set_of_node(db, "gpus", record);
}

}  // namespace berth::store
