#include <fcntl.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"
#include "runtime/logs/appender.hpp"
#include "runtime/logs/reader.hpp"
#include "runtime/os/file.hpp"

using namespace berth;
using namespace berth::logs;

namespace {

// A log with this text and these holes, which are in the index only: nothing needs to be punched to be
// skipped.
struct Fixture {
  explicit Fixture(const std::string& text, const std::vector<Hole>& holes = {}) {
    os::write_file(scratch / "log", text, 0600, os::Durable::no);
    IndexWriter writer(scratch / "index");
    for (const auto& hole : holes) writer.hole(hole);
  }
  LogReader reader() const { return {scratch / "log", scratch / "index"}; }
  os::TempDir scratch;
};

std::string read_from(LogReader reader, std::uint64_t offset, std::size_t step = 4096) {
  std::string text;
  std::vector<char> buffer(step);
  for (;;) {
    const auto piece = reader.read(offset, buffer);
    if (piece.length == 0) return text;
    text.append(buffer.data(), piece.length);
    offset = piece.next;
  }
}

std::string tail(const Fixture& fixture, std::uint64_t lines) {
  return read_from(fixture.reader(), fixture.reader().tail(lines));
}

}  // namespace

TEST_CASE("a log is read from any offset, in steps of any size") {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::to_string(i) + "\n";
  const Fixture fixture(text);
  CHECK(read_from(fixture.reader(), 0) == text);
  CHECK(read_from(fixture.reader(), 0, 129) == text);
  CHECK(read_from(fixture.reader(), 777) == text.substr(777));
  CHECK(read_from(fixture.reader(), text.size()).empty());
  CHECK(read_from(fixture.reader(), text.size() + 100).empty());
}

TEST_CASE("a hole is told in one line, and reading goes on behind it") {
  const Fixture fixture("head\n" + std::string(95, '\0') + "tail\n", {{5, 100}});
  const std::string notice = "[… 95 B left out (bytes 5–100) …]\n";
  CHECK(read_from(fixture.reader(), 0) == "head\n" + notice + "tail\n");
  CHECK(read_from(fixture.reader(), 3) == "d\n" + notice + "tail\n");
  auto reader = fixture.reader();
  std::vector<char> buffer(256);
  const auto piece = reader.read(5, buffer);
  CHECK(piece.left_out);
  CHECK(piece.next == 100);
}

TEST_CASE("the line for a hole begins on a line of its own") {
  const Fixture fixture("head" + std::string(96, '\0') + "tail\n", {{4, 100}});
  CHECK(read_from(fixture.reader(), 0) == "head\n[… 96 B left out (bytes 4–100) …]\ntail\n");
}

TEST_CASE("a reader that resumes inside a hole is told what it missed from there on") {
  const Fixture fixture("head\n" + std::string(95, '\0') + "tail\n", {{5, 100}});
  CHECK(read_from(fixture.reader(), 60) == "[… 40 B left out (bytes 60–100) …]\ntail\n");
}

TEST_CASE("a hole that appears while a log is read is not read as text") {
  const Fixture fixture(std::string(50, 'a') + std::string(100, '\0') + "tail\n");
  auto reader = fixture.reader();
  IndexWriter(fixture.scratch / "index").hole({50, 150});
  std::vector<char> buffer(4096);
  CHECK(reader.read(0, buffer).next == 50);
}

TEST_CASE("the last lines are found from the end") {
  const Fixture fixture("one\ntwo\nthree\n");
  CHECK(tail(fixture, 0).empty());
  CHECK(tail(fixture, 1) == "three\n");
  CHECK(tail(fixture, 2) == "two\nthree\n");
  CHECK(tail(fixture, 3) == "one\ntwo\nthree\n");
  CHECK(tail(fixture, 99) == "one\ntwo\nthree\n");
}

TEST_CASE("a last line without its end counts") {
  const Fixture fixture("one\ntwo\nthr");
  CHECK(tail(fixture, 1) == "thr");
  CHECK(tail(fixture, 2) == "two\nthr");
}

