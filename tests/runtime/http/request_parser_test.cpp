#include "runtime/http/request_parser.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"

namespace berth::http {
namespace {

// Feeds the bytes in steps; throws what the parser throws.
RequestHead parse(std::string_view bytes, std::size_t step = std::string_view::npos, ByteSize limit = 16_KiB) {
  RequestParser parser(limit, 100);
  std::string pending;
  for (std::size_t at = 0; at < bytes.size() && !parser.head_done(); at += std::min(step, bytes.size() - at)) {
    pending += bytes.substr(at, step);
    pending.erase(0, parser.feed_head(pending));
  }
  CHECK(parser.head_done());
  return std::move(parser.head());
}

Code code_of(std::string_view bytes) {
  try {
    parse(bytes);
  } catch (const Error& error) {
    return error.code();
  }
  FAIL("must throw");
  return Code::internal;
}

std::string decode(std::string_view chunks, std::size_t step, std::size_t room) {
  RequestParser parser(16_KiB, 100);
  parser.feed_head("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  std::string pending;
  std::string body;
  std::string out(room, '\0');
  std::size_t at = 0;
  while (!parser.body_done()) {
    const auto progress = parser.feed_chunked(pending, out);
    pending.erase(0, progress.taken);
    body.append(out, 0, progress.produced);
    if (progress.taken > 0) continue;
    if (at >= chunks.size()) return body + " …incomplete";
    pending += chunks.substr(at, step);
    at += step;
  }
  return body;
}

}  // namespace

TEST_CASE("a request is parsed whole or byte by byte") {
  const std::string_view text =
      "PUT /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nExpect: 100-continue\r\nX-A:  b \r\n\r\n";
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, text.size()}) {
    const auto head = parse(text, step);
    CHECK(head.method == "PUT");
    CHECK(head.target == "/a?b=c");
    CHECK(head.length == 12);
    CHECK(!head.chunked);
    CHECK(head.keep_alive);
    CHECK(head.expects_continue);
    CHECK(head.headers.find("x-a") == "b");
  }
  CHECK(parse("GET / HTTP/1.1\r\n\r\n").length == 0);
  CHECK(!parse("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").keep_alive);
  CHECK(!parse("GET / HTTP/1.0\r\n\r\n").keep_alive);
}

TEST_CASE("what is not a sound request is refused") {
  for (const std::string_view text :
       {"\x16\x03\x01\x02 hello\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n",
        "GET / HTTP/1.1\r\nNo colon\r\n\r\n", "GET / HTTP/1.1\r\nA B: c\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"}) {
    CAPTURE(text);
    CHECK(code_of(text) == Code::invalid);
  }
  CHECK(code_of("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n") == Code::unsupported);
  CHECK(code_of("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n") == Code::unsupported);
}

TEST_CASE("a header above the limit is refused, however it is cut") {
  const std::string field(900, 'a');
  std::string text = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 20; ++i) text += "X: " + field + "\r\n";
  text += "\r\n";
  for (const std::size_t step : {std::size_t{100}, std::size_t{904}, text.size()}) {
    try {
      parse(text, step);
      FAIL("must throw");
    } catch (const Error& error) {
      CHECK(error.code() == Code::too_large);
    }
  }
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 101; ++i) many += "X: y\r\n";
  CHECK(code_of(many + "\r\n") == Code::too_large);
}

TEST_CASE("a chunked body is decoded, whatever the steps and the room") {
  const std::string_view chunks =
      "4\r\nWiki\r\n6;ext=\"v\"\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nTrailer: x\r\n\r\n";
  for (const std::size_t step : {1U, 3U, 1000U})
    for (const std::size_t room : {1U, 5U, 1000U}) CHECK(decode(chunks, step, room) == "Wikipedia in \r\n\r\nchunks.");
  CHECK(decode("4\r\nWi", 10, 10) == "Wi …incomplete");
}

TEST_CASE("malformed chunks are refused") {
  for (const std::string_view chunks : {"x\r\n", "-1\r\n", "4\r\nWikiXYZ\r\n", "fffffffffffffffff\r\n", "\r\n\r\n"}) {
    CAPTURE(chunks);
    CHECK_THROWS_AS(decode(chunks, 1000, 10), Error);
  }
}

}  // namespace berth::http
