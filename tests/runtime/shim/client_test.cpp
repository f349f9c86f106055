#include <doctest/doctest.h>
#include <stdlib.h>

#include "runtime/base/error.hpp"
#include "runtime/os/lock.hpp"
#include "tests/runtime/shim/shim_job.hpp"

using namespace berth;
using namespace berth::shim;
using namespace berth::shim::test;

namespace {

// While it lives, the machine seems to have restarted.
struct Reboot {
  Reboot() { ::setenv("BERTH_BOOT_ID", "another boot", 1); }
  ~Reboot() { ::unsetenv("BERTH_BOOT_ID"); }
};

}  // namespace

TEST_CASE("an empty launch directory never ran, and is revoked by asking") {
  ShimJob job({"true"});
  os::make_directories(job.directory);
  CHECK(std::holds_alternative<NeverRan>(inspect(job.directory)));
  CHECK(os::read_file(job.file(kClaimFile)) == kRevoked);
}

TEST_CASE("a claimed launch that has not started yet is running") {
  ShimJob job({"true"});
  os::make_directories(job.directory);
  const auto claim = os::FileLock::try_acquire(job.file(kClaimFile));
  const auto condition = inspect(job.directory);
  REQUIRE(std::holds_alternative<Running>(condition));
  CHECK_FALSE(std::get<Running>(condition).started);
}

TEST_CASE("a job that runs is running, and its shim can be waited for") {
  ShimJob job(shell("echo up; exec sleep 100"));
  job.start();
  job.await_log("up");
  const auto condition = inspect(job.directory);
  REQUIRE(std::holds_alternative<Running>(condition));
  const auto& running = std::get<Running>(condition);
  REQUIRE(running.started);
  CHECK(running.started->shim == job.shim->id);
  const auto name = "/proc/" + std::to_string(running.started->job.pid) + "/comm";
  wait_until("the job's process is the command", [&] { return os::read_file(name) == "sleep\n"; });
  CHECK(running.started->boot_id == os::boot_id());
  CHECK(running.shim);
  request_stop(job.directory, {kVersion, SIGTERM, std::chrono::seconds(60), "canceled"});
  job.end();
  CHECK(std::holds_alternative<Over>(inspect(job.directory)));
}

TEST_CASE("a job whose shim was killed is lost, and what it left behind can be killed") {
  bool grouped = false;
  SUBCASE("by its mark") {}
  SUBCASE("by control group") {
    grouped = true;
  }
  if (grouped && !cgroup_base()) return;
  ShimJob job({});
  job.launch.command = {program("daemonize"), job.scratch("pid"), "stay"};
  if (grouped) job.use_cgroup();
  job.start();
  job.await_log("daemon is up");
  const auto daemon = std::stoi(os::read_file(job.scratch("pid")));
  const auto started = job.await_started();
  CHECK_THROWS_WITH_AS(kill_leftovers(job.directory), doctest::Contains("is still supervised"), Error);

  os::send_signal(job.shim->pidfd, SIGKILL);
  job.await_shim();
  const auto condition = inspect(job.directory);
  REQUIRE(std::holds_alternative<Lost>(condition));
  CHECK_FALSE(std::get<Lost>(condition).rebooted);
  CHECK(std::get<Lost>(condition).started->job == started.job);
  REQUIRE(alive(daemon));
  // Without a group nobody could stop the command any more, so it goes with its shim.
  if (!grouped) wait_until("the command has died with its shim", [&] { return !alive(started.job.pid); });

  kill_leftovers(job.directory);
  wait_until("the daemon is dead", [&] { return !alive(daemon); });
  CHECK_FALSE(alive(started.job.pid));
  if (grouped) CHECK_FALSE(os::exists(job.launch.cgroup));
  kill_leftovers(job.directory);  // again does no harm
}

TEST_CASE("after a reboot a job that ran is lost") {
  ShimJob job(shell("echo up; exec sleep 100"));
  job.start();
  job.await_log("up");
  os::send_signal(job.shim->pidfd, SIGKILL);
  job.await_shim();
  const Reboot reboot;
  const auto condition = inspect(job.directory);
  REQUIRE(std::holds_alternative<Lost>(condition));
  CHECK(std::get<Lost>(condition).rebooted);
  CHECK(std::get<Lost>(condition).started);
}

TEST_CASE("after a reboot nothing but an ending is believed") {
  ShimJob job({"true"});
  const auto boot = os::boot_id();
  os::make_directories(job.directory);
  const Reboot reboot;
  SUBCASE("no file survived") {}
  SUBCASE("launch.json is torn") {
    os::write_file(job.file(kLaunchFile), "", 0600, os::Durable::no);
  }
  SUBCASE("started.json is torn") {
    os::write_file(job.file(kStartedFile), "{\"ver", 0600, os::Durable::no);
  }
  const auto condition = inspect(job.directory, boot);
  REQUIRE(std::holds_alternative<Lost>(condition));
  CHECK(std::get<Lost>(condition).rebooted);
  CHECK_FALSE(std::get<Lost>(condition).started);
  CHECK_FALSE(os::exists(job.file(kClaimFile)));
}

TEST_CASE("an ending from before a reboot is still the ending") {
  ShimJob job(shell("exit 9"));
  job.run();
  const Reboot reboot;
  const auto condition = inspect(job.directory);
  REQUIRE(std::holds_alternative<Over>(condition));
  CHECK(std::get<os::Exit>(std::get<Over>(condition).ended.outcome).status == 9);
}

TEST_CASE("a shim program that is not there is an error of the launch") {
  ShimJob job({"true"});
  CHECK_THROWS_AS(launch("/no/such/shim", job.directory, job.launch), Error);
}

TEST_CASE("a command with a NUL byte is refused") {
  ShimJob job({"true", std::string("a\0b", 3)});
  CHECK_THROWS_AS(job.start(), Error);
}
