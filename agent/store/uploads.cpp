#include "agent/store/records.hpp"
#include "agent/store/rows.hpp"
#include "runtime/base/error.hpp"

namespace berth::store {
namespace {

constexpr std::string_view kColumns = "SELECT kind, digest, uid, size, files, created FROM upload ";

// What no job of its sender refers to.
constexpr std::string_view kUnused =
    "NOT EXISTS (SELECT 1 FROM job WHERE job.snapshot = upload.digest AND job.uid = upload.uid)"
    " AND NOT EXISTS (SELECT 1 FROM job WHERE job.diff = upload.digest AND job.uid = upload.uid)"
    " AND NOT EXISTS (SELECT 1 FROM job WHERE job.context = upload.digest AND job.uid = upload.uid)";

std::string_view name(Upload::Kind kind) {
  return kind == Upload::Kind::snapshot ? "snapshot" : "diff";
}

Upload upload_row(const db::Statement& row) {
  Upload upload;
  upload.kind = row.text(0) == "diff" ? Upload::Kind::diff : Upload::Kind::snapshot;
  upload.digest = digest_column(row, 1);
  upload.uid = static_cast<uid_t>(row.integer(2));
  upload.size = ByteSize(static_cast<std::uint64_t>(row.integer(3)));
  upload.files = static_cast<std::uint64_t>(row.integer(4));
  upload.created = from_unix_micros(row.integer(5));
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
      "INSERT INTO upload (digest, uid, kind, size, files, created) VALUES (?, ?, ?, ?, ?, ?)"
      " ON CONFLICT (digest, uid) DO UPDATE SET created = excluded.created",
      to_column(upload.digest), upload.uid, name(upload.kind), to_column(upload.size),
      static_cast<std::int64_t>(upload.files), to_unix_micros(upload.created));
}

std::optional<Upload> find_upload(db::Connection& db, const Digest& digest, uid_t uid) {
  auto row = db.query(std::string(kColumns) + "WHERE digest = ? AND uid = ?", to_column(digest), uid);
  if (!row.step()) return std::nullopt;
  return upload_row(row);
}

Roots roots(db::Connection& db) {
  return {referred(db, named_in("snapshot") + " UNION " + named_in("context"), Upload::Kind::snapshot),
          referred(db, named_in("diff"), Upload::Kind::diff),
          digests(db.query("SELECT DISTINCT outputs FROM attempt WHERE outputs IS NOT NULL"))};
}

std::vector<UploadUse> uploads(db::Connection& db) {
  std::vector<UploadUse> result;
  auto rows = db.query("SELECT kind, digest, uid, size, files, created, NOT (" + std::string(kUnused) + ") FROM upload");
  while (rows.step()) result.push_back({upload_row(rows), rows.integer(6) != 0});
  return result;
}

std::vector<Upload> forget_uploads(db::Connection& db, const std::vector<Upload>& unused) {
  std::vector<Upload> gone;
  for (const auto& upload : unused) {
    db.run("DELETE FROM upload WHERE digest = ? AND uid = ? AND created = ? AND " + std::string(kUnused),
           to_column(upload.digest), upload.uid, to_unix_micros(upload.created));
    if (db.changes() > 0) gone.push_back(upload);
  }
  return gone;
}

}  // namespace berth::store
