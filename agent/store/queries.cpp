#include <algorithm>

#include "agent/store/records.hpp"
#include "agent/store/rows.hpp"
#include "runtime/base/error.hpp"

namespace berth::store {
namespace {

using model::Attempt;
using model::Job;
using std::chrono::microseconds;
using std::chrono::milliseconds;

#define BERTH_JOB_COLUMNS                                                                    \
  "SELECT job.sequence, id, uid, user, state, priority, held, submitted, finished, ending, " \
  "environment_record,"                                                                      \
  " canceled_by, attempt, request.json, log_removed, log_removed_why, outputs_removed,"      \
  " outputs_removed_why, environment FROM job JOIN request USING (sequence) "

constexpr std::size_t kMostNamesTold = 5;

Attempt attempt_row(const db::Statement& row) {
  Attempt attempt{.number = static_cast<int>(row.integer(0)),
                  .launch = static_cast<int>(row.integer(9)),
                  .started = instant_column(row, 1),
                  .ended = instant_column(row, 2),
                  .ending = ending_column(row, 4),
                  .usage = {microseconds(row.integer(5)), microseconds(row.integer(6)),
                            ByteSize(static_cast<std::uint64_t>(row.integer(7))),
                            ByteSize(static_cast<std::uint64_t>(row.integer(10))),
                            ByteSize(static_cast<std::uint64_t>(row.integer(11))), microseconds(row.integer(13)),
                            ByteSize(static_cast<std::uint64_t>(row.integer(14)))},
                  .outputs = optional_digest_column(row, 8),
                  .outputs_size = ByteSize(static_cast<std::uint64_t>(row.integer(15))),
                  .gpus = texts_column(row, 12),
                  .environment_changes = environment_changes_column(row, 16),
                  .outputs_left_out = left_out_column(row, 17)};
  if (const auto duration = row.optional_integer(3)) attempt.duration = microseconds(*duration);
  return attempt;
}

std::vector<Attempt> attempts_of(db::Connection& db, Sequence sequence) {
  std::vector<Attempt> result;
  auto rows = db.query(
      "SELECT number, started, ended, duration_us, ending, user_cpu_us, system_cpu_us, peak_memory, outputs, "
      "launch, io_read, io_written, gpus, gpu_us, gpu_peak_memory, outputs_size, environment_changes, outputs_left_out"
      " FROM attempt WHERE sequence = ? ORDER BY number",
      sequence);
  while (rows.step()) result.push_back(attempt_row(rows));
  return result;
}

std::optional<model::Removal> removal_columns(const db::Statement& row, int first) {
  const auto time = instant_column(row, first);
  if (!time) return std::nullopt;
  return model::Removal{*time, std::string(row.text(first + 1))};
}

// 0 to 9, of a job and of a row of a list.
Job first_columns(const db::Statement& row) {
  Job job;
  job.sequence = Sequence(row.integer(0));
  job.id = model::JobId(row.text(1));
  job.uid = static_cast<uid_t>(row.integer(2));
  job.user = row.text(3);
  job.state = state_column(row, 4);
  job.priority = static_cast<int>(row.integer(5));
  job.held = row.integer(6) != 0;
  job.submitted = *instant_column(row, 7);
  job.finished = instant_column(row, 8);
  job.ending = ending_column(row, 9);
  return job;
}

Job job_row(db::Connection& db, const db::Statement& row) {
  auto job = first_columns(row);
  job.environment_record = row.text(10);
  job.canceled_by = row.text(11);
  if (row.integer(12) > 0) job.attempts = attempts_of(db, job.sequence);
  job.request = request_column(row, 13);
  job.log_removed = removal_columns(row, 14);
  job.outputs_removed = removal_columns(row, 16);
  job.environment = optional_digest_column(row, 18);
  return job;
}

LiveJob live_row(const db::Statement& row) {
  LiveJob job;
  job.sequence = Sequence(row.integer(0));
  job.id = model::JobId(row.text(1));
  job.uid = static_cast<uid_t>(row.integer(2));
  job.state = state_column(row, 3);
  job.priority = static_cast<int>(row.integer(4));
  job.held = row.integer(5) != 0;
  job.resources = resources_columns(row, 6);
  if (const auto timeout = row.optional_integer(11)) job.timeout = milliseconds(*timeout);
  job.grace = milliseconds(row.integer(12));
  job.attempt = static_cast<int>(row.integer(13));
  job.launch = static_cast<int>(row.integer(14));
  job.boot_id = row.text(15);
  job.environment = optional_digest_column(row, 16);
  job.gpus = texts_column(row, 17);
  job.seal = row.text(18);
  job.last_launch = static_cast<int>(row.integer(19));
  job.canceled_by = row.text(20);
  return job;
}

ListedJob listed_row(const db::Statement& row) {
  ListedJob listed;
  auto& job = listed.job = first_columns(row);
  job.canceled_by = row.text(10);
  job.log_removed = removal_columns(row, 11);
  job.outputs_removed = removal_columns(row, 13);
  job.request.experiment = row.text(15);
  job.request.submission_id = row.text(16);
  job.request.display_name = row.text(17);
  listed.title = row.text(18);
  job.request.resources = resources_columns(row, 19);
  if (const auto timeout = row.optional_integer(24)) job.request.timeout = milliseconds(*timeout);
  job.request.snapshot = optional_digest_column(row, 30);
  job.request.diff = optional_digest_column(row, 31);
  job.environment = optional_digest_column(row, 32);
  listed.request_bytes = static_cast<std::uint64_t>(row.integer(33));
  if (row.is_null(25)) return listed;
  Attempt attempt;
  attempt.number = static_cast<int>(row.integer(25));
  attempt.launch = static_cast<int>(row.integer(26));
  attempt.started = instant_column(row, 27);
  attempt.ended = instant_column(row, 28);
  if (const auto duration = row.optional_integer(29)) attempt.duration = microseconds(*duration);
  job.attempts.push_back(std::move(attempt));
  return listed;
}

// The query for a filter; bind() gives its values in the same order.
std::string list_query(const Filter& filter) {
  std::string sql = "SELECT sequence FROM job WHERE 1";
  if (!filter.states.empty()) {
    sql += " AND state IN (?";
    for (std::size_t i = 1; i < filter.states.size(); ++i) sql += ", ?";
    sql += ')';
    // Most states are few among many jobs that are over.
    if (std::none_of(filter.states.begin(), filter.states.end(), model::is_final)) sql += " AND finished IS NULL";
  }
  if (filter.uid) sql += " AND uid = ?";
  if (!filter.experiment.empty()) sql += " AND experiment = ?";
  if (filter.before) sql += " AND sequence < ?";
  return sql + " ORDER BY sequence DESC LIMIT ?";
}

void bind_filter(db::Statement& rows, const Filter& filter) {
  int parameter = 0;
  for (const auto state : filter.states) rows.bind(++parameter, model::name(state));
  if (filter.uid) rows.bind(++parameter, *filter.uid);
  if (!filter.experiment.empty()) rows.bind(++parameter, filter.experiment);
  if (filter.before) rows.bind(++parameter, *filter.before);
  rows.bind(++parameter, filter.limit);
}

std::vector<model::JobId> names_with_prefix(db::Connection& db, const std::string& prefix) {
  std::vector<model::JobId> names;
  const auto behind = prefix + "\x7f";  // names are ASCII
  auto rows =
      db.query("SELECT id FROM job WHERE id >= ? AND id < ? ORDER BY id LIMIT ?", prefix, behind, kMostNamesTold + 1);
  while (rows.step()) names.emplace_back(rows.text(0));
  return names;
}

[[noreturn]] void refuse_ambiguous(const std::string& reference, const std::vector<model::JobId>& names) {
  std::string text = "'" + reference + "' is ambiguous: ";
  for (std::size_t i = 0; i < std::min(names.size(), kMostNamesTold); ++i) text += (i > 0 ? ", " : "") + names[i];
  throw Error(Code::conflict, text + (names.size() > kMostNamesTold ? " and more" : ""), "write more of the name");
}

std::string where_jobs_are(db::Connection& db) {
  std::string text = "berth ps -a lists all";
  if (const auto gone = forgotten(db))
    text +=
        "; records of jobs that had ended by " + to_local_text(gone->ended) + " were removed to give disk space back";
  return text;
}

Sequence last_of(db::Connection& db, uid_t uid) {
  auto row = db.query("SELECT max(sequence) FROM job WHERE uid = ?", uid);
  if (!row.step() || row.is_null(0)) throw Error(Code::not_found, "there is no last job: none of yours is remembered");
  return Sequence(row.integer(0));
}

std::optional<Sequence> sequence_of(db::Connection& db, std::string_view id) {
  auto row = db.query("SELECT sequence FROM job WHERE id = ?", id);
  if (!row.step()) return std::nullopt;
  return Sequence(row.integer(0));
}

Sequence meant(db::Connection& db, std::string_view reference, uid_t uid) {
  if (reference == "@last") return last_of(db, uid);
  if (!model::is_job_id(reference))
    throw Error(Code::invalid, "not the name of a job",
                "a name has lower-case letters, digits and dashes; @last is your last one");
  if (const auto sequence = sequence_of(db, reference)) return *sequence;
  const std::string prefix(reference);
  const auto names = names_with_prefix(db, prefix);
  if (names.empty()) throw Error(Code::not_found, "there is no job " + prefix, where_jobs_are(db));
  if (names.size() > 1) refuse_ambiguous(prefix, names);
  return *sequence_of(db, names.front().value());
}

}  // namespace

std::optional<Job> find(db::Connection& db, const model::JobId& id) {
  auto row = db.query(BERTH_JOB_COLUMNS "WHERE id = ?", id);
  if (!row.step()) return std::nullopt;
  return job_row(db, row);
}

std::optional<Job> find(db::Connection& db, Sequence sequence) {
  auto row = db.query(BERTH_JOB_COLUMNS "WHERE job.sequence = ?", sequence);
  if (!row.step()) return std::nullopt;
  return job_row(db, row);
}

// How many jobs others have in it makes no difference to who sees his own only: they are found among his.
std::vector<Sequence> jobs_in(db::Connection& db, const Digest& environment, const Viewer& viewer) {
  const std::string which = viewer.reads_jobs ? "environment = ?1" : "uid = ?2 AND +environment = ?1";
  auto rows = db.prepare("SELECT sequence FROM job WHERE " + which + " ORDER BY sequence DESC LIMIT 100");
  rows.bind(1, to_column(environment));
  if (!viewer.reads_jobs) rows.bind(2, viewer.uid);
  std::vector<Sequence> jobs;
  while (rows.step()) jobs.push_back(Sequence(rows.integer(0)));
  return jobs;
}

std::map<Digest, EnvironmentUse> environments_of(db::Connection& db, uid_t uid) {
  auto rows = db.query(
      "SELECT environment, max(ifnull(finished, ifnull((SELECT max(started) FROM attempt"
      " WHERE attempt.sequence = job.sequence), submitted))), max(finished IS NULL)"
      " FROM job WHERE uid = ? AND environment IS NOT NULL GROUP BY environment",
      uid);
  std::map<Digest, EnvironmentUse> uses;
  while (rows.step()) uses[*optional_digest_column(rows, 0)] = {*instant_column(rows, 1), rows.integer(2) != 0};
  return uses;
}

Job resolve(db::Connection& db, std::string_view reference, uid_t uid) { return *find(db, meant(db, reference, uid)); }

Job look_up(db::Connection& db, std::string_view reference, uid_t uid) {
  return columns(db, meant(db, reference, uid)).value();
}

std::optional<Job> columns(db::Connection& db, Sequence sequence) {
  auto rows = listed(db, {sequence});
  if (rows.empty()) return std::nullopt;
  auto job = std::move(rows.front().job);
  if (!job.attempts.empty()) job.attempts = attempts_of(db, sequence);
  return job;
}

std::optional<uid_t> owner_of(db::Connection& db, const model::JobId& id) {
  auto row = db.query("SELECT uid FROM job WHERE id = ?", id);
  if (!row.step()) return std::nullopt;
  return static_cast<uid_t>(row.integer(0));
}

std::uint64_t request_bytes(db::Connection& db, Sequence sequence) {
  auto row = db.query("SELECT request_bytes FROM job WHERE sequence = ?", sequence);
  return row.step() ? static_cast<std::uint64_t>(row.integer(0)) : 0;
}

std::vector<Sequence> list(db::Connection& db, const Filter& filter) {
  std::vector<Sequence> jobs;
  auto rows = db.prepare(list_query(filter));
  bind_filter(rows, filter);
  while (rows.step()) jobs.push_back(Sequence(rows.integer(0)));
  return jobs;
}

std::vector<ListedJob> listed(db::Connection& db, const std::vector<Sequence>& jobs) {
  std::vector<ListedJob> result;
  result.reserve(jobs.size());
  auto row = db.prepare(
      "SELECT job.sequence, id, uid, user, state, priority, held, submitted, finished, job.ending, canceled_by,"
      " log_removed, log_removed_why, outputs_removed, outputs_removed_why, experiment, submission_id, name, title,"
      " cpu_milli, memory, job.gpus, slots, gpu_memory, timeout_ms, number, launch, started, ended, duration_us,"
      " job.snapshot, job.diff, job.environment, request_bytes"
      " FROM job LEFT JOIN attempt ON attempt.sequence = job.sequence AND number = job.attempt"
      " WHERE job.sequence = ?");
  for (const auto sequence : jobs) {
    row.bind(1, sequence);
    if (row.step()) result.push_back(listed_row(row));
    row.reset();
  }
  return result;
}

std::vector<LiveJob> live(db::Connection& db) {
  std::vector<LiveJob> jobs;
  auto rows = db.query(
      "SELECT job.sequence, id, uid, state, priority, held, cpu_milli, memory, job.gpus, slots, gpu_memory, "
      "timeout_ms, "
      "grace_ms,"
      " attempt, ifnull(launch, 0), ifnull(boot_id, ''), environment, ifnull(attempt.gpus, '[]'), ifnull(seal, ''),"
      " (SELECT ifnull(max(launch), 0) FROM attempt WHERE attempt.sequence = job.sequence), canceled_by"
      " FROM job LEFT JOIN attempt ON attempt.sequence = job.sequence AND number = job.attempt"
      " WHERE finished IS NULL ORDER BY job.sequence");
  while (rows.step()) jobs.push_back(live_row(rows));
  return jobs;
}

std::vector<PastLaunch> past_launches(db::Connection& db, std::size_t ended_jobs) {
  std::vector<PastLaunch> launches;
  const auto collect = [&](db::Statement rows) {
    while (rows.step()) launches.push_back({model::JobId(rows.text(0)), static_cast<int>(rows.integer(1))});
  };
  collect(
      db.query("SELECT id, launch FROM job JOIN attempt ON attempt.sequence = job.sequence"
               " WHERE finished IS NULL AND launch > 0"
               " AND (number < job.attempt OR state IN ('Preparing', 'Queued'))"));
  collect(
      db.query("SELECT id, launch FROM attempt JOIN"
               " (SELECT sequence, id FROM job WHERE finished IS NOT NULL ORDER BY finished DESC LIMIT ?) AS ended"
               " ON attempt.sequence = ended.sequence WHERE launch > 0",
               static_cast<std::int64_t>(ended_jobs)));
  return launches;
}

std::optional<model::JobId> id_of(db::Connection& db, Sequence sequence) {
  auto row = db.query("SELECT id FROM job WHERE sequence = ?", sequence);
  if (!row.step()) return std::nullopt;
  return model::JobId(row.text(0));
}

bool drained(db::Connection& db) {
  auto row = db.query("SELECT value FROM node WHERE name = 'drained'");
  return row.step() && row.text(0) == "yes";
}

std::string gpu_record(db::Connection& db) {
  auto row = db.query("SELECT value FROM node WHERE name = 'gpus'");
  return row.step() ? std::string(row.text(0)) : std::string();
}

}  // namespace berth::store
