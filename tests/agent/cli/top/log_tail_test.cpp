#include "agent/cli/top/log_tail.hpp"

#include <doctest/doctest.h>

#include "tests/agent/cli/frames.hpp"

using namespace berth::cli;
using namespace berth::cli::top;
using Lines = std::vector<std::string>;

TEST_CASE("a line of a log is shown as a terminal would leave it") {
  CHECK(screen_line("epoch 1") == "epoch 1");
  CHECK(screen_line("  5%\r 50%\r100%") == "100%");
  CHECK(screen_line(" 50%\r") == " 50%");
  CHECK(screen_line("\x1b[1;31mred\x1b[0m and \x1b]0;title\x07plain") == "red and plain");
  CHECK(screen_line("\x1b]8;;http://x\x1b\\link") == "link");
  CHECK(screen_line("a\tb") == "a       b");
  CHECK(screen_line("abc\b\bX") == "aX");
  CHECK(screen_line(std::string("\x00\x9b\x01", 3)).find("\\x01") != std::string::npos);
  CHECK(screen_line("\x1b").empty());
  CHECK(screen_line("\x1b[12").empty());
}

TEST_CASE("long lines are wrapped by columns, not by bytes") {
  CHECK(wrapped("abcdef", 4) == Lines{"abcd", "ef"});
  CHECK(wrapped("", 4) == Lines{""});
  CHECK(wrapped("äöü", 2) == Lines{"äö", "ü"});
  CHECK(wrapped("日本語", 4) == Lines{"日本", "語"});
}

TEST_CASE("the last lines are kept") {
  LogTail tail;
  CHECK(tail.lines(5).empty());
  CHECK(tail.next(100) == 0);
  tail.take(text_frame("one\ntwo\nthr"));
  CHECK(tail.lines(2) == Lines{"two", "thr"});
  tail.take(text_frame("ee\n", 11));
  CHECK(tail.lines(9) == Lines{"one", "two", "three"});
  CHECK(tail.next(100) == 14);
  tail.take(text_frame("\n\n", 14));
  CHECK(tail.lines(2) == Lines{"", ""});
}

TEST_CASE("of a log that is far ahead only the end is fetched") {
  LogTail tail;
  const std::uint64_t long_ago = 1'000'000'000;
  CHECK(tail.next(long_ago) == long_ago - (64U << 10));
  const auto line = std::string(1000, 'x') + "\n";
  tail.take(text_frame(line, long_ago - (64U << 10)));
  CHECK(tail.next(long_ago + 1) == long_ago - (64U << 10) + 1001);
  CHECK(tail.next(2 * long_ago) == 2 * long_ago - (64U << 10));
  CHECK(tail.lines(3).empty());
}

TEST_CASE("what is kept of a log is bounded") {
  LogTail tail;
  const auto line = std::string(100'000, 'x') + "\n";
  for (unsigned i = 0; i < 100; ++i) tail.take(text_frame(line, i * line.size()));
  CHECK(tail.lines(1000).size() < 10);
}

TEST_CASE("a hole in a log moves the offset to its end, and what looks like one does not") {
  LogTail tail;
  CHECK(tail.next(3'000) == 0);
  tail.take(text_frame("head\n"));
  tail.take(hole_frame("[… 2.0 KiB left out (bytes 5–2053) …]\n", 5, 2053));
  CHECK(tail.next(3'000) == 2053);
  const std::string forged = "[… 2.0 KiB left out (bytes 2053–4000) …]\n";
  tail.take(text_frame(forged, 2053));
  CHECK(tail.next(3'000) == 2053 + forged.size());
}
