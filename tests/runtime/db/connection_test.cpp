#include "runtime/db/connection.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <functional>

#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::db;

namespace {

struct Fixture {
  os::TempDir directory;
  std::string path = directory / "test.db";
  Connection db = Connection::open(path);

  std::int64_t count() {
    auto row = db.query("SELECT count(*) FROM t");
    row.step();
    return row.integer(0);
  }
};

Code code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    INFO(error.describe());
    return error.code();
  }
  FAIL("nothing was thrown");
  return Code::internal;
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "values come back as they were bound") {
  db.execute("CREATE TABLE t (i INTEGER, s TEXT, b BLOB, n INTEGER)");
  const std::vector<std::uint8_t> bytes{0, 1, 255};
  db.run("INSERT INTO t VALUES (?, ?, ?, ?)", std::int64_t{-5'000'000'000}, "a\0b", Bytes(bytes), std::nullopt);
  db.run("INSERT INTO t VALUES (?, ?, ?, ?)", 7U, std::string("a\0b", 3), Bytes{}, std::optional<int>(3));
  db.run("INSERT INTO t VALUES (?, ?, ?, ?)", true, std::string_view{}, Bytes{}, std::optional<std::string>());
  auto rows = db.query("SELECT i, s, b, n FROM t ORDER BY rowid");
  REQUIRE(rows.step());
  CHECK(rows.integer(0) == -5'000'000'000);
  CHECK(rows.text(1) == "a");
  CHECK(std::vector<std::uint8_t>(rows.blob(2).begin(), rows.blob(2).end()) == bytes);
  CHECK(rows.is_null(3));
  CHECK_FALSE(rows.optional_integer(3));
  REQUIRE(rows.step());
  CHECK(rows.text(1) == std::string("a\0b", 3));
  CHECK(rows.blob(2).empty());
  CHECK_FALSE(rows.is_null(2));
  CHECK(rows.optional_integer(3) == 3);
  REQUIRE(rows.step());
  CHECK(rows.text(1).empty());
  CHECK_FALSE(rows.is_null(1));
  CHECK_FALSE(rows.step());
}

TEST_CASE_FIXTURE(Fixture, "a statement is prepared once, and nested use of its text works") {
  db.execute("CREATE TABLE t (i INTEGER); INSERT INTO t VALUES (1), (2), (3)");
  int pairs = 0;
  auto outer = db.query("SELECT i FROM t");
  while (outer.step()) {
    auto inner = db.query("SELECT i FROM t");
    while (inner.step()) ++pairs;
  }
  CHECK(pairs == 9);
  CHECK(count() == 3);
  CHECK(count() == 3);
}

TEST_CASE_FIXTURE(Fixture, "a transaction is kept when committed and undone otherwise") {
  db.execute("CREATE TABLE t (i INTEGER)");
  {
    Transaction transaction(db);
    db.run("INSERT INTO t VALUES (1)");
    CHECK(db.in_transaction());
  }
  CHECK_FALSE(db.in_transaction());
  CHECK(count() == 0);
  {
    Transaction transaction(db);
    db.run("INSERT INTO t VALUES (1)");
    {
      Savepoint part(db);
      db.run("INSERT INTO t VALUES (2)");
    }
    {
      Savepoint part(db);
      db.run("INSERT INTO t VALUES (3)");
      part.keep();
    }
    transaction.commit();
  }
  CHECK(count() == 2);
  CHECK(db.changes() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a violated constraint is a conflict, and the connection goes on") {
  db.execute("CREATE TABLE t (i INTEGER UNIQUE); CREATE TABLE u (i INTEGER REFERENCES t (i))");
  db.run("INSERT INTO t VALUES (1)");
  CHECK(code_of([&] { db.run("INSERT INTO t VALUES (?)", 1); }) == Code::conflict);
  CHECK(code_of([&] { db.run("INSERT INTO u VALUES (?)", 2); }) == Code::conflict);
  db.run("INSERT INTO t VALUES (?)", 2);
  CHECK(count() == 2);
}

TEST_CASE_FIXTURE(Fixture, "the file is its owner's alone, and in write-ahead mode") {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  db.execute("CREATE TABLE t (i INTEGER)");
  REQUIRE(::stat((path + "-wal").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
}

TEST_CASE_FIXTURE(Fixture, "a reader sees what is committed, at once, and cannot write") {
  db.execute("CREATE TABLE t (i INTEGER)");
  auto reader = Connection::open(path, {.access = Access::read_only});
  Transaction transaction(db);
  db.run("INSERT INTO t VALUES (1)");
  const auto seen = [&] {
    auto row = reader.query("SELECT count(*) FROM t");
    row.step();
    return row.integer(0);
  };
  CHECK(seen() == 0);
  transaction.commit();
  CHECK(seen() == 1);
  CHECK(code_of([&] { reader.run("INSERT INTO t VALUES (2)"); }) == Code::denied);
}

TEST_CASE_FIXTURE(Fixture, "a second writer waits, and gives up with a reason") {
  db.execute("CREATE TABLE t (i INTEGER)");
  auto other = Connection::open(path, {.busy_timeout = std::chrono::milliseconds(10)});
  Transaction transaction(db);
  db.run("INSERT INTO t VALUES (1)");
  CHECK(code_of([&] { Transaction second(other); }) == Code::unavailable);
  transaction.commit();
  Transaction second(other);
  second.commit();
}

TEST_CASE("what is no database, is damaged or is absent is told apart") {
  os::TempDir directory;
  const auto path = directory / "test.db";
  CHECK(code_of([&] { Connection::open(path, {.access = Access::read_only}); }) == Code::not_found);
  CHECK(code_of([&] { Connection::open(directory / "no/such/test.db"); }) == Code::not_found);
  os::write_file(path, std::string(5000, 'x'), 0600, Durable::no);
  CHECK(code_of([&] { Connection::open(path); }) == Code::corrupt);
  CHECK(code_of([&] { Connection::open(path, {.access = Access::read_only}); }) == Code::corrupt);
  os::remove_file(path);
  {
    auto db = Connection::open(path);
    db.execute("CREATE TABLE t (i INTEGER PRIMARY KEY, s TEXT)");
    for (int i = 0; i < 1000; ++i) db.run("INSERT INTO t VALUES (?, ?)", i, std::string(100, 'x'));
    CHECK_FALSE(db.damage());
  }
  auto bytes = os::read_file(path);
  for (std::size_t i = 8192; i < 40960; ++i) bytes[i] = '\x55';
  os::write_file(path, bytes, 0600, Durable::no);
  auto db = Connection::open(path);
  CHECK(db.damage());
  CHECK(code_of([&] {
          auto rows = db.query("SELECT max(s) FROM t");
          rows.step();
        }) == Code::corrupt);
}
