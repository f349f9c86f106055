#include "agent/jobfile/environment.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::jobfile;
using Kind = model::EnvironmentRequest::Kind;

namespace {

Place in_project() {
  Place place;
  place.current_directory = "/p";
  place.code_root = "/p";
  place.environment_variable = [](const std::string&) { return std::nullopt; };
  place.read_file = [](const std::string& path) -> std::string {
    if (path == "/p/env.yml") return "dependencies: [python, {pip: [numpy]}]";
    if (path == "/p/requirements.txt") return "-r more.txt";
    if (path == "/p/more.txt") return "numpy";
    if (path == "/p/lock.json") return "{}";
    throw Error(Code::not_found, path + " does not exist");
  };
  place.is_directory = [](const std::string& path) { return path == "/p/docker" || path == "/p/Dockerfiles"; };
  return place;
}

Flags flags_with(void (*change)(Flags&)) {
  Flags flags;
  flags.command = {"train.py"};
  change(flags);
  return flags;
}

model::JobRequest request_with(void (*change)(Flags&)) { return to_request(flags_with(change), in_project()); }

std::string mistake(void (*change)(Flags&)) {
  try {
    request_with(change);
  } catch (const Error& error) {
    CHECK_FALSE(error.hint().empty());
    return error.message();
  }
  return "none";
}

}  // namespace

TEST_CASE("--conda sends the file; a script runs with the environment's python") {
  const auto request = request_with([](Flags& flags) { flags.conda = "env.yml"; });
  CHECK(request.environment.kind == Kind::conda);
  CHECK(request.environment.file == "env.yml");
  CHECK(request.environment.files.size() == 1);
  CHECK(request.command == std::vector<std::string>{"python", "train.py"});
}

TEST_CASE("--requirements sends what it includes too, and --python is a version") {
  const auto request = request_with([](Flags& flags) {
    flags.requirements = "./requirements.txt";
    flags.python = "3.11";
  });
  CHECK(request.environment.kind == Kind::venv);
  CHECK(request.environment.python == "3.11");
  CHECK(request.environment.files ==
        std::map<std::string, std::string>{{"requirements.txt", "-r more.txt"}, {"more.txt", "numpy"}});
  CHECK(mistake([](Flags& flags) {
          flags.requirements = "requirements.txt";
          flags.python = "/usr/bin/python3";
        }) == "--python: with --requirements it is a version, not the path '/usr/bin/python3'");
}

TEST_CASE("--image runs in a container, with a conda environment added where that is asked for") {
  auto request = request_with([](Flags& flags) { flags.image = "python:3.12"; });
  CHECK(request.environment.kind == Kind::image);
  CHECK(in_container(request.environment));
  CHECK(request.environment.file.empty());
  request = request_with([](Flags& flags) {
    flags.image = "gpu";
    flags.conda = "env.yml";
  });
  CHECK(request.environment.image == "gpu");
  CHECK(request.environment.file == "env.yml");
  CHECK(mistake([](Flags& flags) { flags.image = ""; }) == "--image: its name is empty");
}

TEST_CASE("--dockerfile names a directory, or the file in it") {
  const auto place = [](void (*change)(Flags&)) { return dockerfile_place(flags_with(change), in_project()); };
  auto found = place([](Flags& flags) { flags.dockerfile = "docker"; });
  CHECK(found.directory == "/p/docker");
  CHECK(found.file == "Dockerfile");
  found = place([](Flags& flags) { flags.dockerfile = "docker/Dockerfile.gpu"; });
  CHECK(found.directory == "/p/docker");
  CHECK(found.file == "Dockerfile.gpu");
  CHECK(place([](Flags& flags) { flags.dockerfile = "Dockerfiles"; }).directory == "/p/Dockerfiles");
  const auto request = request_with([](Flags& flags) { flags.dockerfile = "docker/Dockerfile.gpu"; });
  CHECK(request.environment.kind == Kind::dockerfile);
  CHECK(request.environment.dockerfile == "Dockerfile.gpu");
}

TEST_CASE("--env-lock sends the lock") {
  CHECK(request_with([](Flags& flags) { flags.environment_lock = "lock.json"; }).environment.kind == Kind::lock);
}

TEST_CASE("ways that exclude each other are told") {
  CHECK(mistake([](Flags& flags) {
          flags.conda = "env.yml";
          flags.requirements = "requirements.txt";
        }) == "--conda and --requirements exclude each other");
  CHECK(mistake([](Flags& flags) {
          flags.image = "x";
          flags.dockerfile = "docker";
        }) == "--image and --dockerfile exclude each other");
  CHECK(mistake([](Flags& flags) {
          flags.conda = "env.yml";
          flags.python = "python3";
        }) == "--conda and --python exclude each other");
}

TEST_CASE("a file that is not there is told with its flag") {
  try {
    request_with([](Flags& flags) { flags.conda = "nope.yml"; });
    FAIL("not refused");
  } catch (const Error& error) {
    CHECK(error.describe().find("--conda") != std::string::npos);
    CHECK(error.describe().find("/p/nope.yml does not exist") != std::string::npos);
  }
}
