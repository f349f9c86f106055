#include "agent/jobfile/flags.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::jobfile;

namespace {

Place in_project() {
  Place place;
  place.current_directory = "/home/ada/project/src";
  place.code_root = "/home/ada/project";
  place.environment_variable = [](const std::string& name) {
    return name == "TOKEN" ? std::optional<std::string>("secret") : std::nullopt;
  };
  return place;
}

Place as_it_is() {
  auto place = in_project();
  place.code_root.reset();
  return place;
}

Flags command(std::vector<std::string> words) {
  Flags flags;
  flags.command = std::move(words);
  return flags;
}

std::string mistake(const Flags& flags, const Place& place = in_project()) {
  try {
    to_request(flags, place);
  } catch (const Error& error) {
    CHECK(error.code() == Code::invalid);
    CHECK_FALSE(error.hint().empty());
    return error.message();
  }
  return "none";
}

}  // namespace

TEST_CASE("a command alone asks for the defaults, in the place where it was typed") {
  const auto request = to_request(command({"make", "-j8"}), in_project());
  CHECK(request.command == std::vector<std::string>{"make", "-j8"});
  CHECK(request.experiment == "default");
  CHECK(request.working_directory == "src");
  CHECK(request.outputs == std::vector<std::string>{"outputs"});
  CHECK(request.environment.kind == model::EnvironmentRequest::Kind::none);
  CHECK(request.resources == model::Resources{1000, ByteSize(0), 0, 1});
  CHECK_FALSE(request.held);
}

TEST_CASE("without code the job runs in the current directory, and nothing is collected unasked") {
  const auto request = to_request(command({"true"}), as_it_is());
  CHECK(request.working_directory == "/home/ada/project/src");
  CHECK(request.outputs.empty());
  auto flags = command({"true"});
  flags.working_directory = "../data";
  CHECK(to_request(flags, as_it_is()).working_directory == "/home/ada/project/data");
}

TEST_CASE("a directory outside of the code runs in the code's root") {
  auto place = in_project();
  place.current_directory = "/tmp";
  CHECK(to_request(command({"true"}), place).working_directory.empty());
}

TEST_CASE("--workdir is a path within the code, however it is written") {
  auto flags = command({"true"});
  flags.working_directory = "./a//b/";
  CHECK(to_request(flags, in_project()).working_directory == "a/b");
  flags.working_directory = "/home/ada/project/lib";
  CHECK(to_request(flags, in_project()).working_directory == "lib");
  flags.working_directory = "../elsewhere";
  CHECK(mistake(flags) == "--workdir: '../elsewhere' is not inside the code (/home/ada/project)");
}

TEST_CASE("a Python script runs with the machine's python3") {
  const auto request = to_request(command({"train.py", "--epochs", "3"}), in_project());
  CHECK(request.command == std::vector<std::string>{"python3", "train.py", "--epochs", "3"});
  CHECK(request.environment.kind == model::EnvironmentRequest::Kind::user_managed);
  CHECK(request.environment.python == "python3");
}

TEST_CASE("--python takes a path from where it was typed, or a name for PATH") {
  auto flags = command({"train.py"});
  flags.python = "../.venv/bin/python";
  auto request = to_request(flags, in_project());
  CHECK(request.environment.python == "/home/ada/project/.venv/bin/python");
  CHECK(request.command.front() == "/home/ada/project/.venv/bin/python");
  flags = command({"python", "train.py"});
  flags.python = "python3.11";
  request = to_request(flags, in_project());
  CHECK(request.environment.python == "python3.11");
  CHECK(request.command.front() == "python");
  flags.python = "";
  CHECK(mistake(flags) == "--python: the interpreter's path is empty");
}

TEST_CASE("--env passes on a variable by its name alone") {
  auto flags = command({"true"});
  flags.environment_variables = {"A=1", "A=2", "EMPTY=", "TOKEN", "X=a=b"};
  const std::map<std::string, std::string> expected{{"A", "2"}, {"EMPTY", ""}, {"TOKEN", "secret"}, {"X", "a=b"}};
  CHECK(to_request(flags, in_project()).environment_variables == expected);
  flags.environment_variables = {"NOPE"};
  CHECK(mistake(flags) == "--env: the variable 'NOPE' is not set here");
}

