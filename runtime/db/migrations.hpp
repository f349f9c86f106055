#pragma once

// A database's schema as a list of steps: step i takes version i to version i + 1 (user_version). A released
// step never changes.

#include <span>

#include "runtime/db/connection.hpp"

namespace berth::db {

int schema_version(Connection& connection);

// Brings the database to version steps.size(), each step in a transaction of its own. A higher version is
// Code::unsupported: "… was written by a newer Berth (schema 7, this one knows 3)".
void migrate(Connection& connection, std::span<const std::string_view> steps);
// The check alone, for those who only read.
void refuse_newer(Connection& connection, std::span<const std::string_view> steps);

}  // namespace berth::db
