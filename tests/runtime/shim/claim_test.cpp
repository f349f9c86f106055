// Who runs a launch, and that nobody runs it twice.

#include <doctest/doctest.h>
#include <sys/wait.h>

#include "runtime/os/lock.hpp"
#include "tests/runtime/shim/shim_job.hpp"

using namespace berth;
using namespace berth::shim;
using namespace berth::shim::test;

namespace {

os::Child start_shim(const std::string& directory) {
  os::SpawnOptions options;
  options.arguments = {BERTH_SHIM, directory};
  options.new_session = true;
  return os::spawn(options);
}

void await(const os::Child& shim) {
  pollfd poll{shim.pidfd.get(), POLLIN, 0};
  REQUIRE(::poll(&poll, 1, std::chrono::milliseconds(kPatience).count()) == 1);
  CHECK(os::reap(shim.pidfd).status == 0);
}

}  // namespace

TEST_CASE("of two shims for one directory exactly one runs the command") {
  for (int round = 0; round < 8; ++round) {
    ShimJob job(shell("echo ran"));
    os::make_directories(job.directory);
    os::write_file(job.file(kLaunchFile), to_text(job.launch), 0600, os::Durable::no);
    const auto first = start_shim(job.directory);
    const auto second = start_shim(job.directory);
    await(first);
    await(second);
    CHECK(job.log() == "ran\n");
    CHECK(std::get<os::Exit>(ended_from_text(os::read_file(job.file(kEndingFile))).outcome).status == 0);
  }
}

TEST_CASE("a shim that finds its launch revoked leaves") {
  ShimJob job(shell("echo ran"));
  os::make_directories(job.directory);
  CHECK(std::holds_alternative<NeverRan>(inspect(job.directory)));
  job.start();
  CHECK(job.await_shim().status == 0);
  CHECK_FALSE(os::exists(job.file(kEndingFile)));
  CHECK_FALSE(os::exists(job.file(kLogFile)));
}

TEST_CASE("a launch that was started is not started again after its shim has died") {
  ShimJob job(shell("echo ran; exec sleep 100"));
  job.start();
  job.await_log("ran");
  os::send_signal(job.shim->pidfd, SIGKILL);
  job.await_shim();
  await(start_shim(job.directory));
  CHECK(job.log() == "ran\n");
}

TEST_CASE("a launch whose shim died before it started anything is run by the next one") {
  ShimJob job(shell("echo ran"));
  os::make_directories(job.directory);
  os::write_file(job.file(kClaimFile), "", 0600, os::Durable::no);
  os::write_file(job.file(kEndingReserve), "half", 0600, os::Durable::no);
  job.run();
  CHECK(job.log() == "ran\n");
}

TEST_CASE("a newer minor version with unknown fields runs") {
  ShimJob job({});
  os::make_directories(job.directory);
  os::write_file(job.file(kLaunchFile),
                 R"({"version": {"major": 1, "minor": 7, "patch": 3}, "command": ["echo", "ran"], "urgency": -5,
                     "environment": ["PATH=/bin"], "working_directory": "/", "devices": {"a": [1, 2]}})",
                 0600, os::Durable::no);
  await(start_shim(job.directory));
  CHECK(job.log() == "ran\n");
}

TEST_CASE("a newer major version is refused in plain words") {
  ShimJob job({});
  os::make_directories(job.directory);
  os::write_file(job.file(kLaunchFile), R"({"version": {"major": 2, "minor": 0}, "argv": ["echo", "ran"]})", 0600,
                 os::Durable::no);
  await(start_shim(job.directory));
  const auto ended = ended_from_text(os::read_file(job.file(kEndingFile)));
  const auto& reason = std::get<NotStarted>(ended.outcome);
  CHECK(reason.exit_code == 126);
  CHECK(reason.reason == "it is of contract version 2, and this program knows only 1, reading " +
                             job.file(kLaunchFile) + "; install matching versions of the agent and berth-shim");
}

TEST_CASE("a launch file that is not one is refused") {
  ShimJob job({});
  os::make_directories(job.directory);
  for (const std::string text : {"", "{", "[]", R"({"version":{"major":1},"command":"ls","environment":[]})",
                                 R"({"version":{"major":1},"command":[],"environment":[]})"}) {
    os::remove_tree(job.directory);
    os::make_directories(job.directory);
    os::write_file(job.file(kLaunchFile), text, 0600, os::Durable::no);
    await(start_shim(job.directory));
    const auto ended = ended_from_text(os::read_file(job.file(kEndingFile)));
    CHECK(std::get<NotStarted>(ended.outcome).exit_code == 126);
  }
}

TEST_CASE("signals that end other programs do not end a shim") {
  ShimJob job(shell("echo up; while [ ! -e \"$BERTH_LAUNCH/go\" ]; do sleep 0.01; done; exit 6"));
  job.start();
  job.await_log("up");
  for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGQUIT}) os::send_signal(job.shim->pidfd, signal);
  os::write_file(job.file("go"), "", 0600, os::Durable::no);
  CHECK(std::get<os::Exit>(job.end().outcome).status == 6);
}

TEST_CASE("a job outlives the agent that launched it") {
  ShimJob job(shell("echo up; while [ ! -e \"$BERTH_LAUNCH/go\" ]; do sleep 0.01; done; exit 6"));
  const pid_t agent = ::fork();
  if (agent == 0) {
    launch(BERTH_SHIM, job.directory, job.launch);
    ::_exit(0);
  }
  ::waitpid(agent, nullptr, 0);
  job.await_log("up");
  const auto condition = inspect(job.directory);
  REQUIRE(std::holds_alternative<Running>(condition));
  const auto& running = std::get<Running>(condition);
  REQUIRE(running.started);
  REQUIRE(running.shim);
  os::write_file(job.file("go"), "", 0600, os::Durable::no);
  pollfd poll{running.shim->get(), POLLIN, 0};
  CHECK(::poll(&poll, 1, std::chrono::milliseconds(kPatience).count()) == 1);
  const auto after = inspect(job.directory);
  REQUIRE(std::holds_alternative<Over>(after));
  CHECK(std::get<os::Exit>(std::get<Over>(after).ended.outcome).status == 6);
}
