#include "runtime/http/url.hpp"

#include <doctest/doctest.h>

namespace berth::http {

TEST_CASE("an address comes apart and together again") {
  const auto url = parse_url("https://Registry.io:8443/v2/x?a=b#part");
  REQUIRE(url);
  CHECK(url->scheme == "https");
  CHECK(url->host == "Registry.io");
  CHECK(url->port == 8443);
  CHECK(url->target == "/v2/x?a=b");
  CHECK(url->text() == "https://Registry.io:8443/v2/x?a=b");
  CHECK(parse_url("http://a")->text() == "http://a/");
  CHECK(parse_url("http://a:80/")->authority() == "a");
  CHECK(parse_url("https://a?x")->target == "/?x");
  CHECK(parse_url("http://[::1]:5000/x")->host == "::1");
  CHECK(parse_url("http://[::1]:5000/x")->authority() == "[::1]:5000");
}

TEST_CASE("what is no web address is refused, and so are credentials in one") {
  for (const auto* text : {"", "a.io", "ftp://a", "http://", "http://a:0/", "http://a:65536/", "http://a:x/",
                           "http://u:p@a/", "http://[::1/", "http://a/b c", "http://a/\r\nX: y", "http://a b/"})
    CHECK_MESSAGE(!parse_url(text), text);
}

TEST_CASE("a location is followed as an address or as a path") {
  const auto base = *parse_url("https://a:5000/v2/x");
  CHECK(follow(base, "/other?q=1")->text() == "https://a:5000/other?q=1");
  CHECK(follow(base, "http://b/x")->text() == "http://b/x");
  CHECK(follow(base, "//c/x")->text() == "https://c/x");
  CHECK(!follow(base, "relative"));
  CHECK(base.same_server(*follow(base, "/y")));
  CHECK(!base.same_server(*follow(base, "https://a/y")));
}

}  // namespace berth::http
