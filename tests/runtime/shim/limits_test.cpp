// What the supervisor puts on a job without a controller's help. Memory, CPU and pids need a kernel with cgroup2
// controllers: tests/system has them in a virtual machine.

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "runtime/os/mount.hpp"
#include "tests/runtime/shim/shim_job.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace berth::shim;
using namespace berth::shim::test;

namespace {

bool exited_well(const Ended& ended) {
  const auto* exit = std::get_if<os::Exit>(&ended.outcome);
  return exit != nullptr && !exit->signalled && exit->status == 0;
}

}  // namespace

TEST_CASE("a temporary directory of a given size is full when that is used, and nobody else sees it") {
  SKIP_UNLESS(is_root(), "root");
  ShimJob job(
      shell("cd \"$T\"; stat -f -c %T .; head -c 900K /dev/zero > a && echo fits; "
            "head -c 900K /dev/zero > b || echo full; stat -c '%u %a' ."));
  const auto path = job.scratch("tmp");
  os::make_directories(path, 0700);
  job.launch.environment.push_back("T=" + path);
  job.launch.tmp = Tmp{path, 1_MiB};
  CHECK(exited_well(job.run()));
  const auto log = job.log();
  CHECK(log.starts_with("tmpfs\nfits\n"));
  CHECK(log.find("No space left on device") != std::string::npos);
  CHECK(log.ends_with("full\n0 700\n"));
  CHECK_FALSE(os::exists(path + "/a"));
}

TEST_CASE("without network there is a loopback device that works, and nothing else") {
  SKIP_UNLESS(is_root(), "root");
  ShimJob job({"python3", "-c",
               "import os, socket\n"
               "print(sorted(os.listdir('/proc/self/net/dev_snmp6') if os.path.exists('/proc/self/net/dev_snmp6') else "
               "['lo']))\n"
               "s = socket.create_server(('127.0.0.1', 0))\n"
               "c = socket.create_connection(s.getsockname()); print('loopback')\n"
               "try: socket.create_connection(('192.0.2.1', 80), 5)\n"
               "except OSError as e: print(e.errno)\n"});
  job.launch.network = false;
  CHECK(exited_well(job.run()));
  CHECK(job.log() == "['lo']\nloopback\n" + std::to_string(ENETUNREACH) + "\n");
}

TEST_CASE("core dumps are off unless they are asked for") {
  ShimJob job(shell("ulimit -c"));
  CHECK(exited_well(job.run()));
  CHECK(job.log() == "0\n");
  rlimit ours{};
  ::getrlimit(RLIMIT_CORE, &ours);
  ShimJob asked(shell("ulimit -c"));
  asked.launch.core_dumps = true;
  CHECK(exited_well(asked.run()));
  CHECK((asked.log() == "0\n") == (ours.rlim_max == 0));
}

TEST_CASE("a job does not inherit the agent's many descriptors, nor its safety from the out-of-memory killer") {
  SKIP_UNLESS(is_root(), "root");
  ShimJob job(shell("ulimit -n; cat /proc/self/oom_score_adj"));
  CHECK(exited_well(job.run()));
  rlimit ours{};
  ::getrlimit(RLIMIT_NOFILE, &ours);
  CHECK(job.log() == std::to_string(std::min<rlim_t>(ours.rlim_max, 65'536)) + "\n0\n");
}

TEST_CASE("what has claimed no memory goes first when the machine has none left") {
  ShimJob job(shell("cat /proc/self/oom_score_adj"));
  job.launch.goes_first = true;
  CHECK(exited_well(job.run()));
  CHECK(job.log() == "1000\n");
}

TEST_CASE("a job is as urgent as its launch says") {
  ShimJob usual({"nice"});
  CHECK(exited_well(usual.run()));
  ShimJob nicer({"nice"});
  nicer.launch.nice = 3;
  CHECK(exited_well(nicer.run()));
  CHECK(std::stoi(nicer.log()) == std::stoi(usual.log()) + 3);
}

TEST_CASE("a limit that its group's controllers do not know is left out") {
  SKIP_UNLESS(cgroup_base(), kGroups);
  ShimJob job({"true"});
  job.use_cgroup();
  job.launch.limits.memory = (1_GiB).bytes();
  job.launch.limits.pids = 10;
  job.launch.limits.cpu_milli = 500;
  CHECK(exited_well(job.run()));
}

TEST_CASE("a job that is asked to stop can read why, and how long it has") {
  ShimJob job(shell("trap 'cat \"$BERTH_STOP_REASON\"; exit 3' TERM; echo ready; while :; do sleep 0.02; done"));
  job.launch.environment.push_back("BERTH_STOP_REASON=" + job.file(kStopReasonFile));
  job.start();
  job.await_log("ready");
  CHECK_FALSE(os::exists(job.file(kStopReasonFile)));
  request_stop(job.directory, {kVersion, SIGTERM, std::chrono::milliseconds(20'500), kStoppedDrain});
  const auto ended = job.end();
  CHECK(job.log() == "ready\ndrain\n21\n");
  CHECK(ended.stopped_because == "drain");
  CHECK(std::get<os::Exit>(ended.outcome).status == 3);
}

TEST_CASE("the reason is told before a time limit's signal as well, and can be read by the job's user") {
  SKIP_UNLESS(is_root(), "root");
  ShimJob job(shell("trap 'cat \"$BERTH_STOP_REASON\"; exit 0' TERM; while :; do sleep 0.02; done"));
  os::make_directories(job.directory, 0711);
  ::chmod(os::parent_of(job.directory).c_str(), 0711);
  job.launch.identity = os::Identity{65534, 65534, {}, "nobody", "/nonexistent", "/usr/sbin/nologin"};
  job.launch.environment.push_back("BERTH_STOP_REASON=" + job.file(kStopReasonFile));
  job.launch.timeout = std::chrono::milliseconds(100);
  job.launch.stop_grace = std::chrono::seconds(20);
  CHECK(job.run().stopped_because == "timed_out");
  CHECK(job.log() == "timed_out\n20\n");
}
