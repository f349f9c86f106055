#include <doctest/doctest.h>

#include "tests/runtime/shim/shim_job.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace berth::shim;
using namespace berth::shim::test;

namespace {

os::Exit exit_of(const Ended& ended) { return std::get<os::Exit>(ended.outcome); }

}  // namespace

TEST_CASE("a command's exit code comes back") {
  ShimJob job(shell("exit 3"));
  const auto ended = job.run();
  CHECK(!exit_of(ended).signalled);
  CHECK(exit_of(ended).status == 3);
  CHECK(ended.stopped_because.empty());
  CHECK(ended.ended >= ended.started);
  CHECK(ended.duration.count() > 0);
}

TEST_CASE("a command that kills itself is told by its signal") {
  ShimJob job(shell("kill -SEGV $$"));
  const auto ended = job.run();
  CHECK(exit_of(ended).signalled);
  CHECK(exit_of(ended).status == SIGSEGV);
}

TEST_CASE("standard output and error are one log in the order of writing, and there is no input") {
  ShimJob job(shell("echo one; echo two >&2; echo three; cat; exit 0"));
  const auto ended = job.run();
  CHECK(job.log() == "one\ntwo\nthree\n");
  CHECK(ended.log_bytes == 14);
}

TEST_CASE("processor time and memory of the whole tree are counted, orphans included") {
  ShimJob job(
      shell("sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done' & "
            "while ! grep -q done \"$BERTH_LAUNCH/log\"; do sleep 0.02; done"));
  const auto ended = job.run();
  CHECK(ended.user_cpu + ended.system_cpu > std::chrono::milliseconds(5));
  CHECK(ended.peak_memory > 100_KiB);
}

TEST_CASE("in a control group the same is told") {
  SKIP_UNLESS(cgroup_base(), kGroups);
  ShimJob job(shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; cat /proc/self/cgroup; exit 4"));
  job.use_cgroup();
  const auto ended = job.run();
  CHECK(exit_of(ended).status == 4);
  CHECK(ended.user_cpu > std::chrono::milliseconds(5));
  CHECK(job.log().find("berth-test-" + std::to_string(::getpid()) + "/job-1\n") != std::string::npos);
  CHECK_FALSE(os::exists(job.launch.cgroup));
  CHECK(started_from_text(os::read_file(job.file(kStartedFile))).cgroup == job.launch.cgroup);
}

TEST_CASE("the shim lives in a group beside the job's") {
  SKIP_UNLESS(cgroup_base(), kGroups);
  ShimJob job(shell("echo up; exec sleep 100"));
  job.use_cgroup();
  job.start();
  job.await_log("up");
  const auto group = os::read_file("/proc/" + std::to_string(job.shim->id.pid) + "/cgroup");
  CHECK(group.find("/shims\n") != std::string::npos);
  request_stop(job.directory, {kVersion, SIGKILL, {}, "canceled"});
  CHECK(job.end().stopped_because == "canceled");
}

TEST_CASE("a control group that cannot be made means a job without one, and it is told") {
  ShimJob job(shell("exit 5"));
  job.launch.cgroup = "/proc/no-such-place/job";
  CHECK(exit_of(job.run()).status == 5);
  CHECK(started_from_text(os::read_file(job.file(kStartedFile))).cgroup.empty());
}

TEST_CASE("a daemon left behind is killed when the command ends") {
  bool grouped = false;
  SUBCASE("by descent") {}
  SUBCASE("by control group") { grouped = true; }
  SKIP_UNLESS(!grouped || cgroup_base(), kGroups);
  ShimJob job({});
  job.launch.command = {program("daemonize"), job.scratch("pid")};
  if (grouped) job.use_cgroup();
  const auto ended = job.run();
  CHECK(exit_of(ended).status == 0);
  CHECK(ended.stopped_because.empty());
  const auto daemon = std::stoi(os::read_file(job.scratch("pid")));
  CHECK_FALSE(alive(daemon));
  CHECK(job.log() == "daemon is up\n");
}

TEST_CASE("the shim takes little memory") {
  SKIP_UNLESS(!BERTH_SANITIZED, "a build without sanitizers");
  ShimJob job(shell("echo up; exec sleep 100"));
  job.start();
  job.await_log("up");
  const auto status = os::read_file("/proc/" + std::to_string(job.shim->id.pid) + "/status");
  const auto rss = std::stoul(status.substr(status.find("VmRSS:") + 6));
  MESSAGE("resident KiB: " << rss);
  CHECK(rss <= 2048);
  request_stop(job.directory, {kVersion, SIGKILL, {}, "canceled"});
  job.end();
}
