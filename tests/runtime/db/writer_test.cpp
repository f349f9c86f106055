#include "runtime/db/writer.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <future>
#include <thread>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

using namespace berth;
using namespace berth::db;

namespace {

#ifdef NDEBUG
constexpr double kLeastRate = 5000;
#else
constexpr double kLeastRate = 500;  // with sanitizers
#endif

Connection with_table(const std::string& path) {
  auto db = Connection::open(path);
  db.execute("CREATE TABLE t (i INTEGER PRIMARY KEY, s TEXT)");
  return db;
}

Writer::Work insert(int value) {
  return [value](Connection& db) { db.run("INSERT INTO t VALUES (?, ?)", value, "some text of a row"); };
}

// "" once it is committed, else why it is not.
std::future<std::string> write(Writer& writer, Durable durable, Writer::Work work) {
  auto promise = std::make_shared<std::promise<std::string>>();
  auto future = promise->get_future();
  writer.write(durable, std::move(work), [promise](std::exception_ptr failure) {
    promise->set_value(failure ? error_from(failure).message() : "");
  });
  return future;
}

struct Fixture {
  os::TempDir directory;
  std::string path = directory / "test.db";
  Writer writer{with_table(path)};

  std::int64_t rows() {
    auto reader = Connection::open(path, {.access = Access::read_only});
    auto row = reader.query("SELECT count(*) FROM t");
    row.step();
    return row.integer(0);
  }
};

// Keeps the writer busy until released, so that what is written meanwhile becomes one batch.
class Blocker {
 public:
  explicit Blocker(Writer& writer) {
    done_ = write(writer, Durable::no, [this](Connection&) {
      entered_.set_value();
      gate_.get_future().wait();
    });
    entered_.get_future().wait();
  }
  ~Blocker() { release(); }
  void release() {
    if (!done_.valid()) return;
    gate_.set_value();
    done_.get();
  }

 private:
  std::promise<void> entered_;
  std::promise<void> gate_;
  std::future<std::string> done_;
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "what is written is there when it is told to be") {
  CHECK(write(writer, Durable::yes, insert(1)).get().empty());
  CHECK(rows() == 1);
  CHECK(write(writer, Durable::no, insert(2)).get().empty());
  CHECK(rows() == 2);
}

TEST_CASE_FIXTURE(Fixture, "work that fails is undone and spoils no other of its batch") {
  Blocker blocker(writer);
  auto first = write(writer, Durable::yes, insert(1));
  auto broken = write(writer, Durable::yes, [](Connection& db) {
    db.run("INSERT INTO t VALUES (?, ?)", 2, "undone");
    db.run("INSERT INTO t VALUES (?, ?)", 1, "there already");
  });
  auto thrown = write(writer, Durable::no, [](Connection&) { throw std::runtime_error("no"); });
  auto last = write(writer, Durable::no, insert(3));
  blocker.release();
  CHECK(first.get().empty());
  CHECK(broken.get() == "cannot write to the database " + path + ": UNIQUE constraint failed: t.i");
  CHECK(thrown.get() == "no");
  CHECK(last.get().empty());
  CHECK(rows() == 2);
}

TEST_CASE_FIXTURE(Fixture, "when the transaction fails all of its work fails, and the next one goes on") {
  Blocker blocker(writer);
  auto first = write(writer, Durable::yes, insert(1));
  auto rolled_back = write(writer, Durable::yes, [](Connection& db) {
    db.run("ROLLBACK");  // as SQLite itself does on a full disk
    throw Error(Code::no_space, "full");
  });
  auto after = write(writer, Durable::yes, insert(2));
  blocker.release();
  CHECK(first.get() == "full");
  CHECK(rolled_back.get() == "full");
  CHECK(after.get() == "full");
  CHECK(write(writer, Durable::yes, insert(3)).get().empty());
  CHECK(rows() == 1);
}

TEST_CASE_FIXTURE(Fixture, "order is kept, and stopping writes what waits") {
  std::vector<int> order;
  for (int i = 0; i < 1000; ++i) writer.write(Durable::no, insert(i), [&order, i](auto) { order.push_back(i); });
  writer.stop();
  REQUIRE(order.size() == 1000);
  CHECK(std::is_sorted(order.begin(), order.end()));
  CHECK(rows() == 1000);
  CHECK(write(writer, Durable::yes, insert(1)).get() == "the database " + path + " is closing");
}

TEST_CASE_FIXTURE(Fixture, "many threads may write at once") {
  std::atomic<int> committed = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 250; ++i)
        writer.write(i % 2 == 0 ? Durable::yes : Durable::no, insert(t * 1000 + i),
                     [&](std::exception_ptr failure) { committed += failure ? 0 : 1; });
    });
  }
  for (auto& thread : threads) thread.join();
  writer.stop();
  CHECK(committed == 1000);
  CHECK(rows() == 1000);
}

