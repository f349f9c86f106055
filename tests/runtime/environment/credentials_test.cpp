#include "runtime/environment/credentials.hpp"

#include <doctest/doctest.h>

#include <chrono>

#include "runtime/base/error.hpp"

using berth::Error;
using namespace berth::environment;

TEST_CASE("logins are taken out of URLs, wherever those stand in the text") {
  struct Row {
    std::string text;
    std::string plain;
    std::vector<Credential> credentials;
  };
  for (const auto& row : {
           Row{"https://me:s%20cret@host.example/simple",
               "https://host.example/simple",
               {{"host.example", "me", "s%20cret"}}},
           {"-i https://token@host:8443/x", "-i https://host:8443/x", {{"host", "token", ""}}},
           {"-ihttps://me:a=b@host", "-ihttps://host", {{"host", "me", "a=b"}}},
           {"--index-url='https://me:pw@host'", "--index-url='https://host'", {{"host", "me", "pw"}}},
           {"a@git+https://me:p@w@host/a@v1", "a@git+https://host/a@v1", {{"host", "me", "p@w"}}},
           {"https://me:p#w/x@host/a", "https://host/a", {{"host", "me", "p#w/x"}}},
           {"https://a:b@host/?of=https://c:d@other/",
            "https://host/?of=https://other/",
            {{"host", "a", "b"}, {"other", "c", "d"}}},
           {"a https://m:1@x b https://m:2@y", "a https://x b https://y", {{"x", "m", "1"}, {"y", "m", "2"}}},
           {"ssh://me:pw@host/a", "ssh://host/a", {{"host", "me", "pw"}}},
       }) {
    CAPTURE(row.text);
    std::vector<Credential> found;
    const auto plain = without_logins(row.text, found);
    CHECK(plain == row.plain);
    CHECK(found == row.credentials);
    CHECK(without_logins(plain, found) == plain);
    CHECK(has_credentials(row.text));
    CHECK(!has_credentials(plain));
  }
}

TEST_CASE("what is no login stays") {
  for (const auto* text :
       {"", "me@host", "git+ssh://git@host/a.git", "git+ssh://git@host:org/a.git@v1", "https://host:8443/a.git@v1",
        "https://[::1]:80/a@v1", "https://host/x?mail=a@b", "  a\tb  ", "https://host/x/t/y/"}) {
    CAPTURE(text);
    CHECK(without_credentials(text) == text);
    CHECK(!has_credentials(text));
  }
}

TEST_CASE("Anaconda's tokens are credentials that no .netrc passes on") {
  std::vector<Credential> none;
  CHECK(without_logins("https://host/t/token/channel", none) == "https://host/t/token/channel");
  CHECK(none.empty());
  CHECK(has_credentials("https://host/t/token/channel"));
  CHECK(without_credentials("https://host/t/token/channel") == "https://host/channel");
  CHECK(without_credentials("https://host/t/a/t/b https://host/t/c") == "https://host https://host");
}

TEST_CASE("a password that a blank cuts off is noticed") {
  CHECK(has_broken_login("a @ https://me:my pass@host/x"));
  CHECK(!has_broken_login("a @ https://host:8443/x https://[::1]:80/ git+ssh://git@host:team/x b:c"));
}

TEST_CASE("a text made to be slow is read as fast as others") {
  std::string hostile;
  while (hostile.size() < (1U << 20)) hostile += "a://b:c@d://e";
  const auto before = std::chrono::steady_clock::now();
  CHECK(has_credentials(hostile));
  CHECK(!has_credentials(without_credentials(hostile)));
  CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(5));
}

TEST_CASE("a .netrc has each credential once, and none that would make another line of it") {
  CHECK_THROWS_AS(netrc_of({{"h", "a", "b%20c"}}), Error);
  CHECK_THROWS_AS(netrc_of({{"h", "a", "b%0Amachine"}}), Error);
  CHECK(netrc_of({{"h", "a", "b%2Fc"}}) == "machine h login a password b/c\n");
  CHECK(netrc_of({{"h", "a", "b"}, {"h", "a", "b"}}) == "machine h login a password b\n");
  CHECK(netrc_of({{"h", "token", ""}}) == "machine h login token password x-oauth-basic\n");
}
