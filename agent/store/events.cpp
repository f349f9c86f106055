#include <algorithm>

#include "agent/store/records.hpp"
#include "agent/store/rows.hpp"
#include "runtime/base/error.hpp"

namespace berth::store {
namespace {

using model::Event;

constexpr std::string_view kBoot = "events_boot";
// More than the system can have taken and not yet written when the machine stops.
constexpr std::int64_t kNumbersSkipped = 1'000'000;

Event event_row(const db::Statement& row) {
  Event event;
  event.sequence = row.integer(0);
  event.time = *instant_column(row, 1);
  event.job = model::JobId(row.text(2));
  event.uid = static_cast<uid_t>(row.integer(3));
  event.user = row.text(4);
  const auto what = model::parse_what(row.text(5));
  if (!what) throw Error(Code::corrupt, "the job database holds a malformed event");
  event.what = *what;
  event.state = state_column(row, 6);
  event.by = row.text(7);
  event.attempt = static_cast<int>(row.integer(8));
  if (const auto priority = row.optional_integer(9)) event.priority = static_cast<int>(*priority);
  event.ending = ending_column(row, 10);
  event.why = row.text(11);
  return event;
}

std::vector<Event> rows_for(db::Connection& db, const EventQuery& wanted, std::int64_t last) {
  std::string sql =
      "SELECT sequence, time, job, uid, user, what, state, by, attempt, priority, ending, why FROM event"
      " WHERE sequence > ?1 AND sequence <= ?2 ";
  if (wanted.uid) sql += "AND uid = ?4 ";
  sql += wanted.after ? "ORDER BY sequence LIMIT ?3" : "ORDER BY sequence DESC LIMIT ?3";
  auto rows = db.query(sql, wanted.after.value_or(0), last, static_cast<std::int64_t>(wanted.limit));
  if (wanted.uid) rows.bind(4, *wanted.uid);
  std::vector<Event> events;
  while (rows.step()) events.push_back(event_row(rows));
  if (!wanted.after) std::reverse(events.begin(), events.end());
  return events;
}

std::vector<EventsGone> gone_since(db::Connection& db, const EventQuery& wanted) {
  std::vector<EventsGone> gone;
  if (!wanted.after) return gone;
  auto rows = db.query("SELECT uid, user, sequence FROM event_gone WHERE sequence > ? ORDER BY uid", *wanted.after);
  while (rows.step()) {
    const auto uid = static_cast<uid_t>(rows.integer(0));
    if (!wanted.uid || uid == *wanted.uid) gone.push_back({uid, std::string(rows.text(1)), rows.integer(2)});
  }
  return gone;
}

// Of these the newest is remembered for each user: who asks from before it is told.
void note_gone(db::Connection& db, std::string_view where, std::int64_t value, std::int64_t limit) {
  db.run("INSERT INTO event_gone (uid, user, sequence) SELECT uid, user, max(sequence) FROM event WHERE " +
             std::string(where) +
             " GROUP BY uid ON CONFLICT (uid) DO UPDATE SET sequence = max(sequence, excluded.sequence), user = "
             "excluded.user",
         value, limit);
  db.run("DELETE FROM event WHERE " + std::string(where), value, limit);
}

void drop_older(db::Connection& db, Instant than, std::size_t at_most) {
  note_gone(db,
            "sequence IN (SELECT sequence FROM (SELECT sequence, time FROM event ORDER BY sequence LIMIT ?2) WHERE "
            "time < ?1)",
            to_unix_micros(than), static_cast<std::int64_t>(at_most));
}

std::map<uid_t, std::size_t> counts(db::Connection& db) {
  std::map<uid_t, std::size_t> result;
  auto rows = db.query("SELECT uid, count(*) FROM event GROUP BY uid");
  while (rows.step()) result[static_cast<uid_t>(rows.integer(0))] = static_cast<std::size_t>(rows.integer(1));
  return result;
}

void keep_newest_of(db::Connection& db, uid_t uid, std::size_t most) {
  note_gone(
      db,
      "uid = ?1 AND sequence <= (SELECT sequence FROM event WHERE uid = ?1 ORDER BY sequence DESC LIMIT 1 OFFSET ?2)",
      uid, static_cast<std::int64_t>(most));
}

}  // namespace

std::size_t fair_share(const std::vector<std::size_t>& held, std::size_t most) {
  auto ascending = held;
  std::sort(ascending.begin(), ascending.end());
  std::size_t left = most;
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    const auto share = left / (ascending.size() - i);
    if (ascending[i] > share) return share;
    left -= ascending[i];
  }
  return most;
}

EventPage events(db::Connection& db, const EventQuery& wanted) {
  EventPage page;
  page.last = last_number(db, "event");
  if (wanted.after && *wanted.after > page.last)
    throw Error(
        Code::invalid,
        "there has been no event " + std::to_string(*wanted.after) + ": the newest is " + std::to_string(page.last),
        "the agent's database was begun anew since then; ask from 0");
  page.events = rows_for(db, wanted, page.last);
  if (wanted.after && page.events.size() == wanted.limit) page.last = page.events.back().sequence;
  page.gone = gone_since(db, wanted);  // after the rows: what goes meanwhile is told
  return page;
}

void trim_events(db::Connection& db, Instant now, const EventBounds& bounds) {
  drop_older(db, now - bounds.kept, bounds.most / 10);
  const auto held = counts(db);
  std::vector<std::size_t> numbers;
  std::size_t all = 0;
  for (const auto& [uid, count] : held) {
    numbers.push_back(count);
    all += count;
  }
  if (all <= bounds.most) return;
  const auto share = fair_share(numbers, bounds.most);
  for (const auto& [uid, count] : held)
    if (count > share) keep_newest_of(db, uid, share);
}

bool new_boot_for_events(db::Connection& db, const std::string& boot_id) {
  auto row = db.query("SELECT value FROM node WHERE name = ?", kBoot);
  return !row.step() || row.text(0) != boot_id;
}

void begin_events(db::Connection& db, const std::string& boot_id, Instant now) {
  trim_events(db, now);
  db.run("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'event'", kNumbersSkipped);
  db.run("INSERT INTO node (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", kBoot,
         boot_id);
}

}  // namespace berth::store
