#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/os/lock.hpp"
#include "tests/runtime/shim/shim_job.hpp"
#include "tests/support/skip.hpp"

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
  SUBCASE("by control group") { grouped = true; }
  SKIP_UNLESS(!grouped || cgroup_base(), kGroups);
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
  SUBCASE("launch.json is torn") { os::write_file(job.file(kLaunchFile), "", 0600, os::Durable::no); }
  SUBCASE("started.json is torn") { os::write_file(job.file(kStartedFile), "{\"ver", 0600, os::Durable::no); }
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

TEST_CASE("an ending whose name has not come to the disk is the ending all the same, once nobody supervises the job") {
  ShimJob job(shell("exit 9"));
  job.run();
  REQUIRE(::rename(job.file(kEndingFile).c_str(), job.file(kEndingReserve).c_str()) == 0);
  std::optional<Reboot> reboot;
  bool whole = true;
  SUBCASE("after a reboot") { reboot.emplace(); }
  SUBCASE("its supervisor was killed just then") {}
  SUBCASE("but not one that is torn") {
    reboot.emplace();
    const auto text = os::read_file(job.file(kEndingReserve));
    os::write_file(job.file(kEndingReserve), text.substr(0, text.size() / 2), 0600, os::Durable::no);
    whole = false;
  }
  const auto condition = inspect(job.directory);
  REQUIRE(std::holds_alternative<Over>(condition) == whole);
  if (whole) CHECK(std::get<os::Exit>(std::get<Over>(condition).ended.outcome).status == 9);
  CHECK(std::holds_alternative<Over>(inspect(job.directory)) == whole);  // whoever asks again
}

TEST_CASE("a shim program that is not there is an error of the launch") {
  ShimJob job({"true"});
  CHECK_THROWS_AS(launch("/no/such/shim", job.directory, job.launch), Error);
}

TEST_CASE("a command with a NUL byte is refused") {
  ShimJob job({"true", std::string("a\0b", 3)});
  CHECK_THROWS_AS(job.start(), Error);
}

namespace {

void await(const os::Fd& pidfd) {
  pollfd poll{pidfd.get(), POLLIN, 0};
  REQUIRE(::poll(&poll, 1, std::chrono::milliseconds(kPatience).count()) == 1);
}

Ended ended_of(const ShimJob& job) { return ended_from_text(os::read_file(job.file(kEndingFile))); }

pid_t server_of(const Supervisor& supervisor) {
  const auto stat = os::read_file("/proc/" + std::to_string(supervisor.pid) + "/stat");
  return std::stoi(stat.substr(stat.rfind(')') + 4));
}

std::vector<pid_t> children_of(pid_t pid) {
  const auto task = std::to_string(pid);
  std::istringstream text(os::read_file("/proc/" + task + "/task/" + task + "/children"));
  return {std::istream_iterator<pid_t>(text), std::istream_iterator<pid_t>()};
}

}  // namespace

TEST_CASE("a launcher's supervisors run one job each, and outlive it") {
  ShimJob first(shell("echo first; exit 3"));
  ShimJob second(shell("echo second; sleep 0.3; echo done"));
  ShimJob third({"true"});
  std::optional<Supervisor> running;
  {
    Launcher launcher(BERTH_SHIM);
    launcher.prepare("");
    const auto one = launcher.launch(first.directory, first.launch, Handover::memory);
    running = launcher.launch(second.directory, second.launch, Handover::memory);
    const auto three = launcher.launch(third.directory, third.launch, Handover::memory);
    CHECK(one.pid != running->pid);
    await(one.pidfd);
    await(three.pidfd);
  }
  CHECK(std::get<os::Exit>(ended_of(first).outcome).status == 3);
  CHECK(first.log() == "first\n");
  await(running->pidfd);
  CHECK(second.log() == "second\ndone\n");
  CHECK(std::get<os::Exit>(ended_of(second).outcome).status == 0);
}

TEST_CASE("a launch that is handed over is nowhere in its directory, and runs with its secrets") {
  ShimJob job(shell("echo $TOKEN; cat $BERTH_SECRETS/CERT; ls $(dirname $BERTH_SECRETS)"));
  const auto place = job.file("secrets");
  os::make_directories(place, 0700);
  job.launch.environment.push_back("BERTH_SECRETS=" + place);
  job.launch.secret_place = SecretPlace{place, false};
  job.launch.secrets = {{"TOKEN=hf_4711"}, {}, {{"CERT", "cert-4712\n"}}};
  Launcher launcher(BERTH_SHIM);
  const auto supervisor = launcher.launch(job.directory, job.launch, Handover::memory);
  await(supervisor.pidfd);
  CHECK(std::get<os::Exit>(ended_of(job).outcome).status == 0);
  CHECK(job.log().starts_with("hf_4711\ncert-4712\n"));
  CHECK(job.log().find("launch") == std::string::npos);
  CHECK_FALSE(os::exists(job.file(kLaunchFile)));
}

