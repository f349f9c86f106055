#include <exception>

#include "agent/store/records.hpp"
#include "agent/store/rows.hpp"

namespace berth::store {
namespace {

constexpr std::string_view kApart = "secrets_apart";

db::Bytes bytes(const std::string& text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

// What is overwritten or deleted meanwhile stays in no free space of the file. It costs writes, so it is for these
// alone.
class Wiping {
 public:
  explicit Wiping(db::Connection& db) : db_(db) { db_.execute("PRAGMA secure_delete = ON"); }
  Wiping(const Wiping&) = delete;
  Wiping& operator=(const Wiping&) = delete;
  ~Wiping() {
    try {
      db_.execute("PRAGMA secure_delete = OFF");
    } catch (const std::exception&) {  // it costs time only
    }
  }

 private:
  db::Connection& db_;
};

}  // namespace

std::optional<std::string> sealed(db::Connection& db, Sequence sequence) {
  auto row = db.query("SELECT sealed FROM secret WHERE sequence = ?", sequence);
  if (!row.step()) return std::nullopt;
  const auto blob = row.blob(0);
  return std::string(blob.begin(), blob.end());
}

bool anything_sealed(db::Connection& db) { return db.query("SELECT 1 FROM secret LIMIT 1").step(); }

bool secrets_apart(db::Connection& db) { return db.query("SELECT 1 FROM node WHERE name = ?", kApart).step(); }

std::vector<StoredRequest> requests_after(db::Connection& db, Sequence sequence, std::size_t most) {
  std::vector<StoredRequest> requests;
  auto rows = db.query("SELECT sequence, json FROM request WHERE sequence > ? ORDER BY sequence LIMIT ?", sequence,
                       static_cast<std::int64_t>(most));
  while (rows.step()) requests.push_back({Sequence(rows.integer(0)), std::string(rows.text(1))});
  return requests;
}

void set_apart(db::Connection& db, const StoredRequest& request, const std::string& sealed) {
  const Wiping wiping(db);
  db.run("UPDATE request SET json = ? WHERE sequence = ?", request.json, request.sequence);
  db.run("INSERT OR REPLACE INTO secret (sequence, sealed) VALUES (?, ?)", request.sequence, bytes(sealed));
}

void set_secrets_apart(db::Connection& db) {
  db.run("INSERT INTO node (name, value) VALUES (?, 'yes') ON CONFLICT (name) DO NOTHING", kApart);
}

void wipe_secrets(db::Connection& db, Sequence sequence) {
  const Wiping wiping(db);
  db.run("DELETE FROM secret WHERE sequence = ?", sequence);
}

}  // namespace berth::store