TEST_CASE("memory of GPUs asks for one GPU where none is said") {
  auto flags = command({"true"});
  flags.gpu_memory = "20G";
  CHECK(to_request(flags, in_project()).resources == model::Resources{1000, ByteSize(0), 1, 1, 20_GiB});
  flags.gpus = "2";
  CHECK(to_request(flags, in_project()).resources == model::Resources{1000, ByteSize(0), 2, 1, 20_GiB});
}

TEST_CASE("every other flag has its place in the request") {
  auto flags = command({"true"});
  flags.name = "first";
  flags.experiment = "digits";
  flags.tags = {"model=small", "model=large"};
  flags.cpus = "2.5";
  flags.memory = "4G";
  flags.gpus = "1";
  flags.slots = "2";
  flags.priority = "-5";
  flags.timeout = "2h30m";
  flags.retries = {"2", "lost=3"};
  flags.outputs = {"./checkpoints/", "outputs"};
  flags.log_cap = "10M";
  flags.stop_signal = "SIGINT";
  flags.grace = "1m";
  flags.hold = true;
  flags.pids = "300";
  flags.tmp = "2G";
  flags.no_network = true;
  const auto request = to_request(flags, in_project());
  CHECK(request.display_name == "first");
  CHECK(request.experiment == "digits");
  CHECK(request.tags == std::map<std::string, std::string>{{"model", "large"}});
  CHECK(request.resources == model::Resources{2500, 4_GiB, 1, 2});
  CHECK(request.priority == -5);
  CHECK(request.timeout == std::chrono::minutes(150));
  CHECK(request.retries == std::map<std::string, int>{{"failed", 2}, {"lost", 3}});
  CHECK(request.outputs == std::vector<std::string>{"outputs", "checkpoints"});
  CHECK(request.log_cap == 10_MiB);
  CHECK(request.stop == model::StopRequest{2, std::chrono::minutes(1)});
  CHECK(request.held);
  CHECK(request.limits == model::LimitRequest{true, 300, 2_GiB, false});
}

TEST_CASE("a mistake names the flag") {
  CHECK(mistake(Flags{}) == "no command given");
  auto flags = command({"true"});
  flags.outputs = {"/etc"};
  CHECK(mistake(flags) == "--output: '/etc' is not a directory inside the job's own");
  flags.outputs = {".."};
  CHECK(mistake(flags) == "--output: '..' is not a directory inside the job's own");
  flags.outputs = {};
  flags.tags = {"small"};
  CHECK(mistake(flags) == "--tag: 'small' is not of the form NAME=VALUE");
  flags.tags = {};
  flags.priority = "1001";
  CHECK(mistake(flags) == "--priority: '1001' is out of range");
}

TEST_CASE("what is said of a container goes along with an image, and is refused without one") {
  auto flags = command({"true"});
  flags.shm_size = "8g";
  CHECK(mistake(flags) == "--shm-size: this job runs in no container");
  flags.image = "python:3.12";
  flags.docker_args = "--ipc=host --ulimit memlock=-1";
  const auto request = to_request(flags, in_project());
  CHECK(request.container.shm_size == 8_GiB);
  CHECK(request.container.docker_args == "--ipc=host --ulimit memlock=-1");
  flags.shm_size = "much";
  CHECK(mistake(flags).starts_with("--shm-size: 'much' is not a size"));
  flags = command({"true"});
  flags.docker_args = "--init";
  CHECK(mistake(flags) == "--docker-args: this job runs in no container");
}

TEST_CASE("without code but with an image the directory is one of the image's") {
  auto flags = command({"true"});
  flags.image = "python:3.12";
  CHECK(to_request(flags, as_it_is()).working_directory.empty());
  flags.working_directory = "/opt/app";
  CHECK(to_request(flags, as_it_is()).working_directory == "/opt/app");
  flags.working_directory = "app";
  CHECK(mistake(flags, as_it_is()) == "--workdir: 'app' is not an absolute path");
}
