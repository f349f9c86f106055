#include <doctest/doctest.h>

#include "runtime/git/provenance.hpp"

using berth::git::strip_credentials;

TEST_CASE("credentials leave every form of repository address, the rest stays") {
  struct Row {
    const char* given;
    const char* stripped;
  };
  for (const auto& row : {
           Row{"https://example.org/team/code.git", "https://example.org/team/code.git"},
           Row{"https://ann:t0ken@example.org/team/code.git", "https://example.org/team/code.git"},
           Row{"https://t0ken@example.org:8443/code", "https://example.org:8443/code"},
           Row{"https://ann:p@ss@example.org/code", "https://example.org/code"},
           Row{"https://ann:pa/ss@example.org/code", "https://example.org/code"},
           Row{"https://example.org/code.git?private_token=abc#x", "https://example.org/code.git"},
           Row{"https://example.org/a@b/code", "https://example.org/a@b/code"},
           Row{"https://example.org:443/a@b/code", "https://example.org:443/a@b/code"},
           Row{"https://ann:t0ken@[::1]:80/code", "https://[::1]:80/code"},
           Row{"https://[::1]:80/co@de", "https://[::1]:80/co@de"},
           Row{"ftp://ann:t0ken@example.org/code", "ftp://example.org/code"},
           Row{"ssh://git@example.org/code", "ssh://git@example.org/code"},
           Row{"ssh://git:t0ken@example.org:22/code", "ssh://git@example.org:22/code"},
           Row{"git+ssh://git:t0ken@example.org/code", "git+ssh://git@example.org/code"},
           Row{"hg::https://ann:t0ken@example.org/code", "hg::https://example.org/code"},
           Row{"git@example.org:team/code.git", "git@example.org:team/code.git"},
           Row{"git:t0ken@example.org:team/code.git", "git@example.org:team/code.git"},
           Row{"git@example.org:team/a@b", "git@example.org:team/a@b"},
           Row{"/srv/git/co@de.git", "/srv/git/co@de.git"},
           Row{"../code@home", "../code@home"},
           Row{"file:///srv/git/code.git", "file:///srv/git/code.git"},
           Row{"https://", "https://"},
           Row{"https://@", "https://"},
           Row{"", ""},
       }) {
    CAPTURE(row.given);
    CHECK(strip_credentials(row.given) == row.stripped);
  }
}
