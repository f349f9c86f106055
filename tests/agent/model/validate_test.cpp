#include <doctest/doctest.h>

#include <functional>

#include "runtime/base/error.hpp"
#include "tests/agent/model/example.hpp"

using namespace berth;
using namespace berth::model;

namespace {

// What validate() says of the example after a change; "" when it accepts it.
std::string complaint(const JobRequest& base, const std::function<void(JobRequest&)>& change) {
  auto request = base;
  change(request);
  try {
    validate(request);
  } catch (const Error& error) {
    CHECK(error.code() == Code::invalid);
    return error.message();
  }
  return "";
}

std::string complaint(const std::function<void(JobRequest&)>& change) { return complaint(full_request(), change); }

bool refused(const std::function<void(JobRequest&)>& change, const std::string& field) {
  return complaint(change).starts_with("job request: '" + field + "'");
}

}  // namespace

TEST_CASE("the examples are valid") {
  validate(small_request());
  validate(full_request());
}

TEST_CASE("a submission id is 32 hexadecimal digits") {
  CHECK(refused([](auto& r) { r.submission_id = ""; }, "submission_id"));
  CHECK(refused([](auto& r) { r.submission_id = std::string(32, 'A'); }, "submission_id"));
  CHECK(refused([](auto& r) { r.submission_id = std::string(33, 'a'); }, "submission_id"));
}

TEST_CASE("a command is there, is text, and is below a MiB with its environment") {
  CHECK(complaint([](auto& r) { r.command.clear(); }) == "job request: 'command' must not be empty");
  CHECK(refused([](auto& r) { r.command = {""}; }, "command"));
  CHECK(complaint([](auto& r) { r.command[1] = std::string("a\0b", 3); }) ==
        "job request: 'command' contains a NUL byte");
  CHECK(complaint([](auto& r) { r.command[1] = "\xff"; }) == "job request: 'command' is not UTF-8 text");
  CHECK(refused([](auto& r) { r.command[1] = std::string(1U << 20, 'a'); }, "command"));
  CHECK(refused([](auto& r) { r.environment_variables["A"] = std::string(1U << 20, 'a'); }, "command"));
  CHECK(complaint([](auto& r) { r.command[1] = std::string((1U << 20) - 100, 'a'); }) == "");
}

TEST_CASE("names of environment variables are valid") {
  for (const std::string name : {"", "A=B", "A B", "A\n", "\xff"})
    CHECK(refused([&](auto& r) { r.environment_variables[name] = "x"; }, "environment_variables"));
  CHECK(refused([](auto& r) { r.environment_variables["A"] = std::string("\0", 1); }, "environment_variables"));
  CHECK(complaint([](auto& r) { r.environment_variables["BASH_FUNC_x%%"] = "() { :; }"; }) == "");
}