TEST_CASE("where it is started is written into the claim, which has two names then") {
  ShimJob job(shell("read x < \"$F\""));
  const auto fifo = job.scratch("fifo");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  job.launch.environment.push_back("F=" + fifo);
  Launcher launcher(BERTH_SHIM);
  const auto supervisor = launcher.launch(job.directory, job.launch, Handover::memory);
  const auto started = job.await_started();
  CHECK(started.shim.pid == supervisor.pid);
  CHECK(os::read_file(job.file(kClaimFile)) == os::read_file(job.file(kStartedFile)));
  CHECK_FALSE(os::exists(job.file(kStartedPart)));
  CHECK(std::holds_alternative<Running>(inspect(job.directory)));
  std::ofstream(fifo) << "on\n";
  await(supervisor.pidfd);
  CHECK(std::holds_alternative<Over>(inspect(job.directory)));
}

TEST_CASE("an ending that has not got its name yet is read as often as somebody asks, started or not") {
  ShimJob job(shell("echo up; exec sleep 100"));
  Launcher launcher(BERTH_SHIM);
  const auto supervisor = launcher.launch(job.directory, job.launch, Handover::memory);
  const auto started = job.await_started();
  REQUIRE(::kill(supervisor.pid, SIGKILL) == 0);
  await(supervisor.pidfd);
  wait_until("its claim is free", [&] { return !is_supervised(job.directory); });
  Ended ended;
  ended.outcome = os::Exit{false, 3};
  os::write_file(job.file(kEndingReserve), to_text(ended), 0600, os::Durable::no);
  for (int look = 0; look < 2; ++look) CHECK(std::holds_alternative<Over>(inspect(job.directory)));
  CHECK(started_from_text(os::read_file(job.file(kStartedFile))).job == started.job);
  os::remove_file(job.file(kStartedFile));
  for (int look = 0; look < 2; ++look) CHECK(std::holds_alternative<Over>(inspect(job.directory)));
  CHECK(os::read_file(job.file(kClaimFile)).starts_with(kRevoked));
  kill_leftovers(job.directory);
}

TEST_CASE(
    "the disk space of the ending is taken before anybody has the launch, and its place says when there is none") {
  ShimJob job({"true"});
  os::make_directories(job.directory);
  Launcher launcher(BERTH_SHIM);
  os::make_directories(job.file(kEndingReserve));
  CHECK_THROWS_AS(launcher.launch(job.directory, job.launch, Handover::memory), Error);
  os::remove_tree(job.file(kEndingReserve));
  CHECK(std::holds_alternative<NeverRan>(inspect(job.directory)));
}

TEST_CASE("a supervisor that comes late finds nothing to run: revoked, or its claim was taken away") {
  ShimJob job(shell("echo ran"));
  Launcher launcher(BERTH_SHIM);
  launcher.prepare("");
  ShimJob before({"true"});
  const auto first = launcher.launch(before.directory, before.launch, Handover::memory);
  const auto server = server_of(first);
  await(first.pidfd);
  // The idle ones do not get to their work before the launch has been given up.
  REQUIRE(::kill(server, SIGSTOP) == 0);
  for (const auto idle : children_of(server)) REQUIRE(::kill(idle, SIGSTOP) == 0);
  std::thread giving([&] { launcher.launch(job.directory, job.launch, Handover::memory); });
  wait_until("it is there to be claimed", [&] { return os::exists(job.file(kClaimFile)); });
  SUBCASE("revoked") { CHECK(std::holds_alternative<NeverRan>(inspect(job.directory))); }
  SUBCASE("taken away") { os::remove_file(job.file(kClaimFile)); }
  for (const auto idle : children_of(server)) ::kill(idle, SIGCONT);
  REQUIRE(::kill(server, SIGCONT) == 0);
  giving.join();
  ShimJob after(shell("echo after"));
  const auto next = launcher.launch(after.directory, after.launch, Handover::memory);
  await(next.pidfd);
  CHECK(after.log() == "after\n");
  CHECK_FALSE(os::exists(job.file(kEndingFile)));
  CHECK_FALSE(os::exists(job.file(kStartedFile)));
}

TEST_CASE("when the supervisors' server is killed, its jobs run on and the next launch has another") {
  ShimJob first(shell("read x < \"$F\"; echo $x"));
  const auto fifo = first.scratch("fifo");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  first.launch.environment.push_back("F=" + fifo);
  Launcher launcher(BERTH_SHIM);
  const auto one = launcher.launch(first.directory, first.launch, Handover::memory);
  first.await_started();
  const auto server = server_of(one);
  REQUIRE(os::read_file("/proc/" + std::to_string(server) + "/cmdline").find("--server") != std::string::npos);
  REQUIRE(::kill(server, SIGKILL) == 0);
  wait_until("the server is dead", [&] { return !alive(server); });
  // Its idle supervisors have ended with it; there is a new server.
  for (int i = 0; i < 4; ++i) {
    ShimJob next(shell("echo next"));
    const auto supervisor = launcher.launch(next.directory, next.launch, Handover::memory);
    await(supervisor.pidfd);
    CHECK(next.log() == "next\n");
  }
  std::ofstream(fifo) << "on\n";
  await(one.pidfd);
  CHECK(first.log() == "on\n");
}
