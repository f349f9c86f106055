#include <algorithm>

#include "agent/store/records.hpp"
#include "agent/store/rows.hpp"
#include "runtime/base/error.hpp"

namespace berth::store {
namespace {

constexpr std::string_view kColumns = "SELECT kind, digest, uid, size, files, created, sent FROM upload ";

// What no job of its sender refers to.
constexpr std::string_view kUnused =
    "NOT EXISTS (SELECT 1 FROM job WHERE job.snapshot = upload.digest AND job.uid = upload.uid)"
    " AND NOT EXISTS (SELECT 1 FROM job WHERE job.diff = upload.digest AND job.uid = upload.uid)"
    " AND NOT EXISTS (SELECT 1 FROM job WHERE job.context = upload.digest AND job.uid = upload.uid)";

std::string_view name(Upload::Kind kind) { return kind == Upload::Kind::snapshot ? "snapshot" : "diff"; }

Upload upload_row(const db::Statement& row) {
  Upload upload;
  upload.kind = row.text(0) == "diff" ? Upload::Kind::diff : Upload::Kind::snapshot;
  upload.digest = digest_column(row, 1);
  upload.uid = static_cast<uid_t>(row.integer(2));
  upload.size = ByteSize(static_cast<std::uint64_t>(row.integer(3)));
  upload.files = static_cast<std::uint64_t>(row.integer(4));
  upload.created = from_unix_micros(row.integer(5));
  upload.sent = ByteSize(static_cast<std::uint64_t>(row.integer(6)));
  return upload;
}

std::vector<Digest> digests(db::Statement rows) {
  std::vector<Digest> result;
  while (rows.step()) result.push_back(digest_column(rows, 0));
  return result;
}

std::string named_in(const std::string& column) {
  return "SELECT " + column + " FROM job WHERE " + column + " IS NOT NULL";
}

// What jobs name, by this query, and uploads of this kind.
std::vector<Digest> referred(db::Connection& db, const std::string& by_jobs, Upload::Kind kind) {
  return digests(db.query(by_jobs + " UNION SELECT digest FROM upload WHERE kind = ?", name(kind)));
}

}  // namespace

void remember(db::Connection& db, const Upload& upload) {
  db.run(
      "INSERT INTO upload (digest, uid, kind, size, files, created, sent) VALUES (?, ?, ?, ?, ?, ?, ?)"
      " ON CONFLICT (digest, uid, kind) DO UPDATE SET created = excluded.created, sent = max(sent, excluded.sent)",
      to_column(upload.digest), upload.uid, name(upload.kind), to_column(upload.size),
      static_cast<std::int64_t>(upload.files), to_unix_micros(upload.created), to_column(upload.sent));
  // What it builds on may have been forgotten while it came.
  if (upload.sent < upload.size) recount_later(db, upload.uid);
}

std::optional<Upload> find_upload(db::Connection& db, const Digest& digest, uid_t uid, Upload::Kind kind) {
  auto row =
      db.query(std::string(kColumns) + "WHERE digest = ? AND uid = ? AND kind = ?", to_column(digest), uid, name(kind));
  if (!row.step()) return std::nullopt;
  return upload_row(row);
}

// Every question is asked of an index that begins with digest and user: how many others have the digest makes no
// difference.
bool may_use(db::Connection& db, Upload::Kind kind, const Digest& digest, const Viewer& viewer) {
  const auto in = [&](const char* table, const char* column, const char* owner) {
    const auto his = viewer.reads_jobs ? "" : std::string(" AND ") + owner + " = ?2";
    return std::string(" OR EXISTS (SELECT 1 FROM ") + table + " WHERE " + column + " = ?1" + his + ")";
  };
  const auto jobs = kind == Upload::Kind::diff ? in("job", "diff", "uid")
                                               : in("job", "snapshot", "uid") + in("job", "context", "uid") +
                                                     in("attempt", "outputs", "owner");
  auto row = db.query("SELECT EXISTS (SELECT 1 FROM upload WHERE digest = ?1 AND uid = ?2 AND kind = ?3)" + jobs,
                      to_column(digest), viewer.uid, name(kind));
  row.step();
  return row.integer(0) != 0;
}

bool had_environment(db::Connection& db, const Digest& environment, uid_t uid) {
  return db.query("SELECT 1 FROM environment_user WHERE environment = ? AND uid = ?", to_column(environment), uid)
      .step();
}

void note_environment(db::Connection& db, const Digest& environment, uid_t uid) {
  db.run("INSERT OR IGNORE INTO environment_user (environment, uid) VALUES (?, ?)", to_column(environment), uid);
}

namespace {

std::uint64_t counted(db::Connection& db, uid_t uid) {
  auto row = db.query(
      "SELECT (SELECT ifnull(sum(sent), 0) FROM upload WHERE uid = ?1)"
      " + (SELECT ifnull(sum(outputs_size), 0) FROM attempt WHERE owner = ?1 AND outputs IS NOT NULL)",
      uid);
  row.step();
  return static_cast<std::uint64_t>(row.integer(0));
}

}  // namespace

ByteSize stored_by(db::Connection& db, uid_t uid) {
  auto row = db.query("SELECT bytes FROM inherited WHERE uid = ?", uid);
  const auto inherited = row.step() ? static_cast<std::uint64_t>(row.integer(0)) : 0;
  return ByteSize(counted(db, uid) + inherited);
}

void recount_later(db::Connection& db, uid_t uid) {
  db.run("INSERT INTO inherited (uid, bytes, due) VALUES (?, 0, 1) ON CONFLICT (uid) DO UPDATE SET due = due + 1", uid);
}

std::vector<uid_t> to_recount(db::Connection& db) {
  std::vector<uid_t> users;
  auto rows = db.query("SELECT uid FROM inherited WHERE due > 0");
  while (rows.step()) users.push_back(static_cast<uid_t>(rows.integer(0)));
  return users;
}

Holdings holdings(db::Connection& db, uid_t uid) {
  Holdings held;
  const db::Savepoint moment(db);  // all as of now
  held.roots.snapshots =
      digests(db.query("SELECT digest FROM upload WHERE uid = ?1 AND kind = 'snapshot'"
                       " UNION SELECT snapshot FROM job WHERE uid = ?1 AND snapshot IS NOT NULL"
                       " UNION SELECT context FROM job WHERE uid = ?1 AND context IS NOT NULL",
                       uid));
  held.roots.diffs =
      digests(db.query("SELECT digest FROM upload WHERE uid = ?1 AND kind = 'diff'"
                       " UNION SELECT diff FROM job WHERE uid = ?1 AND diff IS NOT NULL",
                       uid));
  held.roots.outputs =
      digests(db.query("SELECT DISTINCT outputs FROM attempt WHERE owner = ? AND outputs IS NOT NULL", uid));
  held.counted = ByteSize(counted(db, uid));
  auto row = db.query("SELECT due FROM inherited WHERE uid = ?", uid);
  if (row.step()) held.due = row.integer(0);
  return held;
}

void recounted(db::Connection& db, uid_t uid, const Holdings& seen, ByteSize held) {
  const auto more = held.bytes() - std::min(held.bytes(), seen.counted.bytes());
  db.run("UPDATE inherited SET bytes = ?, due = due - ? WHERE uid = ?", to_column(ByteSize(more)), seen.due, uid);
  db.run("DELETE FROM inherited WHERE uid = ? AND bytes = 0 AND due = 0", uid);
}

Roots roots(db::Connection& db) {
  return {referred(db, named_in("snapshot") + " UNION " + named_in("context"), Upload::Kind::snapshot),
          referred(db, named_in("diff"), Upload::Kind::diff),
          digests(db.query("SELECT DISTINCT outputs FROM attempt WHERE outputs IS NOT NULL"))};
}

std::vector<UploadUse> uploads(db::Connection& db) {
  std::vector<UploadUse> result;
  auto rows =
      db.query("SELECT kind, digest, uid, size, files, created, sent, NOT (" + std::string(kUnused) + ") FROM upload");
  while (rows.step()) result.push_back({upload_row(rows), rows.integer(7) != 0});
  return result;
}

std::vector<Upload> forget_uploads(db::Connection& db, const std::vector<Upload>& unused) {
  std::vector<Upload> gone;
  for (const auto& upload : unused) {
    db.run("DELETE FROM upload WHERE digest = ? AND uid = ? AND kind = ? AND created = ? AND " + std::string(kUnused),
           to_column(upload.digest), upload.uid, name(upload.kind), to_unix_micros(upload.created));
    if (db.changes() == 0) continue;
    recount_later(db, upload.uid);
    gone.push_back(upload);
  }
  return gone;
}

}  // namespace berth::store