TEST_CASE_FIXTURE(Fixture, "durable writes that wait together share a sync") {
  constexpr int kWrites = 20'000;
  std::atomic<int> failures = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kWrites; ++i)
    writer.write(Durable::yes, insert(i), [&](std::exception_ptr failure) { failures += failure ? 1 : 0; });
  writer.stop();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  CHECK(failures == 0);
  CHECK(rows() == kWrites);
  const auto rate = kWrites / elapsed.count();
  MESSAGE(rate, " durable writes a second");
  CHECK(rate > kLeastRate);
}

TEST_CASE_FIXTURE(Fixture,
                  "a database that is deleted, replaced or cut while it is in use takes no more writes, and tells") {
  CHECK(write(writer, Durable::yes, insert(1)).get() == "");
  const auto moved = directory / "elsewhere";
  SUBCASE("deleted, and put back") {
    REQUIRE(std::rename(path.c_str(), moved.c_str()) == 0);
    CHECK(write(writer, Durable::yes, insert(2)).get().find(path + " was deleted") != std::string::npos);
    REQUIRE(std::rename(moved.c_str(), path.c_str()) == 0);
    CHECK(write(writer, Durable::yes, insert(3)).get() == "");
  }
  SUBCASE("replaced by another one") {
    os::write_file(path, os::read_file(path), 0600, os::Durable::no);
    CHECK(write(writer, Durable::yes, insert(2)).get().find(path + " was replaced") != std::string::npos);
  }
  SUBCASE("cut") {
    REQUIRE(::truncate(path.c_str(), 100) == 0);
    CHECK(write(writer, Durable::yes, insert(2)).get().find(path + " was cut") != std::string::npos);
  }
  SUBCASE("its log deleted") {
    REQUIRE(::unlink((path + "-wal").c_str()) == 0);
    CHECK(write(writer, Durable::yes, insert(2)).get().find(path + "-wal was deleted") != std::string::npos);
  }
  SUBCASE("its log cut") {
    REQUIRE(::truncate((path + "-wal").c_str(), 0) == 0);
    CHECK(write(writer, Durable::yes, insert(2)).get().find(path + "-wal was cut") != std::string::npos);
  }
}

TEST_CASE_FIXTURE(Fixture, "a log that is moved into the database again and again is as it should be") {
  for (int i = 0; i < 40; ++i) {
    const auto many = [i](Connection& db) {
      for (int j = 0; j < 200; ++j) db.run("INSERT INTO t VALUES (?, ?)", i * 1000 + j, std::string(3000, 'x'));
    };
    REQUIRE(write(writer, Durable::no, many).get() == "");
  }
  CHECK(rows() == 8000);
}

TEST_CASE_FIXTURE(Fixture, "a connection that is made anew goes on with the work") {
  CHECK(write(writer, Durable::yes, insert(1)).get() == "");
  writer.renew([]() -> Connection { throw Error(Code::io, "not yet"); });
  CHECK(write(writer, Durable::yes, insert(2)).get() == "not yet");
  writer.renew([this] { return Connection::open(path); });
  CHECK(write(writer, Durable::yes, insert(3)).get() == "");
  CHECK(rows() == 2);
}
