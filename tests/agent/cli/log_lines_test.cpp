#include "agent/cli/log_lines.hpp"

#include <doctest/doctest.h>

#include "tests/agent/cli/frames.hpp"
#include "tests/agent/cli/sample.hpp"

using namespace berth;
using namespace berth::cli;
using namespace std::chrono_literals;

namespace {

struct Line {
  std::uint64_t offset;
  Instant time;
  std::string text;
  bool complete;
  friend bool operator==(const Line&, const Line&) = default;
};

// What the frames become; the index says: 10 bytes by noon, 20 bytes a minute later; what comes then an hour
// later.
std::vector<Line> lines_of(const std::vector<model::LogFrame>& frames) {
  std::vector<Line> lines;
  LogTimes times({{10, sample::noon()}, {20, sample::noon() + 1min}}, [] { return sample::noon() + 1h; });
  TimedLines cutter(std::move(times), [&](std::uint64_t at, Instant time, std::string_view text, bool complete) {
    lines.push_back({at, time, std::string(text), complete});
  });
  for (const auto& frame : frames) cutter.take(frame);
  cutter.finish();
  return lines;
}

// The same of text in pieces that follow each other.
std::vector<Line> lines_of(const std::vector<std::string>& pieces, std::uint64_t offset = 0) {
  std::vector<model::LogFrame> frames;
  for (const auto& piece : pieces) {
    frames.push_back(text_frame(piece, offset));
    offset = frames.back().end;
  }
  return lines_of(frames);
}

}  // namespace

TEST_CASE("a line has the time by which its first byte was there") {
  const auto noon = sample::noon();
  const std::vector<Line> expected{{0, noon, "12345", true},
                                   {6, noon, "6789abcdef", true},
                                   {17, noon + 1min, "x", true},
                                   {19, noon + 1min, "", true},
                                   {20, noon + 1h, "the end", true}};
  CHECK(lines_of({"12345\n6789abcdef\nx\n\nthe end"}) == expected);
  CHECK(lines_of({"1234", "5\n67", "89abcdef", "\nx", "\n", "\nthe", " end"}) == expected);
}

TEST_CASE("a line cut by the reader's offset begins there") {
  CHECK(lines_of({"abc\n"}, 12) == std::vector<Line>{{12, sample::noon() + 1min, "abc", true}});
}

TEST_CASE("a line that never ends is handed on in parts") {
  const auto lines = lines_of({std::string(150'000, 'x') + "\n"});
  REQUIRE(lines.size() == 3);
  CHECK_FALSE(lines[0].complete);
  CHECK_FALSE(lines[1].complete);
  CHECK(lines[2].complete);
  CHECK(lines[0].text.size() + lines[1].text.size() + lines[2].text.size() == 150'000);
  CHECK(lines[2].offset == 131'072);
}

TEST_CASE("behind a hole the lines are at the offsets that the frames tell") {
  const auto noon = sample::noon();
  const std::string hole = "[… 9 B left out (bytes 5–14) …]";
  const auto line_of_hole = hole + "\n";
  const std::vector<Line> expected{{0, noon, "1234", true}, {5, noon, hole, true}, {14, noon + 1min, "12", true}};
  CHECK(lines_of({text_frame("1234\n"), hole_frame(line_of_hole, 5, 14), text_frame("12", 14)}) == expected);

  const auto in_a_line = "\n" + line_of_hole;  // the hole began within a line, so its own begins with a line end
  const std::vector<Line> middle{{0, noon, "12345", true}, {5, noon, hole, true}, {14, noon + 1min, "12", true}};
  CHECK(lines_of({text_frame("12345"), hole_frame(in_a_line, 5, 14), text_frame("12", 14)}) == middle);
}

TEST_CASE("what a job prints moves no offset, whatever it looks like") {
  const std::string forged = "[… 9 B left out (bytes 0–9) …]\n";
  const auto lines = lines_of({forged, "x\n"});
  REQUIRE(lines.size() == 2);
  CHECK(lines[1].offset == forged.size());
}

TEST_CASE("another attempt's log has offsets of its own, and its lines the time they come at") {
  const auto later = sample::noon() + 1h;
  const std::vector<Line> expected{
      {15, sample::noon() + 1min, "one", true}, {0, later, "two", true}, {4, later, "three", true}};
  CHECK(lines_of({text_frame("one", 15, 1), text_frame("two\n", 0, 2), text_frame("three", 4, 2)}) == expected);
}

TEST_CASE("lines as JSON have stable keys and are always JSON") {
  CHECK(json_line(7, sample::noon(), "caf\xc3\xa9 \xff\x1b") ==
        "{\"offset\":7,\"time\":\"2026-03-14T12:00:00.000000Z\",\"text\":\"caf\xc3\xa9 "
        "\xef\xbf\xbd\\u001b\"}\n");
}

TEST_CASE("times before lines have milliseconds") {
  CHECK(time_prefix(sample::noon() + 1500us) == "2026-03-14 12:00:00.001  ");
}
