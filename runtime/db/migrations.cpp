#include "runtime/db/migrations.hpp"

#include "runtime/base/error.hpp"

namespace berth::db {

int schema_version(Connection& connection) {
  auto version = connection.query("PRAGMA user_version");
  version.step();
  return static_cast<int>(version.integer(0));
}

void refuse_newer(Connection& connection, std::span<const std::string_view> steps) {
  const auto version = schema_version(connection);
  if (std::cmp_less_equal(version, steps.size())) return;
  throw Error(Code::unsupported,
              "the database " + connection.path() + " was written by a newer Berth (schema " + std::to_string(version) +
                  ", this one knows " + std::to_string(steps.size()) + ")",
              "install that version again, or move the file away to start with an empty one");
}

void migrate(Connection& connection, std::span<const std::string_view> steps) {
  refuse_newer(connection, steps);
  connection.set_durable(Durable::yes);
  while (true) {
    Transaction transaction(connection);
    const auto version = static_cast<std::size_t>(schema_version(connection));
    if (version >= steps.size()) break;
    connection.execute(std::string(steps[version]));
    connection.execute("PRAGMA user_version = " + std::to_string(version + 1));
    transaction.commit();
  }
  connection.set_durable(Durable::no);
}

}  // namespace berth::db