TEST_CASE("names, tags and properties are bounded") {
  CHECK(refused([](auto& r) { r.display_name = std::string(256, 'a'); }, "name"));
  CHECK(refused([](auto& r) { r.display_name = "a\x1b[31m"; }, "name"));
  CHECK(refused([](auto& r) { r.experiment = ""; }, "experiment"));
  CHECK(refused([](auto& r) { r.tags[""] = "x"; }, "tags"));
  CHECK(refused([](auto& r) { r.tags["a"] = std::string(5001, 'x'); }, "tags"));
  CHECK(refused(
      [](auto& r) {
        for (int i = 0; i < 101; ++i) r.tags[std::to_string(i)] = "";
      },
      "tags"));
  CHECK(refused([](auto& r) { r.properties["a"] = std::string(70'000, 'x'); }, "properties"));
}

TEST_CASE("a working directory is within the snapshot, or absolute without one") {
  for (const std::string path : {"/abs", "..", "a/../b", "a//b", "a/", "./a"})
    CHECK(refused([&](auto& r) { r.working_directory = path; }, "working_directory"));
  CHECK(complaint([](auto& r) { r.working_directory = ""; }) == "");
  CHECK(complaint([](auto& r) { r.working_directory = "a/..b"; }) == "");
  CHECK(complaint(small_request(), [](auto& r) { r.working_directory = "a"; }).find("absolute") != std::string::npos);
  CHECK(complaint(small_request(), [](auto& r) { r.working_directory = ""; }).find("absolute") != std::string::npos);
}

TEST_CASE("outputs are within the working directory") {
  for (const std::string path : {"", "/abs", "..", "a/../../b", ".", "a\xff"})
    CHECK(refused([&](auto& r) { r.outputs = {path}; }, "outputs"));
}

TEST_CASE("python is an absolute path or a plain name") {
  CHECK(refused([](auto& r) { r.environment.python = ""; }, "environment"));
  CHECK(refused([](auto& r) { r.environment.python = "bin/python"; }, "environment"));
  CHECK(complaint([](auto& r) { r.environment.python = "python3.11"; }) == "");
  CHECK(complaint(small_request(), [](auto& r) { r.environment.python = "python3"; }) != "");
}

TEST_CASE("each kind of environment has its own fields") {
  using Kind = EnvironmentRequest::Kind;
  const auto of_kind = [](Kind kind, const std::function<void(EnvironmentRequest&)>& change) {
    return complaint([&](JobRequest& request) {
      request.environment = {};
      request.environment.kind = kind;
      change(request.environment);
    });
  };
  const auto with_file = [](EnvironmentRequest& e) {
    e.file = "env.yml";
    e.files = {{"env.yml", "dependencies: []"}};
  };
  for (const auto kind : {Kind::conda, Kind::venv, Kind::lock}) {
    CHECK(of_kind(kind, with_file) == "");
    CHECK(of_kind(kind, [](auto&) {}).find("needs 'file'") != std::string::npos);
  }
  CHECK(of_kind(Kind::image, [](auto& e) { e.image = "python:3.12"; }) == "");
  CHECK(of_kind(Kind::image, [&](auto& e) {
          e.image = "cpu";
          with_file(e);
        }) == "");
  CHECK(of_kind(Kind::image, [](auto&) {}).find("needs 'image'") != std::string::npos);
  CHECK(of_kind(Kind::conda, [&](auto& e) {
          with_file(e);
          e.image = "x";
        }) == "job request: 'environment' of kind 'conda' takes no 'image'");
  CHECK(of_kind(Kind::dockerfile, [](auto& e) {
          e.context = digest_of(1);
          e.dockerfile = "Dockerfile";
        }) == "");
  CHECK(of_kind(Kind::dockerfile, [](auto& e) {
          e.context = digest_of(1);
          e.dockerfile = "../Dockerfile";
        }) != "");
}

TEST_CASE("the files of an environment are named by paths of their own, and few and small") {
  const auto with = [](std::map<std::string, std::string> files) {
    return complaint([&](JobRequest& request) {
      request.environment = {};
      request.environment.kind = EnvironmentRequest::Kind::venv;
      request.environment.file = "a.txt";
      request.environment.files = std::move(files);
    });
  };
  CHECK(with({{"a.txt", "-r b/c.txt"}, {"b/c.txt", "x"}}) == "");
  CHECK(with({{"b.txt", ""}}) == "job request: 'environment' has no file 'a.txt'");
  CHECK(with({{"a.txt", ""}, {"../b", ""}}) != "");
  CHECK(with({{"a.txt", ""}, {"/b", ""}}) != "");
  CHECK(with({{"a.txt", std::string(2U << 20, 'x')}}).find("1 MiB") != std::string::npos);
  CHECK(with({{"a.txt", "\xff"}}).find("UTF-8") != std::string::npos);
}

TEST_CASE("amounts, limits and retries are in range") {
  CHECK(refused([](auto& r) { r.resources.slots = 0; }, "resources"));
  CHECK(refused([](auto& r) { r.priority = 1001; }, "priority"));
  CHECK(refused([](auto& r) { r.timeout = std::chrono::milliseconds(0); }, "timeout_ms"));
  CHECK(refused([](auto& r) { r.timeout = std::chrono::hours(24 * 4000); }, "timeout_ms"));
  CHECK(refused([](auto& r) { r.retries["lost"] = 101; }, "retries"));
  CHECK(refused([](auto& r) { r.retries["canceled"] = 1; }, "retries"));
  CHECK(refused([](auto& r) { r.stop.signal = 65; }, "stop"));
  CHECK(refused([](auto& r) { r.stop.grace = std::chrono::hours(25); }, "stop"));
  CHECK(refused([](auto& r) { r.log_cap = ByteSize(1000); }, "log_cap_bytes"));
}

TEST_CASE("memory of GPUs is refused without GPUs") {
  CHECK(complaint([](auto& r) {
          r.resources.gpus = 0;
          r.resources.gpu_memory = 1_GiB;
        }) == "job request: 'resources' has 'gpu_memory_bytes' without 'gpus': say how many GPUs");
}

TEST_CASE("what is said of a container is refused where the job runs in none, and bounded where it does") {
  const auto in = [](EnvironmentRequest::Kind kind, const std::function<void(JobRequest&)>& change) {
    return complaint(small_request(), [&](JobRequest& request) {
      request.environment.kind = kind;
      if (kind == EnvironmentRequest::Kind::image) request.environment.image = "x";
      change(request);
    });
  };
  using enum EnvironmentRequest::Kind;
  const auto shm = [](auto& r) { r.container.shm_size = 1_GiB; };
  const auto args = [](auto& r) { r.container.docker_args = "--ipc=host"; };
  CHECK(in(none, shm).starts_with("job request: 'resources' is for containers (shm_size_bytes, docker_args,"));
  CHECK(in(none, args).find("this job runs in none") != std::string::npos);
  CHECK(in(image, shm) == "");
  CHECK(in(image, args) == "");
  CHECK(in(image, [](auto& r) { r.container.shm_size = ByteSize(0); }).find("shm_size_bytes") != std::string::npos);
  CHECK(in(image, [](auto& r) { r.container.docker_args = "\xff"; }).find("UTF-8") != std::string::npos);
  CHECK(in(image, [](auto& r) { r.container.docker_args = std::string(70'000, 'x'); }) != "");
}

TEST_CASE("the lock of an image runs in a container, that of another environment does not") {
  const auto of = [](const std::string& lock) {
    EnvironmentRequest request;
    request.kind = EnvironmentRequest::Kind::lock;
    request.file = "lock.json";
    request.files = {{"lock.json", lock}};
    return in_container(request);
  };
  CHECK(of(R"({"kind":"image","image":"a@sha256:1"})"));
  CHECK_FALSE(of(R"({"kind":"conda"})"));
  CHECK_FALSE(of(R"(["kind"])"));
  CHECK_FALSE(of("no lock"));
}

TEST_CASE("a job in an image without code runs in the image's own directory, or one that is named") {
  const auto in_image = [](const std::string& directory, std::vector<std::string> outputs) {
    return complaint(small_request(), [&](JobRequest& request) {
      request.environment.kind = EnvironmentRequest::Kind::image;
      request.environment.image = "x";
      request.working_directory = directory;
      request.outputs = std::move(outputs);
    });
  };
  CHECK(in_image("", {}) == "");
  CHECK(in_image("/opt", {}) == "");
  CHECK(in_image("opt", {}) == "job request: 'working_directory' must be an absolute path when there is no snapshot");
  CHECK(in_image("", {"models"}) == "");
  CHECK(in_image("/opt", {"models"}).starts_with("job request: 'outputs' cannot be collected"));
}
