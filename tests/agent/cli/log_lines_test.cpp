#include "agent/cli/log_lines.hpp"

#include <doctest/doctest.h>

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

// What the pieces become; the index says: 10 bytes by noon, 20 bytes a minute later; what comes then an hour
// later.
std::vector<Line> lines_of(const std::vector<std::string>& pieces, std::uint64_t offset = 0) {
  std::vector<Line> lines;
  LogTimes times({{10, sample::noon()}, {20, sample::noon() + 1min}}, [] { return sample::noon() + 1h; });
  TimedLines cutter(std::move(times), offset,
                    [&](std::uint64_t at, Instant time, std::string_view text, bool complete) {
                      lines.push_back({at, time, std::string(text), complete});
                    });
  for (const auto& piece : pieces) cutter.take(piece);
  cutter.finish();
  return lines;
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

TEST_CASE("a line that stands for a hole moves the offset to the hole's end") {
  LogPosition position;
  position.take("1234\n[… 3.0 MiB left out (bytes 5–3000000) …]\n12");
  CHECK(position.offset() == 3'000'002);
  LogPosition middle;  // the hole began within a line, so its own begins with a line end
  middle.take("1234\n[… 995 B left out (byt");
  middle.take("es 4–1000) …]\n12");
  CHECK(middle.offset() == 1002);
}

TEST_CASE("a job that prints such a line elsewhere is not believed") {
  LogPosition position;
  const std::string forged = "x\n[… 3.0 MiB left out (bytes 500–3000000) …]\n";
  position.take(forged);
  CHECK(position.offset() == forged.size());
  for (const char* text :
       {"[… ]\n", "[… left out (bytes 0–", "[… x left out (bytes 0–18446744073709551616) …]\n",
        "[… x left out (bytes 0-9) …]\n", "[… x left out (bytes 0–9) …] more\n"}) {
    LogPosition other;
    other.take(text);
    CHECK(other.offset() == std::string_view(text).size());
  }
}

TEST_CASE("lines as JSON have stable keys and are always JSON") {
  CHECK(json_line(7, sample::noon(), "caf\xc3\xa9 \xff\x1b") ==
        "{\"offset\":7,\"time\":\"2026-03-14T12:00:00.000000Z\",\"text\":\"caf\xc3\xa9 "
        "\xef\xbf\xbd\\u001b\"}\n");
}

TEST_CASE("times before lines have milliseconds") {
  CHECK(time_prefix(sample::noon() + 1500us) == "2026-03-14 12:00:00.001  ");
}
