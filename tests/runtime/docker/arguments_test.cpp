#include "runtime/docker/arguments.hpp"

#include <doctest/doctest.h>

#include "tests/runtime/docker/failure.hpp"

namespace berth::docker {
namespace {

using test::failure_of;

ContainerSpec with(const std::vector<std::string>& arguments) { return with_arguments({}, arguments); }

}  // namespace

TEST_CASE("words are split as a shell does") {
  using Words = std::vector<std::string>;
  CHECK(split_words("  a  'b c' \"d 'e'\" f\\ g ''") == Words{"a", "b c", "d 'e'", "f g", ""});
  CHECK(split_words("") == Words{});
  CHECK(split_words("-e A='x y'") == Words{"-e", "A=x y"});
  CHECK(test::code_of([] { split_words("a 'b"); }) == Code::invalid);
}

TEST_CASE("allowed arguments change the container, however they are written") {
  const auto spec =
      with({"--shm-size=8g --ipc host", "--ulimit", "nofile=1024:4096", "--ulimit=stack=67108864", "-eA=1", "-e",
            "'B=2 3'", "--env=C=", "--net none", "--label team=x", "--tmpfs /scratch:size=1g", "--read-only",
            "--init --rm", "--add-host=db:10.0.0.1", "--cpuset-cpus=0-1", "-h node1"});
  CHECK(spec.shm_size == 8_GiB);
  CHECK(spec.ipc == "host");
  REQUIRE(spec.ulimits.size() == 2);
  CHECK(spec.ulimits[0].soft == 1024);
  CHECK(spec.ulimits[0].hard == 4096);
  CHECK(spec.ulimits[1].hard == 67108864);
  CHECK(spec.environment == std::vector<std::string>{"A=1", "B=2 3", "C="});
  CHECK(spec.network == "none");
  CHECK(spec.labels.at("team") == "x");
  CHECK(spec.tmpfs.at("/scratch") == "size=1g");
  CHECK(spec.read_only_root);
  CHECK(spec.extra_hosts == std::vector<std::string>{"db:10.0.0.1"});
  CHECK(spec.cpuset == "0-1");
  CHECK(spec.hostname == "node1");
}

TEST_CASE("shared memory is two gigabytes unless asked otherwise") {
  CHECK(with({}).shm_size == 2_GiB);
  CHECK(with({"--shm-size", "512m"}).shm_size == 512_MiB);
}

TEST_CASE("a job's limits can only be lowered") {
  ContainerSpec job;
  job.memory = 4_GiB;
  job.cpus = 2;
  job.pids = 100;
  const auto more = with_arguments(job, {"--memory=64g --cpus=64 --pids-limit=-1"});
  CHECK(more.memory == 4_GiB);
  CHECK(more.cpus == 2);
  CHECK(more.pids == 100);
  const auto less = with_arguments(job, {"-m 1g --cpus 0.5 --pids-limit 10"});
  CHECK(less.memory == 1_GiB);
  CHECK(less.cpus == 0.5);
  CHECK(less.pids == 10);
}

TEST_CASE("what would give a container more than its job has is refused with the reason") {
  const auto says = [](const std::string& argument, const std::string& words) {
    const auto error = failure_of([&] { with({argument}); });
    CHECK(error.code() == Code::denied);
    CHECK_MESSAGE(error.describe().find(words) != std::string::npos, error.describe());
  };
  says("--privileged", "no more rights");
  says("--privileged=true", "no more rights");
  says("--ulimit rtprio=99:99", "real-time priority");
  says("--cap-add=SYS_ADMIN", "--cap-add is not allowed");
  says("-v /:/host", "own directories");
  says("-v/:/host", "own directories");
  says("--volume=/:/host", "use inputs");
  says("--mount type=bind,source=/,target=/x", "use inputs");
  says("--device=/dev/sda", "devices are handed out");
  says("--gpus all", "resources");
  says("--pid=host", "first process");
  says("--security-opt seccomp=unconfined", "no more rights");
  says("--user 0", "runs as its submitter");
  says("-it", "no terminal");
  says("--network=container:other", "allowed: bridge, host, none");
  says("--ipc=container:other", "allowed: host");
  says("--label io.berth.job=x", "agent's own");
  says("--privileged", "allowed: --add-host, ");
  says("--new-option-of-2030", "allowed: ");
}

TEST_CASE("what is malformed is told as such") {
  for (const auto* argument : {"--shm-size=much", "--shm-size", "--ulimit=nofile", "--ulimit nosuch=1", "--cpus=0",
                               "--cpus=1e-12", "--cpus=nan", "-e NAME", "debian", "--", "--tmpfs=relative"})
    CHECK_MESSAGE(test::code_of([&] { with({argument}); }) == Code::invalid, argument);
}

}  // namespace berth::docker
