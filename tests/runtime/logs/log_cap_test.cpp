#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "runtime/logs/log_cap.hpp"
#include "runtime/logs/reader.hpp"
#include "runtime/os/file.hpp"
#include "tests/runtime/logs/test_clock.hpp"

using namespace berth;
using namespace berth::logs;
using std::chrono::milliseconds;

namespace {

struct Fixture {
  explicit Fixture(ByteSize limit = ByteSize(0)) : cap(log, scratch / "index", limit, clock) {}
  void write(std::size_t size, char c = 'x') { os::write_all(log, std::string(size, c)); }
  std::size_t records() const {
    const auto index = os::read_file_if_exists(scratch / "index");
    return index ? index->size() / 16 - 1 : 0;
  }

  os::TempDir scratch;
  test::TestClock clock;
  os::Fd log = os::open(scratch / "log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  LogCap cap;
};

}  // namespace

TEST_CASE("a log at rest gets no marks and asks for no further look") {
  Fixture fixture;
  CHECK_FALSE(fixture.cap.observe());
  fixture.write(10);
  CHECK(fixture.cap.observe());
  fixture.clock.advance(kLookInterval);
  CHECK_FALSE(fixture.cap.observe());
  CHECK(fixture.records() == 1);
}

TEST_CASE("a log in which nothing is written has no index, and one that is continued keeps its own") {
  Fixture fixture;
  fixture.cap.observe();
  fixture.cap.finish();
  CHECK_FALSE(os::exists(fixture.scratch / "index"));
  CHECK_FALSE(IndexReader(fixture.scratch / "index").time_at(0));
  fixture.write(1);
  fixture.cap.finish();
  CHECK(fixture.records() == 1);
  LogCap next(fixture.log, fixture.scratch / "index", ByteSize(0), fixture.clock);
  next.finish();
  CHECK(fixture.records() == 1);
}

TEST_CASE("a log that grows gets at most one mark per interval, and its last byte is always covered") {
  Fixture fixture;
  for (int i = 0; i < 1000; ++i) {
    fixture.write(1);
    fixture.cap.observe();
    fixture.clock.advance(milliseconds(1));
  }
  CHECK(fixture.records() <= 21);
  fixture.cap.finish();
  CHECK(IndexReader(fixture.scratch / "index").time_at(999));
}

TEST_CASE("marks thin out in a log that never rests") {
  Fixture fixture;
  const auto marks = [&](int looks) {
    const auto before = fixture.records();
    for (int i = 0; i < looks; ++i) {
      fixture.write(1);
      fixture.cap.observe();
      fixture.clock.advance(kLookInterval);
    }
    return fixture.records() - before;
  };
  CHECK(marks(65536) == 65536);
  const auto second = marks(4000);
  CHECK(second >= 1999);
  CHECK(second <= 2001);
}

TEST_CASE("a wall clock that is set back does not stop the marks") {
  Fixture fixture;
  fixture.write(1);
  fixture.cap.observe();
  fixture.clock.set_back(std::chrono::hours(1));
  fixture.clock.advance(kLookInterval);
  fixture.write(1);
  fixture.cap.observe();
  CHECK(fixture.records() == 2);
}

TEST_CASE("nothing is punched up to the limit and its slack") {
  Fixture fixture(1_MiB);
  fixture.write((1U << 20) + (1U << 17));
  fixture.cap.observe();
  CHECK(IndexReader(fixture.scratch / "index").holes().empty());
  fixture.write(1);
  fixture.cap.observe();
  CHECK(IndexReader(fixture.scratch / "index").holes().size() == 1);
}

TEST_CASE("a log that grows for long keeps half the limit at each end and frees the rest") {
  Fixture fixture(1_MiB);
  for (int i = 0; i < 400; ++i) {
    fixture.write(100'000, static_cast<char>('a' + i % 26));
    fixture.cap.observe();
  }
  IndexReader index(fixture.scratch / "index");
  REQUIRE(index.holes().size() == 1);
  const auto hole = index.holes().front();
  CHECK(hole.begin == 512 * 1024);
  CHECK(40'000'000 - hole.end >= 512 * 1024);
  CHECK(40'000'000 - hole.end <= 512 * 1024 + (1U << 17) + 100'000 + 4096);
  struct stat info {};
  REQUIRE(::fstat(fixture.log.get(), &info) == 0);
  CHECK(info.st_size == 40'000'000);
  CHECK(info.st_blocks * 512 <= 1'500'000);
}

TEST_CASE("a limit smaller than a block punches nothing wrong") {
  Fixture fixture(ByteSize(100));
  fixture.write(50'000, 'y');
  fixture.cap.observe();
  const auto hole = IndexReader(fixture.scratch / "index").holes().at(0);
  CHECK(hole == Hole{4096, 49152 - 0});
  const auto text = os::read_file(fixture.scratch / "log");
  CHECK(text.substr(0, 4096) == std::string(4096, 'y'));
  CHECK(text.substr(49152) == std::string(50'000 - 49152, 'y'));
}

TEST_CASE("a cap goes on where an earlier one stopped") {
  Fixture fixture(1_MiB);
  fixture.write(2U << 20);
  fixture.cap.finish();
  const auto records = fixture.records();
  LogCap second(fixture.log, fixture.scratch / "index", 1_MiB, fixture.clock);
  CHECK_FALSE(second.observe());
  CHECK(fixture.records() == records);
  fixture.write(1U << 20);
  CHECK(second.observe());
  const auto holes = IndexReader(fixture.scratch / "index").holes();
  REQUIRE(holes.size() == 1);
  CHECK(holes[0] == Hole{512 * 1024, (3U << 20) - 512 * 1024});
}
