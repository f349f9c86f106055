#include "runtime/db/migrations.hpp"

#include <doctest/doctest.h>

#include <array>

#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::db;

namespace {
constexpr std::array<std::string_view, 3> kSteps{"CREATE TABLE t (a INTEGER)", "ALTER TABLE t ADD b INTEGER",
                                                 "CREATE INDEX i ON t (b)"};
}

TEST_CASE("a database is brought up to date step by step, from any version") {
  os::TempDir directory;
  auto db = Connection::open(directory / "test.db");
  migrate(db, std::span(kSteps).first(1));
  CHECK(schema_version(db) == 1);
  db.run("INSERT INTO t (a) VALUES (7)");
  migrate(db, kSteps);
  migrate(db, kSteps);
  CHECK(schema_version(db) == 3);
  auto row = db.query("SELECT a, b FROM t");
  REQUIRE(row.step());
  CHECK(row.integer(0) == 7);
  CHECK(row.is_null(1));
}

TEST_CASE("a step that fails leaves the version before it") {
  os::TempDir directory;
  auto db = Connection::open(directory / "test.db");
  constexpr std::array<std::string_view, 2> kBroken{"CREATE TABLE t (a INTEGER)",
                                                    "CREATE TABLE u (a INTEGER); INSERT INTO nowhere VALUES (1)"};
  CHECK_THROWS_AS(migrate(db, kBroken), Error);
  CHECK(schema_version(db) == 1);
  db.execute("CREATE TABLE u (a INTEGER)");  // was undone
}

TEST_CASE("a database of a newer version is refused, and stays as it is") {
  os::TempDir directory;
  auto db = Connection::open(directory / "test.db");
  db.execute("PRAGMA user_version = 7");
  try {
    migrate(db, kSteps);
    FAIL("it was accepted");
  } catch (const Error& error) {
    CHECK(error.code() == Code::unsupported);
    CHECK(error.message() ==
          "the database " + db.path() + " was written by a newer Berth (schema 7, this one knows 3)");
    CHECK_FALSE(error.hint().empty());
  }
  CHECK(schema_version(db) == 7);
}
