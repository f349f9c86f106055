#include <algorithm>

#include "agent/store/changes.hpp"
#include "agent/store/records.hpp"
#include "agent/store/rows.hpp"

namespace berth::store {
namespace {

constexpr std::string_view kSweepDue = "sweep_due";
constexpr std::string_view kForgotten = "forgotten";            // when
constexpr std::string_view kForgottenEnded = "forgotten_ended";  // by when the job that ended last of them had

void set_node(db::Connection& db, std::string_view name, const std::string& value) {
  db.run("INSERT INTO node (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name,
         value);
}

std::optional<Instant> node_instant(db::Connection& db, std::string_view name) {
  auto row = db.query("SELECT value FROM node WHERE name = ?", name);
  if (!row.step()) return std::nullopt;
  return parse_rfc3339(row.text(0));
}

struct Ended {
  model::JobId id;
  uid_t uid = 0;
  Instant finished{};
  std::optional<Digest> snapshot;
  std::optional<Digest> diff;
  std::optional<Digest> context;
};

// Nothing for a job that is live, or gone.
std::optional<Ended> ended_job(db::Connection& db, Sequence job) {
  auto row = db.query(
      "SELECT id, uid, finished, snapshot, diff, context FROM job WHERE sequence = ? AND finished IS NOT NULL", job);
  if (!row.step()) return std::nullopt;
  return Ended{model::JobId(row.text(0)),      static_cast<uid_t>(row.integer(1)), *instant_column(row, 2),
               optional_digest_column(row, 3), optional_digest_column(row, 4),     optional_digest_column(row, 5)};
}

// A later launch makes the doom of a job no smaller.
void doom(db::Connection& db, const model::JobId& job, std::optional<int> launch) {
  db.run(
      "INSERT INTO doomed (job, launch) VALUES (?, ?) ON CONFLICT (job) DO UPDATE SET launch ="
      " CASE WHEN excluded.launch IS NULL OR launch IS NULL THEN NULL ELSE max(launch, excluded.launch) END",
      job, launch);
}

int last_launch(db::Connection& db, Sequence job) {
  auto row = db.query("SELECT ifnull(max(launch), 0) FROM attempt WHERE sequence = ?", job);
  row.step();
  return static_cast<int>(row.integer(0));
}

Remains remains_row(const db::Statement& row) {
  Remains job;
  job.sequence = Sequence(row.integer(0));
  job.id = model::JobId(row.text(1));
  job.uid = static_cast<uid_t>(row.integer(2));
  job.finished = instant_column(row, 3);
  const auto removed = instant_column(row, 4);
  job.has_log = !removed || !job.finished || *removed < *job.finished;
  job.snapshot = optional_digest_column(row, 5);
  job.diff = optional_digest_column(row, 6);
  job.context = optional_digest_column(row, 7);
  return job;
}

}  // namespace

std::vector<Remains> remains(db::Connection& db) {
  std::vector<Remains> jobs;
  auto rows =
      db.query("SELECT sequence, id, uid, finished, log_removed, snapshot, diff, context FROM job ORDER BY sequence");
  while (rows.step()) jobs.push_back(remains_row(rows));
  auto outputs = db.query("SELECT sequence, outputs FROM attempt WHERE outputs IS NOT NULL ORDER BY sequence");
  auto job = jobs.begin();
  while (outputs.step()) {
    const Sequence sequence(outputs.integer(0));
    while (job != jobs.end() && job->sequence < sequence) ++job;
    if (job != jobs.end() && job->sequence == sequence) job->outputs.push_back(digest_column(outputs, 1));
  }
  return jobs;
}

std::vector<Sequence> remove_logs(db::Connection& db, const std::vector<Sequence>& jobs,
                                  const model::Removal& removal) {
  std::vector<Sequence> done;
  for (const auto sequence : jobs) {
    const auto job = ended_job(db, sequence);
    if (!job) continue;
    const auto before = current(db, sequence);
    const Change change{model::Event::What::log_removed, before.state, before.attempt, {}, {}, removal.why};
    change_job(db, {removal.time}, before, change, "log_removed = ?, log_removed_why = ?",
               std::max(to_unix_micros(removal.time), to_unix_micros(job->finished)), removal.why);
    doom(db, job->id, last_launch(db, sequence));
    done.push_back(sequence);
  }
  return done;
}

std::vector<Sequence> remove_outputs(db::Connection& db, const std::vector<Sequence>& jobs,
                                     const model::Removal& removal) {
  std::vector<Sequence> done;
  for (const auto sequence : jobs) {
    const auto job = ended_job(db, sequence);
    if (!job) continue;
    recount_later(db, job->uid);
    const auto before = current(db, sequence);
    const Change change{model::Event::What::outputs_removed, before.state, before.attempt, {}, {}, removal.why};
    change_job(db, {removal.time}, before, change, "outputs_removed = ?, outputs_removed_why = ?",
               to_unix_micros(removal.time), removal.why);
    db.run("UPDATE attempt SET outputs = NULL WHERE sequence = ?", sequence);
    done.push_back(sequence);
  }
  if (!done.empty()) set_node(db, kSweepDue, "yes");
  return done;
}

std::vector<Sequence> forget(db::Connection& db, const std::vector<Sequence>& jobs, Instant uploads_before,
                             Instant now) {
  std::vector<Sequence> done;
  auto latest = node_instant(db, kForgottenEnded).value_or(Instant{});
  for (const auto sequence : jobs) {
    const auto job = ended_job(db, sequence);
    if (!job) continue;
    wipe_secrets(db, sequence);
    recount_later(db, job->uid);
    remove_job(db, {now}, current(db, sequence));
    doom(db, job->id, std::nullopt);
    for (const auto& [digest, kind] :
         {std::pair(job->snapshot, Upload::Kind::snapshot), std::pair(job->diff, Upload::Kind::diff),
          std::pair(job->context, Upload::Kind::snapshot)}) {
      const auto upload = digest ? find_upload(db, *digest, job->uid, kind) : std::nullopt;
      if (upload && upload->created < uploads_before) forget_uploads(db, {*upload});
    }
    latest = std::max(latest, job->finished);
    done.push_back(sequence);
  }
  if (done.empty()) return done;
  set_node(db, kSweepDue, "yes");
  set_node(db, kForgotten, to_rfc3339(now));
  set_node(db, kForgottenEnded, to_rfc3339(latest));
  return done;
}

std::vector<Doomed> doomed(db::Connection& db) {
  std::vector<Doomed> result;
  auto rows = db.query("SELECT job, launch FROM doomed");
  while (rows.step()) {
    Doomed one{model::JobId(rows.text(0)), std::nullopt};
    if (const auto launch = rows.optional_integer(1)) one.launch = static_cast<int>(*launch);
    result.push_back(std::move(one));
  }
  return result;
}

void settle(db::Connection& db, const std::vector<model::JobId>& gone) {
  for (const auto& job : gone) db.run("DELETE FROM doomed WHERE job = ?", job);
}

bool sweep_due(db::Connection& db) { return db.query("SELECT 1 FROM node WHERE name = ?", kSweepDue).step(); }

void swept(db::Connection& db) { db.run("DELETE FROM node WHERE name = ?", kSweepDue); }

std::optional<Forgotten> forgotten(db::Connection& db) {
  const auto time = node_instant(db, kForgotten);
  const auto ended = node_instant(db, kForgottenEnded);
  if (!time || !ended) return std::nullopt;
  return Forgotten{*time, *ended};
}

}  // namespace berth::store
