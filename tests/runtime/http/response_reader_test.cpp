#include "runtime/http/response_reader.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "runtime/base/error.hpp"

namespace berth::http {
namespace {

struct Outcome {
  int status = 0;
  std::string body;
  bool done = false;
  bool keep_alive = false;
  bool continued = false;
  std::size_t taken = 0;
};

Outcome read(std::string_view bytes, std::size_t step, bool bodyless = false, bool ends = false) {
  Outcome outcome;
  ResponseReader reader(bodyless, [&](std::string_view piece) { outcome.body += piece; });
  while (outcome.taken < bytes.size() && !reader.done())
    outcome.taken += reader.feed(bytes.substr(outcome.taken, step));
  if (ends) reader.end_of_input();
  outcome.status = reader.status();
  outcome.done = reader.done();
  outcome.keep_alive = reader.keep_alive();
  outcome.continued = reader.continued();
  return outcome;
}

}  // namespace

TEST_CASE("an answer with a length is read, and not a byte more") {
  const std::string_view text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhelloHTTP/1.1 404";
  for (const std::size_t step : {1U, 4U, 1000U}) {
    const auto outcome = read(text, step);
    CHECK(outcome.status == 200);
    CHECK(outcome.body == "hello");
    CHECK(outcome.done);
    CHECK(outcome.keep_alive);
    CHECK(text.substr(outcome.taken) == "HTTP/1.1 404");
  }
}

TEST_CASE("an answer in chunks is read") {
  const std::string_view text =
      "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n \r\n5 "
      "\r\nworld\r\n0\r\nT: x\r\n\r\n";
  for (const std::size_t step : {1U, 3U, 1000U}) CHECK(read(text, step).body == "hello world");
}

TEST_CASE("interim answers are passed over") {
  const auto outcome =
      read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 Too\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 1);
  CHECK(outcome.continued);
  CHECK(outcome.status == 413);
  CHECK(outcome.done);
  CHECK(!outcome.keep_alive);
}

TEST_CASE("answers without a body end with their header") {
  CHECK(read("HTTP/1.1 204 No Content\r\n\r\n", 1000).done);
  CHECK(read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 1000, true).done);
}

TEST_CASE("a body without a length ends with the connection, any other must be complete") {
  CHECK(read("HTTP/1.0 200 OK\r\n\r\nall", 1, false, true).body == "all");
  CHECK_THROWS_AS(read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", 1, false, true), Error);
  CHECK_THROWS_AS(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 1, false, true), Error);
  CHECK_THROWS_AS(read("HTTP/1.1 20", 1, false, true), Error);
}

TEST_CASE("malformed answers are refused") {
  for (const std::string_view text :
       {"SSH-2.0-OpenSSH\r\n", "HTTP/1.1 xx OK\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n", "HTTP/1.1 200 OK\r\n: x\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(read(text, 1000), Error);
  }
  CHECK_THROWS_AS(read(std::string(20000, 'x'), 1000), Error);
  std::string flood = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 10000; ++i) flood += "X: yyyyyyyyyy\r\n";
  CHECK_THROWS_AS(read(flood, 1000), Error);
}

}  // namespace berth::http