TEST_CASE("empty lines count, and an empty log has none") {
  CHECK(tail(Fixture("one\n\n\n"), 2) == "\n\n");
  CHECK(tail(Fixture(""), 5).empty());
  CHECK(tail(Fixture("\n"), 1) == "\n");
}

TEST_CASE("the last lines of a long log are found across many blocks") {
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += "line " + std::to_string(i) + "\n";
  const Fixture fixture(text);
  const auto expected = text.substr(text.find("line 30000\n"));
  CHECK(tail(fixture, 20'000) == expected);
}

TEST_CASE("the last lines do not reach over a hole") {
  const Fixture fixture("head\nmore\n" + std::string(90, '\0') + "one\ntwo\n", {{10, 100}});
  CHECK(tail(fixture, 1) == "two\n");
  CHECK(tail(fixture, 2) == "[… 90 B left out (bytes 10–100) …]\none\ntwo\n");
  CHECK(tail(fixture, 50) == "[… 90 B left out (bytes 10–100) …]\none\ntwo\n");
}

TEST_CASE("since a time means from the start of the line of its first byte") {
  const Fixture fixture("first\nsecond half\nthird\n");
  IndexWriter writer(fixture.scratch / "index");
  writer.mark({6, from_unix_micros(100)});
  writer.mark({12, from_unix_micros(200)});
  writer.mark({24, from_unix_micros(300)});
  auto reader = fixture.reader();
  CHECK(reader.since(from_unix_micros(50)) == 0);
  CHECK(reader.since(from_unix_micros(150)) == 6);
  CHECK(reader.since(from_unix_micros(250)) == 6);
  CHECK(reader.since(from_unix_micros(999)) == 24);
}

TEST_CASE("a log without an index is read all the same, and one that is not there is not found") {
  const Fixture fixture("text\n");
  os::remove_file(fixture.scratch / "index");
  CHECK(read_from(fixture.reader(), 0) == "text\n");
  CHECK_FALSE(fixture.reader().time_at(0));
  CHECK_THROWS_AS(LogReader(fixture.scratch / "none", fixture.scratch / "index"), Error);
}

TEST_CASE("a long hole that a job makes in its log itself is told, not sent, and not searched") {
  os::TempDir directory;
  const auto path = directory / "log";
  auto file = os::open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
  os::write_all(file, "one\ntwo\n");
  constexpr std::uint64_t kEnd = (1ULL << 42) + 4096;
  REQUIRE(::ftruncate(file.get(), static_cast<off_t>(kEnd)) == 0);
  os::write_all(file, "last\n");
  LogReader reader(path, directory / "no-index");
  std::string text;
  std::array<char, 65536> buffer;
  std::uint64_t offset = 0;
  for (auto piece = reader.read(0, buffer); piece.length > 0; piece = reader.read(offset, buffer)) {
    text.append(buffer.data(), piece.length);
    offset = piece.next;
    REQUIRE(text.size() < 1 << 20);
  }
  CHECK(offset == kEnd + 5);
  CHECK(text.starts_with("one\ntwo\n"));
  CHECK(text.find("left out (bytes ") != std::string::npos);
  CHECK(text.ends_with("last\n"));
  const auto start = reader.tail(3);
  CHECK_FALSE(reader.gave_up());
  CHECK(start > 0);
  CHECK(start <= 65536);  // the hole's beginning
  CHECK(reader.read(start, buffer).left_out);
  // To the end of the log, too.
  REQUIRE(::ftruncate(file.get(), static_cast<off_t>(kEnd * 2)) == 0);
  CHECK(reader.tail(1) > kEnd);
  CHECK(reader.read(kEnd * 2 - 10, buffer).next == kEnd * 2);
  CHECK(reader.read(kEnd + 100'000, buffer).left_out);
}

TEST_CASE("nothing is looked for further back than some mebibytes, and that is told") {
  const Fixture fixture("begin\n" + std::string(LogReader::kFarthestBack + 1000, 'x'));
  auto reader = fixture.reader();
  CHECK(reader.tail(2) == 1006);
  CHECK(reader.gave_up());
  CHECK(reader.tail(0) == LogReader::kFarthestBack + 1006);
}
