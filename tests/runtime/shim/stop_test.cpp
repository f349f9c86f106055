#include <doctest/doctest.h>

#include "tests/runtime/shim/shim_job.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace berth::shim;
using namespace berth::shim::test;
using std::chrono::milliseconds;

namespace {

os::Exit exit_of(const Ended& ended) { return std::get<os::Exit>(ended.outcome); }

Stop stop(int signal, milliseconds grace) { return {kVersion, signal, grace, "canceled"}; }

constexpr milliseconds kLong{60'000};

}  // namespace

TEST_CASE("a command that heeds the signal ends in its own way") {
  ShimJob job(shell("trap 'echo saved; exit 7' TERM; echo up; while :; do sleep 0.01; done"));
  job.start();
  job.await_log("up");
  request_stop(job.directory, stop(SIGTERM, kLong));
  const auto ended = job.end();
  CHECK(exit_of(ended).status == 7);
  CHECK_FALSE(exit_of(ended).signalled);
  CHECK(ended.stopped_because == "canceled");
  CHECK(job.log() == "up\nsaved\n");
}

TEST_CASE("the signal asked for is the one sent") {
  ShimJob job(shell("trap 'exit 9' USR1; echo up; while :; do sleep 0.01; done"));
  job.start();
  job.await_log("up");
  request_stop(job.directory, stop(SIGUSR1, kLong));
  CHECK(exit_of(job.end()).status == 9);
}

TEST_CASE("a command that ignores the signal is killed after the grace") {
  ShimJob job(shell("trap '' TERM; echo up; while :; do sleep 0.05; done"));
  SUBCASE("by descent") {}
  SUBCASE("by control group") {
    if (cgroup_base()) job.use_cgroup();
  }
  job.start();
  job.await_log("up");
  request_stop(job.directory, stop(SIGTERM, milliseconds(150)));
  const auto ended = job.end();
  CHECK(exit_of(ended).signalled);
  CHECK(exit_of(ended).status == SIGKILL);
  CHECK(ended.duration >= milliseconds(150));
}

TEST_CASE("a later stop replaces an earlier one, and the first reason stays") {
  ShimJob job(shell("trap '' TERM; echo up; while :; do sleep 0.05; done"));
  job.start();
  job.await_log("up");
  request_stop(job.directory, stop(SIGTERM, kLong));
  request_stop(job.directory, {kVersion, SIGKILL, {}, "forced"});
  const auto ended = job.end();
  CHECK(exit_of(ended).status == SIGKILL);
  CHECK((ended.stopped_because == "canceled" || ended.stopped_because == "forced"));
}

TEST_CASE("a stopped command sees the signal too") {
  ShimJob job(shell("trap 'exit 7' TERM; echo up; kill -STOP $$; while :; do sleep 0.01; done"));
  job.start();
  job.await_log("up");
  request_stop(job.directory, stop(SIGTERM, kLong));
  CHECK(exit_of(job.end()).status == 7);
}

TEST_CASE("what a dying shell leaves behind gets the signal and the rest of the grace") {
  bool grouped = false;
  SUBCASE("by descent") {}
  SUBCASE("by control group") { grouped = true; }
  SKIP_UNLESS(!grouped || cgroup_base(), kGroups);
  ShimJob job(
      shell("sh -c \"trap 'sleep 0.2; echo saved; exit' TERM; echo up; while :; do sleep 0.01; done\"; echo no"));
  if (grouped) job.use_cgroup();
  job.start();
  job.await_log("up");
  request_stop(job.directory, stop(SIGTERM, kLong));
  const auto ended = job.end();
  CHECK(exit_of(ended).status == SIGTERM);
  CHECK(job.log().starts_with("up\n"));
  CHECK(job.log().ends_with("saved\n"));
}

TEST_CASE("a daemon with a session of its own goes with the job") {
  bool grouped = false;
  SUBCASE("by descent") {}
  SUBCASE("by control group") { grouped = true; }
  SKIP_UNLESS(!grouped || cgroup_base(), kGroups);
  ShimJob job({});
  job.launch.command = {program("daemonize"), job.scratch("pid"), "stay"};
  if (grouped) job.use_cgroup();
  job.start();
  job.await_log("daemon is up");
  const auto daemon = std::stoi(os::read_file(job.scratch("pid")));
  REQUIRE(alive(daemon));
  request_stop(job.directory, stop(SIGTERM, milliseconds(200)));
  const auto ended = job.end();
  CHECK(exit_of(ended).status == SIGTERM);
  CHECK_FALSE(alive(daemon));
}

TEST_CASE("a time limit stops the command and is told as such") {
  ShimJob job(shell("trap 'echo late; exit 0' TERM; while :; do sleep 0.01; done"));
  job.launch.timeout = milliseconds(150);
  job.launch.stop_grace = kLong;
  const auto ended = job.run();
  CHECK(ended.stopped_because == "timed_out");
  CHECK(exit_of(ended).status == 0);
  CHECK(ended.duration >= milliseconds(150));
  CHECK(job.log() == "late\n");
}

TEST_CASE("a command that ends before its time limit did not time out") {
  ShimJob job({"true"});
  job.launch.timeout = kLong;
  CHECK(job.run().stopped_because.empty());
}

TEST_CASE("a stop that comes before the shim means that the command never starts") {
  ShimJob job(shell("echo ran"));
  os::make_directories(job.directory);
  request_stop(job.directory, stop(SIGTERM, kLong));
  const auto ended = job.run();
  CHECK(ended.stopped_because == "canceled");
  const auto& reason = std::get<NotStarted>(ended.outcome);
  CHECK(reason.exit_code == 128 + SIGTERM);
  CHECK(reason.reason == "it was stopped before it started");
  CHECK(job.log().empty());
}

TEST_CASE("a stop file that cannot be read stops as well") {
  ShimJob job(shell("echo up; exec sleep 100"));
  job.launch.stop_grace = kLong;
  job.start();
  job.await_log("up");
  os::write_file(job.file(kStopFile), "{ what", 0600, os::Durable::no);
  const auto ended = job.end();
  CHECK(exit_of(ended).status == SIGTERM);
  CHECK(ended.stopped_because == "stopped");
}
