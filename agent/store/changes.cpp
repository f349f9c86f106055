#include "agent/store/changes.hpp"

#include "agent/store/rows.hpp"
#include "runtime/base/error.hpp"

namespace berth::store {
namespace {

constexpr int kEventsBetweenTrims = 2000;

// After the last statement has appended events.
void trim_if_due(db::Connection& db, Instant now) {
  const auto last = db.last_insert_id();
  if (last / kEventsBetweenTrims != (last - db.changes()) / kEventsBetweenTrims) trim_events(db, now);
}

}  // namespace

Current current(db::Connection& db, Sequence sequence) {
  auto row = db.query("SELECT id, uid, user, state, attempt, priority, held FROM job WHERE sequence = ?", sequence);
  if (!row.step()) throw Error(Code::not_found, "there is no job with number " + std::to_string(sequence.value()));
  return {sequence,
          model::JobId(row.text(0)),
          static_cast<uid_t>(row.integer(1)),
          std::string(row.text(2)),
          state_column(row, 3),
          static_cast<int>(row.integer(4)),
          static_cast<int>(row.integer(5)),
          row.integer(6) != 0};
}

void append_event(db::Connection& db, const Origin& origin, const Current& job, const Change& change) {
  const auto ending = change.ending ? std::optional(model::without_reason(*change.ending)) : std::nullopt;
  db.run(
      "INSERT INTO event (time, job, uid, user, what, state, by, attempt, priority, ending, why)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      to_unix_micros(origin.time), job.id, job.uid, job.user, model::name(change.what), model::name(change.state),
      origin.by, change.attempt, change.priority, to_column(ending), change.why);
  trim_if_due(db, origin.time);
}

Newcomers::Newcomers(db::Connection& db) : db_(db), last_before_(last_number(db, "job")) {}

void Newcomers::tell(Instant now) {
  db_.run(
      "INSERT INTO event (time, job, uid, user, what, state, by, attempt, why)"
      " SELECT ?, id, uid, user, ?, state, user, attempt, '' FROM job WHERE sequence > ? ORDER BY sequence",
      to_unix_micros(now), model::name(model::Event::What::submitted), last_before_);
  if (db_.changes() > 0) trim_if_due(db_, now);
}

void remove_job(db::Connection& db, const Origin& origin, const Current& job) {
  db.run("DELETE FROM job WHERE sequence = ?", job.sequence);
  append_event(db, origin, job, {model::Event::What::forgotten, job.state, job.attempt});
}

}  // namespace berth::store
