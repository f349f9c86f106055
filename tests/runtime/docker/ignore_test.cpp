#include "runtime/docker/ignore.hpp"

#include <doctest/doctest.h>

#include "tests/runtime/docker/failure.hpp"

namespace berth::docker {

TEST_CASE("patterns match as Docker's do") {
  struct Row {
    const char* pattern;
    const char* path;
    bool matches;
  };
  for (const auto& row : {Row{"a", "a", true},
                          Row{"a", "b/a", false},
                          Row{"*", "a", true},
                          Row{"*", "a/b", false},
                          Row{"*.pyc", "x.pyc", true},
                          Row{"*.pyc", "d/x.pyc", false},
                          Row{"**/*.pyc", "x.pyc", true},
                          Row{"**/*.pyc", "a/b/x.pyc", true},
                          Row{"**/*.pyc", "a/xpyc", false},
                          Row{"a/**", "a/b/c", true},
                          Row{"a/**", "a", false},
                          Row{"a/**/b", "a/b", true},
                          Row{"a/**/b", "a/x/y/b", true},
                          Row{"a/**/b", "a/xb", false},
                          Row{"**", "anything/at/all", true},
                          Row{"?.txt", "a.txt", true},
                          Row{"?.txt", "/.txt", false},
                          Row{"[a-c]x", "bx", true},
                          Row{"[^a-c]x", "bx", false},
                          Row{"[^a-c]x", "dx", true},
                          Row{"\\*", "*", true},
                          Row{"\\*", "a", false},
                          Row{"a*b*c", "axxbyyc", true},
                          Row{"a*b*c", "axxbyy", false}})
    CHECK_MESSAGE(matches_path(row.pattern, row.path) == row.matches, row.pattern << " on " << row.path);
}

TEST_CASE("an evil pattern costs no more than a long one") {
  const std::string path(2000, 'a');
  CHECK(!matches_path("**a*a*a*a*a*a*a*a*a*a*a*a*b", path));
}

TEST_CASE("the last pattern that matches decides, and a directory takes what is below with it") {
  const auto file =
      IgnoreFile::parse("# comment\n\ndata\n/logs/\n*.tmp\n!keep.tmp\ndocs/**\n!docs/README.md\n ./build/./out \r\n");
  CHECK(file.takes_back());
  for (const auto* path : {"data", "data/a/b", "logs", "logs/x", "x.tmp", "docs/a", "build/out", "build/out/x"})
    CHECK_MESSAGE(file.ignores(path), path);
  for (const auto* path : {"a/data", "keep.tmp", "docs", "docs/README.md", "d/x.tmp", "build", "# comment"})
    CHECK_MESSAGE(!file.ignores(path), path);
}

TEST_CASE("everything but one directory") {
  const auto file = IgnoreFile::parse("*\n!src\nsrc/*.o\n");
  CHECK(file.ignores("a"));
  CHECK(file.ignores("a/b"));
  CHECK(!file.ignores("src"));
  CHECK(!file.ignores("src/main.c"));
  CHECK(file.ignores("src/main.o"));
  CHECK(!file.ignores("src/deep/main.o"));
}

TEST_CASE("an unfinished set is told with its line") {
  const auto error = test::failure_of([] { IgnoreFile::parse("a\n[b\n"); });
  CHECK(error.message().find("line 2") != std::string::npos);
}

}  // namespace berth::docker
