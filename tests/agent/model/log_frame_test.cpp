#include "agent/model/log_frame.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <utility>
#include <vector>

#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::model;
using Kind = LogFrame::Kind;

namespace {

constexpr std::size_t kHeader = 28;

LogFrame text(int attempt, std::uint64_t begin, std::string_view words) {
  return {Kind::text, attempt, begin, begin + words.size(), words};
}

// A decoded frame with a text of its own.
struct Kept {
  explicit Kept(const LogFrame& frame)
      : kind(frame.kind), attempt(frame.attempt), begin(frame.begin), end(frame.end), words(frame.text) {}
  Kind kind;
  int attempt;
  std::uint64_t begin;
  std::uint64_t end;
  std::string words;
  friend bool operator==(const Kept&, const Kept&) = default;
};

std::vector<Kept> kept(const std::vector<LogFrame>& frames) { return {frames.begin(), frames.end()}; }

std::vector<Kept> decoded(std::string_view body, std::size_t piece) {
  std::vector<Kept> frames;
  LogFrameDecoder decoder;
  for (; !body.empty(); body.remove_prefix(std::min(piece, body.size())))
    decoder.feed(body.substr(0, piece), [&](const LogFrame& frame) {
      frames.emplace_back(frame);
      return true;
    });
  decoder.finish();
  return frames;
}

Code failure_of(const std::string& body) {
  try {
    decoded(body, body.size());
  } catch (const Error& error) {
    return error.code();
  }
  return Code::unavailable;  // which none is
}

// A frame with one byte of its header changed.
std::string changed(std::size_t at, char value) {
  auto body = encode(text(1, 10, "words"));
  body[at] = value;
  return body;
}

}  // namespace

TEST_CASE("frames come out as they went in, wherever the pieces end") {
  const auto binary = std::string("\0\xff", 2) + "[… 3 MiB left out (bytes 10–20) …]\n";
  const std::vector<LogFrame> frames{
      text(1, 0, "one\n"),
      {Kind::left_out, 1, 4, 3'000'000'000'000, "[… 2.7 TiB left out (bytes 4–3000000000000) …]\n"},
      text(1, 3'000'000'000'000, binary),
      text(2, 0, "x"),
      text(0, std::numeric_limits<std::uint64_t>::max() - 3, "end")};
  std::string body;
  for (const auto& frame : frames) body += encode(frame);
  for (std::size_t piece = 1; piece <= body.size(); ++piece) {
    CAPTURE(piece);
    CHECK(decoded(body, piece) == kept(frames));
  }
}

TEST_CASE("the header is as it is described") {
  const auto body = encode({Kind::left_out, 0x0203, 0x0102030405060708, 0x1112131415161718, "ab"});
  CHECK(body == std::string("\x01\0\0\0"
                            "\x03\x02\0\0"
                            "\x08\x07\x06\x05\x04\x03\x02\x01"
                            "\x18\x17\x16\x15\x14\x13\x12\x11"
                            "\x02\0\0\0"
                            "ab",
                            kHeader + 2));
}

TEST_CASE(
    "of a frame that is cut off nothing is seen, wherever it is cut, and the body's end is not taken for a proper "
    "one") {
  const auto first = encode(text(1, 0, "one\n"));
  const auto body = first + encode(text(1, 4, "two\n"));
  for (std::size_t size = 0; size < body.size(); ++size) {
    CAPTURE(size);
    std::uint64_t end = 0;
    LogFrameDecoder decoder;
    decoder.feed(body.substr(0, size), [&](const LogFrame& frame) {
      end = frame.end;
      return true;
    });
    CHECK(end == (size < first.size() ? 0U : 4U));
    if (size != 0 && size != first.size()) CHECK_THROWS_AS(decoder.finish(), Error);
  }
}

TEST_CASE("what is no frame is refused as soon as its header tells") {
  CHECK(failure_of(changed(0, 2)) == Code::corrupt);         // a kind
  CHECK(failure_of(changed(3, 1)) == Code::corrupt);
  CHECK(failure_of(changed(7, '\x80')) == Code::corrupt);    // an attempt
  CHECK(failure_of(changed(8, 11)) == Code::corrupt);        // a beginning that does not fit the length
  CHECK(failure_of(changed(8, 15)) == Code::corrupt);        // or lies at the end
  CHECK(failure_of(changed(8, 16)) == Code::corrupt);        // or behind it
  CHECK(failure_of(changed(23, 1)) == Code::corrupt);        // an end
  CHECK(failure_of(changed(24, 0)) == Code::corrupt);        // no text
  CHECK(failure_of(changed(24, 4)) == Code::corrupt);        // not all of it
  CHECK(failure_of(changed(27, 1)) == Code::corrupt);        // more than there may be
  CHECK(failure_of("no frame at all, but the text of a log") == Code::corrupt);
  auto hole = encode({Kind::left_out, 1, 0, 9, "[…]\n"});
  CHECK(decoded(hole, 1).size() == 1);
  hole[27] = 1;
  CHECK(failure_of(hole.substr(0, kHeader)) == Code::corrupt);  // without waiting for sixteen mebibytes
}

TEST_CASE("the longest text goes, a longer one is no frame") {
  std::string words(LogFrame::kLongestText, 'x');
  CHECK(decoded(encode(text(1, 5, words)), 1000) == kept({text(1, 5, words)}));
  words += 'x';
  CHECK_THROWS_AS(encode(text(1, 5, words)), Error);
  CHECK_THROWS_AS(encode(text(1, 5, "")), Error);
  CHECK_THROWS_AS(encode(text(-1, 5, "x")), Error);
  CHECK_THROWS_AS(encode({Kind::text, 1, 5, 9, "x"}), Error);
  CHECK_THROWS_AS(encode({Kind::left_out, 1, 5, 5, "x"}), Error);
}

TEST_CASE("who wants no more frames gets none") {
  const auto body = encode(text(1, 0, "a")) + encode(text(1, 1, "b"));
  LogFrameDecoder decoder;
  int seen = 0;
  CHECK_FALSE(decoder.feed(body, [&](const LogFrame&) { return ++seen < 1; }));
  CHECK(seen == 1);
}
