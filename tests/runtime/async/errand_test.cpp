#include "runtime/async/errand.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <sstream>
#include <thread>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace std::chrono_literals;

namespace {

constexpr const char* kOwnStatus = "/proc/self/status";

os::SpawnOptions shell(const std::string& script) {
  os::SpawnOptions options;
  options.arguments = {"/bin/sh", "-c", script};
  options.environment = {"PATH=/usr/bin:/bin"};
  return options;
}

async::ErrandGround ground() {
  async::ErrandGround ground;
  if (const auto base = os::find_cgroup_base(""))
    ground.cgroup_base = os::join(*base, "berth-test-" + std::to_string(::getpid()));
  return ground;
}

// Removes what the errands' groups were made below.
struct Base {
  async::ErrandGround ground = ::ground();
  ~Base() {
    if (!ground.cgroup_base.empty()) ::rmdir(ground.cgroup_base.c_str());
  }
};

bool lives(pid_t pid) {
  const auto stat = os::read_file_if_exists("/proc/" + std::to_string(pid) + "/stat");
  return stat && stat->find(") Z") == std::string::npos;
}

bool within_seconds(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000 && !condition(); ++i) std::this_thread::sleep_for(10ms);
  return condition();
}

std::string line_of(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(key)) return line.substr(key.size());
  return "";
}

}  // namespace

TEST_CASE("an errand has a user's identity, no privileges, and nothing of ours") {
  Base base;
  auto program = shell(std::string("cat ") + kOwnStatus +
                       "; ls /proc/self/fd; env; ulimit -c; echo score $(cat /proc/self/oom_score_adj)");
  if (::geteuid() == 0) program.identity = os::Identity{65534, 65534, {65534}, "nobody", "/", "/bin/sh"};
  async::Errand errand(base.ground, program);
  const auto finished = errand.run(60s, {});
  REQUIRE(finished.exit.status == 0);
  CHECK(line_of(finished.output, "NoNewPrivs:\t") == "1");
  if (::geteuid() == 0) {
    CHECK(line_of(finished.output, "Uid:\t") == "65534\t65534\t65534\t65534");
    CHECK(line_of(finished.output, "Gid:\t") == "65534\t65534\t65534\t65534");
    CHECK(line_of(finished.output, "Groups:\t").starts_with("65534"));
    for (const char* set : {"CapInh:\t", "CapPrm:\t", "CapEff:\t", "CapAmb:\t"})
      CHECK(line_of(finished.output, set) == "0000000000000000");
  }
  CHECK(finished.output.find("\n0\n1\n2\n3\n") != std::string::npos);  // 3 is ls's own
  CHECK(finished.output.find("\n4\n") == std::string::npos);
  CHECK(finished.output.find("HOME=") == std::string::npos);
  CHECK(finished.output.ends_with("\nscore 1000\n"));
}

TEST_CASE("daemons that an errand left end with it, whatever session they are in") {
  Base base;
  const os::TempDir directory;
  const auto pids = directory / "pid";
  {
    async::Errand errand(base.ground, shell("setsid sleep 1000 >/dev/null 2>&1 & echo $! >" + pids + ".new; mv " +
                                            pids + ".new " + pids));
    CHECK(errand.run(60s, {}).exit.status == 0);
  }
  const auto pid = static_cast<pid_t>(std::stol(os::read_file(pids)));
  CHECK(within_seconds([&] { return !lives(pid); }));
  if (!base.ground.cgroup_base.empty()) CHECK(::rmdir(base.ground.cgroup_base.c_str()) == 0);  // no group is left below
}

TEST_CASE("an errand that hangs ends at its deadline, and sooner when it is stopped") {
  Base base;
  {
    async::Errand errand(base.ground, shell("trap '' TERM; sleep 1000"));
    CHECK_THROWS_AS(errand.run(1s, {}), Error);
  }
  const os::TempDir directory;
  ::chmod(directory.path().c_str(), 0777);
  const auto begun = directory / "begun";
  std::stop_source stop;
  std::thread stopper([&] {
    CHECK(within_seconds([&] { return os::exists(begun); }));
    stop.request_stop();
  });
  {
    async::Errand errand(base.ground, shell("echo >" + begun + "; sleep 1000"));
    CHECK_THROWS_AS(errand.run(300s, stop.get_token()), Cancelled);
  }
  stopper.join();
}

TEST_CASE("an errand's program gets one more descriptor where it is given one") {
  Base base;
  const os::TempDir directory;
  os::write_file(directory / "file", "told\n", 0644, os::Durable::no);
  const auto file = os::open(directory / "file", 0);
  auto program = shell("cat <&3; ls /proc/self/fd");
  program.also = file.get();
  async::Errand errand(base.ground, program);
  CHECK(errand.run(60s, {}).output == "told\n0\n1\n2\n3\n4\n");
}

TEST_CASE("what an errand may use is limited where the kernel has the controller") {
  Base base;
  SKIP_UNLESS(!base.ground.cgroup_base.empty(), "a writable cgroup2 directory");
  base.ground.limits.pids = 20;
  auto group = os::Cgroup::make(base.ground.cgroup_base);
  const auto controllers = group.enable_controllers();
  async::Errand errand(
      base.ground, shell("cat /proc/self/cgroup; i=0; while [ $i -lt 60 ]; do sleep 1 & i=$((i+1)); done; echo all"));
  const auto finished = errand.run(60s, {});
  CHECK(finished.output.find("/errand-") != std::string::npos);
  const bool limited = std::find(controllers.begin(), controllers.end(), "pids") != controllers.end();
  if (limited) CHECK(finished.errors.find("fork") != std::string::npos);
}

TEST_CASE("groups of errands that a killed process left are removed") {
  Base base;
  SKIP_UNLESS(!base.ground.cgroup_base.empty(), "a writable cgroup2 directory");
  {
    const auto left = os::Cgroup::make(base.ground.cgroup_base, "errand-1-1");
    const auto other = os::Cgroup::make(base.ground.cgroup_base, "brave-heron-7k2m-1");
  }
  async::remove_left_errands(base.ground.cgroup_base);
  CHECK_FALSE(os::exists(os::join(base.ground.cgroup_base, "errand-1-1")));
  CHECK(os::exists(os::join(base.ground.cgroup_base, "brave-heron-7k2m-1")));
  ::rmdir(os::join(base.ground.cgroup_base, "brave-heron-7k2m-1").c_str());
}
