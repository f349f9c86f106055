#pragma once

// The only way to the rows of jobs. Whoever makes, changes or removes one says what that is, and the event that tells
// of it is appended in the same transaction. No other source writes to the table (tests/layers/layers.py sees to it).

#include <optional>
#include <string>
#include <string_view>

#include "agent/model/event.hpp"
#include "agent/store/records.hpp"

namespace berth::store {

// A job as it stands before a change.
struct Current {
  Sequence sequence;
  model::JobId id;
  uid_t uid = 0;
  std::string user;
  model::State state = model::State::preparing;
  int attempt = 0;  // the last one
  int priority = 0;
  bool held = false;
};
// Code::not_found.
Current current(db::Connection& db, Sequence sequence);

// What a change of a job is, for its event.
struct Change {
  model::Event::What what;
  model::State state;  // since then
  int attempt = 0;
  std::optional<int> priority{};
  std::optional<model::Ending> ending{};
  std::string_view why{};
};

// Removes old events when it is time to: a piece of work now and then. So does create_jobs.
void append_event(db::Connection& db, const Origin& origin, const Current& job, const Change& change);

// Jobs in the making: see create_jobs.
class Newcomers {
 public:
  // `columns` as "id, uid, …", a value for each; returns the job's number.
  template <class... T>
  Sequence add(std::string_view columns, const T&... values) {
    std::string sql = "INSERT INTO job (" + std::string(columns) + ") VALUES (?";
    for (std::size_t i = 1; i < sizeof...(values); ++i) sql += ", ?";
    db_.run(sql + ")", values...);
    return Sequence(db_.last_insert_id());
  }

 private:
  template <class F>
  friend void create_jobs(db::Connection& db, Instant now, F make);
  explicit Newcomers(db::Connection& db);
  // The events of all in one statement, for many cost a fraction of one each.
  void tell(Instant now);

  db::Connection& db_;
  Sequence last_before_;
};

// make(newcomers) adds the jobs, in their submitters' names.
template <class F>
void create_jobs(db::Connection& db, Instant now, F make) {
  Newcomers newcomers(db);
  make(newcomers);
  newcomers.tell(now);
}

// `assignments` as "state = ?, held = ?". Nothing for `change` where the job is on record as it is to become, its life
// does not go on, and nobody is told.
template <class... T>
void change_job(db::Connection& db, const Origin& origin, const Current& job, const std::optional<Change>& change,
                std::string_view assignments, const T&... values) {
  db.run("UPDATE job SET " + std::string(assignments) + " WHERE sequence = ?", values..., job.sequence);
  if (change) append_event(db, origin, job, *change);
}

void remove_job(db::Connection& db, const Origin& origin, const Current& job);

}  // namespace berth::store
