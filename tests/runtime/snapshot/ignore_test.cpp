#include "runtime/snapshot/ignore.hpp"

#include <doctest/doctest.h>
#include <stdio.h>
#include <stdlib.h>

#include <random>
#include <set>

#include "runtime/snapshot/scan.hpp"
#include "tests/runtime/snapshot/files_under.hpp"
#include "tests/runtime/snapshot/trees.hpp"

using namespace berth;
using namespace berth::snapshot;
using Verdict = IgnoreRules::Verdict;

namespace {

bool ignores(std::string_view rules, std::string_view path, bool is_directory = false) {
  const auto slash = path.rfind('/');
  const auto name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  return IgnoreRules::parse(rules).verdict(path, name, is_directory) == Verdict::ignored;
}

std::string output_of(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string output;
  char buffer[4096];
  while (const auto n = ::fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, n);
  CHECK(::pclose(pipe) == 0);
  return output;
}

std::set<std::string> files_git_sees(const std::string& root) {
  const auto output =
      output_of("cd '" + root +
                "' && rm -rf .git && GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null git init -q . && "
                "GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null git ls-files -z --others --exclude-standard");
  std::set<std::string> files;
  for (std::size_t at = 0; at < output.size();) {
    const auto end = output.find('\0', at);
    files.insert(output.substr(at, end - at));
    at = end + 1;
  }
  return files;
}

std::set<std::string> files_berth_sees(const std::string& root) {
  const auto paths = files_under(scan(root, {}).manifest);
  return {paths.begin(), paths.end()};
}

}  // namespace

TEST_CASE("the rules people write mean what they mean to git") {
  CHECK(ignores("*.pyc", "a/b.pyc"));
  CHECK_FALSE(ignores("*.pyc", "a/b.py"));
  CHECK(ignores("/build", "build"));
  CHECK_FALSE(ignores("/build", "a/build"));
  CHECK(ignores("build/", "a/build", true));
  CHECK_FALSE(ignores("build/", "a/build"));
  CHECK(ignores("a/*/c", "a/b/c"));
  CHECK_FALSE(ignores("a/*/c", "a/b/d/c"));
  CHECK(ignores("a/**/c", "a/c"));
  CHECK(ignores("a/**/c", "a/b/d/c"));
  CHECK(ignores("**/logs", "x/y/logs"));
  CHECK(ignores("a/**", "a/b/c"));
  CHECK_FALSE(ignores("a/**", "a"));
  CHECK(ignores("*\n!keep", "other"));
  CHECK_FALSE(ignores("*\n!keep", "keep"));
  CHECK(ignores("\\!x", "!x"));
  CHECK(ignores("\\#x", "#x"));
  CHECK_FALSE(ignores("#x", "#x"));
  CHECK(ignores("a  ", "a"));
  CHECK(ignores("a\\ ", "a "));
  CHECK(ignores("a\r\n", "a"));
  CHECK(
      ignores("\xEF\xBB\xBF"
              "a",
              "a"));
  CHECK(ignores("[a-c]x", "bx"));
  CHECK_FALSE(ignores("[!a-c]x", "bx"));
  CHECK(ignores("[[:digit:]]", "7"));
  CHECK(ignores("[]-]", "]"));
  CHECK_FALSE(ignores("[a", "[a"));
  CHECK(ignores("a?c", "abc"));
}

TEST_CASE("a pattern of many stars is matched in reasonable time") {
  std::string pattern;
  for (int i = 0; i < 60; ++i) pattern += "*a";
  CHECK_FALSE(ignores(pattern + "b", std::string(250, 'a')));
}

TEST_CASE("random rules leave out exactly what git leaves out") {
  const std::vector<std::string> names{"a",  "b",   "c",  "ab", "a.b", "foo", "foo.o",
                                       "b ", "[a]", "a*", "!a", "#b",  "\\a"};
  const std::vector<std::string> pieces{"a",           "b",   "c",  "*",  "**",  "?",  "/",    "/",   "[ab]",
                                        "[!a]",        "foo", ".o", "\\", "!",   "#",  " ",    "**/", "/**",
                                        "[[:alpha:]]", "[a-", "]",  "a*", "*.o", "ab", "[]a]", "[^b]"};
  std::mt19937 random(7);
  const auto pick = [&](const auto& list) { return list[random() % list.size()]; };
  const auto rules = [&] {
    std::string text;
    for (auto lines = 1 + random() % 5; lines > 0; --lines) {
      if (random() % 4 == 0) text += "!";
      for (auto parts = 1 + random() % 4; parts > 0; --parts) text += pick(pieces);
      if (random() % 5 == 0) text += "/";
      text += random() % 10 == 0 ? "\r\n" : "\n";
    }
    return text;
  };
  for (int round = 0; round < 60; ++round) {
    const os::TempDir root;
    for (int i = 0; i < 60; ++i) {
      std::string path;
      for (auto depth = random() % 4; depth > 0; --depth) path += pick(names) + "/";
      path += pick(names);
      std::error_code taken;  // a file where a directory should be
      std::filesystem::create_directories(std::filesystem::path(root / path).parent_path(), taken);
      if (!taken && !std::filesystem::exists(root / path)) std::ofstream(root / path) << "x";
    }
    std::string told;
    for (const std::string directory : {"", "a/", "a/b/", "foo/"}) {
      if (!std::filesystem::is_directory(root / directory) || (directory != "" && random() % 2 == 0)) continue;
      const auto text = rules();
      std::ofstream(root / (directory + ".gitignore")) << text;
      told += directory + ".gitignore:\n" + text;
    }
    INFO(told);
    CHECK(files_berth_sees(root.path()) == files_git_sees(root.path()));
  }
}

TEST_CASE(".amlignore takes the place of .gitignore, in nested directories too") {
  const os::TempDir root;
  put(root.path(), ".gitignore", "from-git\n");
  put(root.path(), ".amlignore", "from-aml\n");
  put(root.path(), "from-git", "");
  put(root.path(), "from-aml", "");
  put(root.path(), "sub/.gitignore", "x\n");
  put(root.path(), "sub/.amlignore", "y\n");
  put(root.path(), "sub/x", "");
  put(root.path(), "sub/y", "");
  const std::set<std::string> expected{".gitignore",     ".amlignore",     "from-git",
                                       "sub/.gitignore", "sub/.amlignore", "sub/x"};
  CHECK(files_berth_sees(root.path()) == expected);
}
