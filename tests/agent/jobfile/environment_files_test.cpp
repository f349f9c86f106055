#include "agent/jobfile/environment_files.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::jobfile;

namespace {

using Files = std::map<std::string, std::string>;

EnvironmentFiles gather(const std::string& path, const Files& there) {
  return gather_files("--requirements", path, [&](const std::string& asked) {
    const auto found = there.find(asked);
    if (found == there.end()) throw Error(Code::not_found, asked + " does not exist");
    return found->second;
  });
}

}  // namespace

TEST_CASE("pip's includes are found in requirements files") {
  CHECK(included_files("numpy\n-r base.txt\n  --requirement=more.txt  # comment\n-cpins.txt\n--constraint c.txt\n") ==
        std::vector<std::string>{"base.txt", "more.txt", "pins.txt", "c.txt"});
}

TEST_CASE("and in the pip sections of an environment.yml") {
  CHECK(included_files("dependencies:\n  - python=3.11\n  - pip:\n    - -r requirements.txt\n"
                       "    - \"--constraint pins.txt\"\r\n    - '-r extra.txt'\n") ==
        std::vector<std::string>{"requirements.txt", "pins.txt", "extra.txt"});
}

TEST_CASE("comments, addresses and what only looks like an include are none") {
  CHECK(included_files("# -r a.txt\nnumpy # -r b.txt\n-r https://example.org/c.txt\n--requirements d.txt\n-r\n"
                       "torch-r x\n--constraints\n")
            .empty());
}

TEST_CASE("a file without includes is there alone, by its name") {
  const auto found = gather("/home/ada/env.yml", {{"/home/ada/env.yml", "name: x"}});
  CHECK(found.file == "env.yml");
  CHECK(found.files == Files{{"env.yml", "name: x"}});
}

TEST_CASE("includes are relative to their includer, and names to the directory that holds all") {
  const auto found = gather("/p/env/gpu.txt", {{"/p/env/gpu.txt", "-r ../base.txt\n-c pins/a.txt"},
                                               {"/p/base.txt", "-r env/gpu.txt"},  // a circle ends
                                               {"/p/env/pins/a.txt", "x==1"}});
  CHECK(found.file == "env/gpu.txt");
  CHECK(found.files == Files{{"env/gpu.txt", "-r ../base.txt\n-c pins/a.txt"},
                             {"base.txt", "-r env/gpu.txt"},
                             {"env/pins/a.txt", "x==1"}});
}

TEST_CASE("a missing include names who includes it") {
  try {
    gather("/p/a.txt", {{"/p/a.txt", "-r b.txt"}});
    FAIL("not refused");
  } catch (const Error& error) {
    CHECK(error.code() == Code::not_found);
    CHECK(error.describe().find("'/p/a.txt' includes a file") != std::string::npos);
    CHECK(error.describe().find("/p/b.txt does not exist") != std::string::npos);
  }
}

TEST_CASE("files that are surely none of a person's are refused") {
  CHECK_THROWS_AS(gather("/a", {{"/a", std::string(2U << 20, 'x')}}), Error);
}
