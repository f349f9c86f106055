// A process that writes is killed at random instants: whatever it was told is on disk is there afterwards.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <future>
#include <random>
#include <thread>

#include "runtime/db/writer.hpp"
#include "tests/agent/store/fixture.hpp"

using namespace berth;
using namespace berth::store;

namespace {

// Submits jobs one after the other, and tells each number once it is acknowledged. Never returns.
[[noreturn]] void write_until_killed(const std::string& path, int first, const os::Fd& acknowledged) {
  auto connection = db::Connection::open(path);
  prepare_schema(connection);
  db::Writer writer(std::move(connection));
  const Random random = [source = std::mt19937_64(static_cast<std::uint64_t>(first))]() mutable { return source(); };
  for (int number = first;; ++number) {
    std::promise<void> done;
    writer.write(
        db::Durable::yes, [&](db::Connection& db) { submit(db, {new_job(number)}, at(0), random); },
        [&done](std::exception_ptr failure) { failure ? std::_Exit(1) : done.set_value(); });
    done.get_future().wait();
    os::write_all(acknowledged, std::string_view(reinterpret_cast<const char*>(&number), sizeof number));
  }
}

std::vector<int> numbers_told(const os::Fd& pipe) {
  const auto bytes = os::read_all(pipe, 100U << 20);
  std::vector<int> numbers(bytes.size() / sizeof(int));
  if (!numbers.empty()) std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(int));
  return numbers;
}

}  // namespace

TEST_CASE("no acknowledged submission is lost when the writer is killed") {
  os::TempDir directory;
  const auto path = directory / "agent.db";
  std::mt19937 random(11);
  std::size_t total = 0;
  for (int round = 0; round < 20; ++round) {
    auto pipe = os::make_pipe();
    const int first = round * 100'000;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) write_until_killed(path, first, pipe.write);
    pipe.write.reset();
    std::this_thread::sleep_for(std::chrono::milliseconds(std::uniform_int_distribution(5, 60)(random)));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    const auto told = numbers_told(pipe.read);
    auto db = db::Connection::open(path);
    prepare_schema(db);
    CHECK_FALSE(db.damage());
    for (const int number : told) {
      const auto again = submit(db, {new_job(number)}, at(1), [] { return std::uint64_t{1}; });
      REQUIRE(again[0].existed);
    }
    // One more may have been written without having been told.
    auto row = db.query("SELECT count(*) FROM job WHERE submission_id >= ? ", new_job(first).request.submission_id);
    row.step();
    const auto written = static_cast<std::size_t>(row.integer(0));
    CHECK(written >= told.size());
    CHECK(written <= told.size() + 1);
    total += told.size();
  }
  MESSAGE(total, " submissions were acknowledged");
  CHECK(total > 0);
}
