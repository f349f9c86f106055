#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "tests/runtime/http/test_server.hpp"

namespace berth::http {

// Not run by default, as it measures: test_runtime_http -ns -tc='*latency*'.
TEST_CASE("latency of a trivial request on a kept connection" * doctest::skip()) {
  test::TestServer server([](Router& router) {
    router.add("GET", "/v1/ping", [](Request&) -> async::Task<Response> { co_return Response::json("{}"); });
  });
  auto client = server.client();
  std::vector<double> micros;
  for (int i = 0; i < 20000; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    client.request("GET", "/v1/ping");
    micros.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
  }
  std::ranges::sort(micros);
  MESSAGE("median " << micros[micros.size() / 2] << " us, p99 " << micros[micros.size() * 99 / 100] << " us");
}

}  // namespace berth::http
