#pragma once

// Columns ⇄ values, for the .cpp files of agent/store.

#include <optional>
#include <string>
#include <string_view>

#include "agent/model/ending.hpp"
#include "agent/model/job.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/digest.hpp"
#include "runtime/db/connection.hpp"

namespace berth::store {

inline db::Bytes to_column(const Digest& digest) { return digest.bytes; }
inline std::optional<db::Bytes> to_column(const std::optional<Digest>& digest) {
  if (!digest) return std::nullopt;
  return db::Bytes(digest->bytes);
}
inline std::optional<std::int64_t> to_column(const std::optional<Instant>& instant) {
  if (!instant) return std::nullopt;
  return to_unix_micros(*instant);
}
template <class Rep, class Period>
std::optional<std::int64_t> to_column(const std::optional<std::chrono::duration<Rep, Period>>& duration) {
  if (!duration) return std::nullopt;
  return duration->count();
}
std::optional<std::string> to_column(const std::optional<model::Ending>& ending);
std::string to_column(const model::EnvironmentChanges& changes);
std::optional<std::string> to_column(const model::LeftOut& left_out);
// SQLite's integers are signed.
std::int64_t to_column(ByteSize size);

// All throw Code::corrupt where the column cannot be what was written.
Digest digest_column(const db::Statement& row, int column);
std::optional<Digest> optional_digest_column(const db::Statement& row, int column);
std::optional<Instant> instant_column(const db::Statement& row, int column);
std::optional<model::Ending> ending_column(const db::Statement& row, int column);
std::optional<model::EnvironmentChanges> environment_changes_column(const db::Statement& row, int column);
model::LeftOut left_out_column(const db::Statement& row, int column);
model::State state_column(const db::Statement& row, int column);
model::JobRequest request_column(const db::Statement& row, int column);
// From five columns on: cpu_milli, memory, gpus, slots, gpu_memory.
// A JSON array of texts.
std::vector<std::string> texts_column(const db::Statement& row, int column);
std::string to_column(const std::vector<std::string>& texts);
model::Resources resources_columns(const db::Statement& row, int first);

std::string to_text(const model::JobRequest& request);

// The last one that was given in a table whose numbers are never given twice; 0 before the first.
std::int64_t last_number(db::Connection& db, std::string_view table);

}  // namespace berth::store
