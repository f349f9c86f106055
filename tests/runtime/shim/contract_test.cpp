// The files between agent and shim. The golden files are what version 1.0 wrote: they must be read for ever,
// and what is written today must not differ without a new version.

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/shim/contract.hpp"

using namespace berth;
using namespace berth::shim;

namespace {

// What a released version wrote. These files never change: whatever the contract becomes, they must be read.
std::string golden(const std::string& name, const std::string& version = "1.0") {
  return os::read_file(os::join(BERTH_GOLDEN, version + "/" + name));
}

std::string current(const std::string& name) { return golden(name, "1.4"); }

Instant instant(const char* text) { return *parse_rfc3339(text); }

Launch full_launch() {
  Launch launch;
  launch.job_id = "01J9Z3";
  launch.boot_id = "a4c6f0de-0000-4000-8000-000000000001";
  launch.command = {"python3", "train.py", "--name", "Zoë \xff"};
  launch.environment = {"PATH=/usr/bin:/bin", "A=b c"};
  launch.working_directory = "/srv/jobs/1/tree";
  launch.identity = os::Identity{1000, 1001, {27, 44}, "anna", "/home/anna", "/bin/bash"};
  launch.overlay =
      os::Overlay{{"/srv/a", "/srv/b"}, "/srv/jobs/1/upper", "/srv/jobs/1/overlay-work", "/srv/jobs/1/tree"};
  launch.cgroup = "/sys/fs/cgroup/berth-jobs.scope/1";
  launch.limits.memory = (8_GiB).bytes();
  launch.limits.cpu_milli = 2500;
  launch.limits.pids = 300;
  launch.limits.cpu_weight = 250;
  launch.devices = {{195, {0, 254, 255}}, {236, {}}};
  launch.tmp = Tmp{"/srv/jobs/1/tmp", 2_GiB};
  launch.network = false;
  launch.nice = 5;
  launch.goes_first = true;
  launch.core_dumps = true;
  launch.protection =
      Protection{{"/srv/state"},
                 {"/srv/jobs/1/tree"},
                 os::Overlay{{"/srv/env"}, "/srv/jobs/1/environment/upper", "/srv/jobs/1/environment/work", "/srv/env"},
                 true};
  launch.timeout = std::chrono::hours(2);
  launch.stop_signal = 10;
  launch.stop_grace = std::chrono::milliseconds(2500);
  launch.log_cap = 64_MiB;
  launch.secret_place = SecretPlace{"/srv/jobs/1/secrets", true};
  return launch;
}

Started full_started() {
  return {kVersion,    "a4c6f0de-0000-4000-8000-000000000001", {100, 2000},
          {101, 2001}, "/sys/fs/cgroup/berth-jobs.scope/1",    instant("2026-03-14T15:09:26.535897Z")};
}

Ended full_ended(Outcome outcome) {
  Ended ended;
  ended.outcome = std::move(outcome);
  ended.stopped_because = "timed_out";
  ended.started = instant("2026-03-14T15:09:26.535897Z");
  ended.ended = instant("2026-03-14T17:09:26.535899Z");
  ended.duration = std::chrono::microseconds(7'200'000'002);
  ended.user_cpu = std::chrono::microseconds(123);
  ended.system_cpu = std::chrono::microseconds(45);
  ended.peak_memory = 3_GiB;
  ended.io_read = 5_MiB;
  ended.io_written = 6_MiB;
  ended.out_of_memory_kills = 1;
  ended.log_bytes = 77;
  ended.remarks = {"without a device filter"};
  return ended;
}

}  // namespace

TEST_CASE("all files are written as version 1.4 wrote them, and read back whole") {
  CHECK(to_text(full_launch()) == current("launch.json"));
  CHECK(to_text(full_started()) == current("started.json"));
  CHECK(to_text(Stop{kVersion, 2, std::chrono::seconds(30), "canceled"}) == current("stop.json"));
  CHECK(to_text(full_ended(os::Exit{false, 3})) == current("ending-exited.json"));
  CHECK(to_text(full_ended(os::Exit{true, 9})) == current("ending-signalled.json"));
  CHECK(to_text(full_ended(NotStarted{126, "./a: is a directory"})) == current("ending-not-started.json"));
  CHECK(to_text(launch_from_text(current("launch.json"))) == current("launch.json"));
  CHECK(to_text(started_from_text(current("started.json"))) == current("started.json"));
  CHECK(to_text(stop_from_text(current("stop.json"))) == current("stop.json"));
  CHECK(to_text(ended_from_text(current("ending-exited.json"))) == current("ending-exited.json"));
}

TEST_CASE("version 1.2's launch, which knew no secrets, is read") {
  CHECK_FALSE(launch_from_text(golden("launch.json", "1.2")).secret_place);
}

TEST_CASE("secrets are in no launch.json, and read back whole from their own file, whatever bytes they are") {
  auto launch = full_launch();
  launch.secrets = {{"HF_TOKEN=hf_4711"}, {"curl", "https://me:pw@host"}, {{"CERT", std::string("\0\xff\n", 3)}}};
  CHECK(to_text(launch) == current("launch.json"));
  const auto read = secrets_from_text(to_text(launch.secrets));
  CHECK(read.environment == launch.secrets.environment);
  CHECK(read.command == launch.secrets.command);
  CHECK(read.files == launch.secrets.files);
}

TEST_CASE("a launch that is handed over takes its secrets along, and is refused without them") {
  auto launch = full_launch();
  launch.secrets = {{"HF_TOKEN=hf_4711"}, {"curl", "https://me:pw@host"}, {{"CERT", std::string("\0\xff\n", 3)}}};
  const auto text = to_handover(launch);
  const auto read = launch_from_handover(text);
  CHECK(to_text(read) == to_text(launch));
  CHECK(read.secrets.files == launch.secrets.files);
  CHECK(read.secrets.command == launch.secrets.command);
  CHECK_THROWS_WITH(launch_from_handover(to_text(launch)), "the job's secrets are not there");
  CHECK_THROWS_WITH(launch_from_handover(text.substr(0, text.size() - 3)), "the job's secrets cannot be read");
  launch.secret_place.reset();
  CHECK(to_handover(launch) == to_text(launch));
  CHECK(launch_from_handover(to_text(launch)).secrets.empty());
}

TEST_CASE("version 1.0's launch is read") {
  const auto launch = launch_from_text(golden("launch.json"));
  const auto expected = full_launch();
  CHECK(launch.version.major == 1);
  CHECK(launch.version.minor == 0);
  CHECK(launch.job_id == expected.job_id);
  CHECK(launch.boot_id == expected.boot_id);
  CHECK(launch.command == expected.command);
  CHECK(launch.environment == expected.environment);
  CHECK(launch.working_directory == expected.working_directory);
  REQUIRE(launch.identity);
  CHECK(launch.identity->uid == 1000);
  CHECK(launch.identity->gid == 1001);
  CHECK(launch.identity->groups == std::vector<gid_t>{27, 44});
  CHECK(launch.identity->name == "anna");
  CHECK(launch.identity->home == "/home/anna");
  REQUIRE(launch.overlay);
  CHECK(launch.overlay->lower == expected.overlay->lower);
  CHECK(launch.overlay->upper == expected.overlay->upper);
  CHECK(launch.overlay->work == expected.overlay->work);
  CHECK(launch.overlay->target == expected.overlay->target);
  CHECK(launch.cgroup == expected.cgroup);
  CHECK(launch.timeout == expected.timeout);
  CHECK(launch.stop_signal == 10);
  CHECK(launch.stop_grace == expected.stop_grace);
  CHECK(launch.log_cap == 64_MiB);
}

TEST_CASE("what a launch says of its sandbox is read as it was written") {
  auto launch = full_launch();
  launch.sandbox = os::Sandbox{{"/a", "/b \xff"}, {"/c"}, {"/d", "/e"}, "/a/tmp", 4096};
  CHECK(launch_from_text(to_text(launch)).sandbox == launch.sandbox);
  CHECK(!launch_from_text(to_text(full_launch())).sandbox);
}

TEST_CASE("the least launch gets the defaults") {
  const auto launch = launch_from_text(R"({"version": {"major": 1}, "command": ["ls"], "environment": []})");
  CHECK_FALSE(launch.identity);
  CHECK_FALSE(launch.overlay);
  CHECK_FALSE(launch.timeout);
  CHECK(launch.cgroup.empty());
  CHECK(launch.stop_signal == 15);
  CHECK(launch.stop_grace == std::chrono::seconds(10));
  CHECK(launch.log_cap == 1_GiB);
}

TEST_CASE("version 1.0's started is read") {
  const auto started = started_from_text(golden("started.json"));
  CHECK(started.boot_id == full_started().boot_id);
  CHECK(started.shim == os::ProcessId{100, 2000});
  CHECK(started.job == os::ProcessId{101, 2001});
  CHECK(started.cgroup == full_started().cgroup);
  CHECK(started.time == full_started().time);
}

TEST_CASE("version 1.0's stop is read") {
  const auto stop = stop_from_text(golden("stop.json"));
  CHECK(stop.signal == 2);
  CHECK(stop.grace == std::chrono::seconds(30));
  CHECK(stop.reason == "canceled");
}

TEST_CASE("each kind of version 1.0's endings is read") {
  const auto exited = full_ended(os::Exit{false, 3});
  const auto read = ended_from_text(golden("ending-exited.json"));
  CHECK(std::get<os::Exit>(read.outcome).status == 3);
  CHECK_FALSE(std::get<os::Exit>(read.outcome).signalled);
  CHECK(read.stopped_because == "timed_out");
  CHECK(read.started == exited.started);
  CHECK(read.ended == exited.ended);
  CHECK(read.duration == exited.duration);
  CHECK(read.user_cpu == exited.user_cpu);
  CHECK(read.system_cpu == exited.system_cpu);
  CHECK(read.peak_memory == 3_GiB);
  CHECK(read.out_of_memory_kills == 1);
  CHECK(read.log_bytes == 77);

  CHECK(std::get<os::Exit>(ended_from_text(golden("ending-signalled.json")).outcome).signalled);

  const auto not_started = std::get<NotStarted>(ended_from_text(golden("ending-not-started.json")).outcome);
  CHECK(not_started.exit_code == 126);
  CHECK(not_started.reason == "./a: is a directory");
}

TEST_CASE("malformed text is corrupt, and a newer major version unsupported") {
  const auto code = [](auto read, const char* text) {
    try {
      read(text);
    } catch (const Error& error) {
      return error.code();
    }
    return Code::internal;
  };
  CHECK(code(launch_from_text, "") == Code::corrupt);
  CHECK(code(started_from_text, "[1]") == Code::corrupt);
  CHECK(code(stop_from_text, R"({"version": {"major": 1}, "signal": "TERM"})") == Code::corrupt);
  CHECK(code(ended_from_text, R"({"version": {"major": 1}, "outcome": {"vanished": 1}})") == Code::corrupt);
  CHECK(code(started_from_text, R"({"version": {"major": 1}, "shim": {"pid": 1, "start_ticks": 1},
                                    "job": {"pid": 2, "start_ticks": 2}, "time": "yesterday"})") == Code::corrupt);
  CHECK(code(launch_from_text, R"({"version": {"major": 2}})") == Code::unsupported);
  CHECK(code(ended_from_text, R"({"version": {"major": 9}})") == Code::unsupported);
}
