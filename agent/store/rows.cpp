#include "agent/store/rows.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "agent/wire/job.hpp"
#include "agent/wire/json_text.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/json_fields.hpp"

namespace berth::store {
namespace {

[[noreturn]] void corrupt(const std::string& what) {
  throw Error(Code::corrupt, "the job database holds a malformed " + what);
}

}  // namespace

std::int64_t last_number(db::Connection& db, std::string_view table) {
  auto row = db.query("SELECT seq FROM sqlite_sequence WHERE name = ?", table);
  return row.step() ? row.integer(0) : 0;
}

std::optional<std::string> to_column(const std::optional<model::Ending>& ending) {
  if (!ending) return std::nullopt;
  return text_of(*ending);
}

std::string to_column(const model::EnvironmentChanges& changes) { return text_of(changes); }

std::optional<model::EnvironmentChanges> environment_changes_column(const db::Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return message_from<model::EnvironmentChanges>(wire::parse_json(row.text(column)), "environment changes");
}

std::int64_t to_column(ByteSize size) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(size.bytes(), std::numeric_limits<std::int64_t>::max()));
}

Digest digest_column(const db::Statement& row, int column) {
  const auto bytes = row.blob(column);
  Digest digest;
  if (bytes.size() != digest.bytes.size()) corrupt("digest");
  std::copy(bytes.begin(), bytes.end(), digest.bytes.begin());
  return digest;
}

std::optional<Digest> optional_digest_column(const db::Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return digest_column(row, column);
}

std::optional<Instant> instant_column(const db::Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return from_unix_micros(row.integer(column));
}

std::optional<model::Ending> ending_column(const db::Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return message_from<model::Ending>(wire::parse_json(row.text(column)), "ending");
}

std::optional<std::string> to_column(const model::LeftOut& left_out) {
  if (left_out.count == 0) return std::nullopt;
  return text_of(left_out);
}

model::LeftOut left_out_column(const db::Statement& row, int column) {
  if (row.is_null(column)) return {};
  return message_from<model::LeftOut>(wire::parse_json(row.text(column)), "outputs left out");
}

model::State state_column(const db::Statement& row, int column) {
  const auto state = model::parse_state(row.text(column));
  if (!state) corrupt("state");
  return *state;
}

model::JobRequest request_column(const db::Statement& row, int column) {
  return wire::request_from(wire::parse_json(row.text(column)));
}

std::vector<std::string> texts_column(const db::Statement& row, int column) {
  return read_json(row.text(column)).get<std::vector<std::string>>();
}

std::string to_column(const std::vector<std::string>& texts) { return nlohmann::json(texts).dump(); }

model::Resources resources_columns(const db::Statement& row, int first) {
  return {static_cast<std::uint32_t>(row.integer(first)), ByteSize(static_cast<std::uint64_t>(row.integer(first + 1))),
          static_cast<std::uint16_t>(row.integer(first + 2)), static_cast<std::uint16_t>(row.integer(first + 3)),
          ByteSize(static_cast<std::uint64_t>(row.integer(first + 4)))};
}

std::string to_text(const model::JobRequest& request) { return text_of(request); }

}  // namespace berth::store
