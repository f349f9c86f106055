// The plan for jobs in images, proven: the supervisor is the container's first process, the launch directory
// is the same inside and outside, the code tree is an overlay volume of the engine.

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "runtime/docker/engine.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/process.hpp"
#include "runtime/shim/client.hpp"
#include "tests/runtime/docker/failure.hpp"
#include "tests/support/real_engine.hpp"
#include "tests/support/skip.hpp"

namespace berth::docker {
namespace {

using namespace std::chrono_literals;

constexpr uid_t kJobUser = 12'345;
constexpr gid_t kJobGroup = 23'456;

template <class Condition>
void wait_until(const char* what, Condition condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return;
    std::this_thread::sleep_for(10ms);
  }
  FAIL("waited in vain until " << std::string(what));
}

class ImageJob {
 public:
  ImageJob(const test::RealEngine& real, const std::string& script) : engine_(real.engine()) {
    static int count = 0;
    name_ = "berth-test-job-" + std::to_string(++count);
    ::chmod(place_.path().c_str(), 0755);
    for (const char* name : {"code", "tree"}) os::make_directories(place_ / name);
    os::make_directories(launch_directory(), 0711);
    os::write_file(place_ / "code/train.sh", "echo training", 0644, os::Durable::no);
    for (const char* name : {"upper", "work"}) {
      os::make_directories(place_ / name);
      REQUIRE(::chown((place_ / name).c_str(), kJobUser, kJobGroup) == 0);
    }
    write_launch(script);
    engine_.create_overlay_volume(name_, {place_ / "code"}, place_ / "upper", place_ / "work", labels());
    container_ = engine_.create_container(spec());
  }
  ~ImageJob() {
    try {
      engine_.remove_container(container_);
      engine_.remove_volume(name_);
    } catch (const Error& error) {
      MESSAGE(error.describe());
    }
  }

  void start() { engine_.start(container_); }
  Container container() const { return engine_.container(container_); }
  void kill() { engine_.kill(container_); }
  shim::Condition condition() const { return shim::inspect(launch_directory()); }
  std::string launch_directory() const { return place_ / "launch"; }
  std::string tree() const { return place_ / "tree"; }
  std::string at(const std::string& name) const { return place_ / name; }
  std::string log() const { return os::read_file_if_exists(launch_directory() + "/log").value_or(""); }

  shim::Ended ended() const {
    wait_until("the job has ended", [&] { return std::holds_alternative<shim::Over>(condition()); });
    return std::get<shim::Over>(condition()).ended;
  }
  void await_log(const std::string& words) const {
    wait_until("the log says it", [&] { return log().find(words) != std::string::npos; });
  }

 private:
  Labels labels() const { return {{"io.berth.state", "/tests/jobs"}, {"io.berth.launch", launch_directory()}}; }

  void write_launch(const std::string& script) {
    shim::Launch launch;
    launch.job_id = name_;
    launch.boot_id = os::boot_id();
    launch.command = {"sh", "-c", script};
    launch.environment = {"PATH=/bin"};
    launch.working_directory = tree();
    os::Identity identity;
    identity.uid = kJobUser;
    identity.gid = kJobGroup;
    launch.identity = identity;
    os::write_file(launch_directory() + "/launch.json", shim::to_text(launch), 0600, os::Durable::no);
  }

  ContainerSpec spec() const {
    ContainerSpec spec;
    spec.name = name_;
    spec.image = "berth-test/base:1";
    spec.entrypoint = {"/.berth-shim", launch_directory()};
    spec.binds = {{BERTH_STATIC_SHIM, "/.berth-shim", true}, {launch_directory(), launch_directory(), false}};
    spec.volumes = {{name_, tree(), false}};
    spec.labels = labels();
    spec.memory = 256_MiB;
    spec.pids = 100;
    return spec;
  }

  Engine engine_;
  os::TempDir place_;
  std::string name_;
  std::string container_;
};

}  // namespace

TEST_CASE("a job in an image runs as its user, in its tree, with log and ending read from outside") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  ImageJob job(*real, "id -u; id -g; pwd; sh train.sh; echo result > out; ls /proc | grep -c '^[0-9]'; exit 5");
  job.start();
  const auto ended = job.ended();
  CHECK(std::get<os::Exit>(ended.outcome).status == 5);
  CHECK(!std::get<os::Exit>(ended.outcome).signalled);
  const auto log = job.log();
  CHECK_MESSAGE(log.find("12345\n23456\n" + job.tree() + "\ntraining\n") == 0, log);
  CHECK(ended.log_bytes == log.size());
  CHECK(os::read_file(job.at("upper/out")) == "result\n");
  struct stat found {};
  REQUIRE(::stat(job.at("upper/out").c_str(), &found) == 0);
  CHECK(found.st_uid == kJobUser);
  CHECK(!os::exists(job.at("code/out")));
  wait_until("the container has ended", [&] { return !job.container().running; });
  CHECK(job.container().exit_code == 0);  // the supervisor's: the job's own is in the ending
}

TEST_CASE("a running job in an image is seen from outside, and stops when asked") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  ImageJob job(*real, "trap 'echo asked; exit 9' TERM; echo begun; while true; do sleep 0.1; done");
  job.start();
  job.await_log("begun");
  const auto condition = job.condition();
  REQUIRE(std::holds_alternative<shim::Running>(condition));
  const auto& running = std::get<shim::Running>(condition);
  REQUIRE(running.started);
  // Pids of the container's own space: whoever watches takes the engine's.
  CHECK(running.started->shim.pid == 1);
  CHECK(!running.shim);
  const auto pid = job.container().pid;
  CHECK(os::read_file("/proc/" + std::to_string(pid) + "/cmdline").find("/.berth-shim") == 0);
  CHECK(shim::is_supervised(job.launch_directory()));
  const auto marked = os::processes_with_environment("BERTH_LAUNCH=" + job.launch_directory());
  CHECK(!marked.empty());

  shim::Stop stop;
  stop.reason = shim::kStoppedCanceled;
  shim::request_stop(job.launch_directory(), stop);
  const auto ended = job.ended();
  CHECK(std::get<os::Exit>(ended.outcome).status == 9);
  CHECK(ended.stopped_because == shim::kStoppedCanceled);
  CHECK(job.log().find("asked") != std::string::npos);
}

TEST_CASE("a job in an image that does not stop is killed by its supervisor") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  ImageJob job(*real, "trap '' TERM; echo begun; (trap '' TERM; sleep 1000) & while true; do sleep 0.1; done");
  job.start();
  job.await_log("begun");
  shim::Stop stop;
  stop.reason = shim::kStoppedCanceled;
  stop.grace = 200ms;
  shim::request_stop(job.launch_directory(), stop);
  const auto exit = std::get<os::Exit>(job.ended().outcome);
  CHECK(exit.signalled);
  CHECK(exit.status == SIGKILL);
  wait_until("the container has ended", [&] { return !job.container().running; });
}

TEST_CASE("a container that is killed from outside leaves a job that is lost, with nothing of it running") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  ImageJob job(*real, "echo begun; sleep 1000");
  job.start();
  job.await_log("begun");
  job.kill();
  wait_until("the container has ended", [&] { return !job.container().running; });
  CHECK(job.container().exit_code == 137);
  wait_until("it is lost", [&] { return std::holds_alternative<shim::Lost>(job.condition()); });
  CHECK(!std::get<shim::Lost>(job.condition()).rebooted);
  CHECK(os::processes_with_environment("BERTH_LAUNCH=" + job.launch_directory()).empty());
}

TEST_CASE("an engine that is restarted, or crashes, takes its jobs along, and the truth is told") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  for (const std::string signal : {"SIGTERM", "SIGKILL"}) {
    INFO(signal);
    ImageJob job(*real, "echo begun; sleep 1000");
    job.start();
    job.await_log("begun");
    const auto began = std::chrono::steady_clock::now();
    test::restart_daemon(signal);
    CHECK(std::chrono::steady_clock::now() - began < 9s);  // no waiting for a supervisor that hears no SIGTERM
    CHECK(!job.container().running);
    CHECK(std::holds_alternative<shim::Lost>(job.condition()));
    CHECK(os::processes_with_environment("BERTH_LAUNCH=" + job.launch_directory()).empty());
  }
}

TEST_CASE("a job in an image over its memory is killed, and the container goes on to tell") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  ImageJob job(*real, "dd if=/dev/zero of=/dev/null bs=600M count=1; echo \"ended with $?\"");
  job.start();
  const auto ended = job.ended();
  CHECK(std::get<os::Exit>(ended.outcome).status == 0);
  CHECK_MESSAGE(job.log().find("ended with 137") != std::string::npos, job.log());
  CHECK(ended.out_of_memory_kills == 0);  // it has no group of its own to count in:
  wait_until("the container has ended", [&] { return !job.container().running; });
  CHECK(job.container().out_of_memory);  // the engine knows
}

TEST_CASE("a container that was made and never started is a job that never ran") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  ImageJob job(*real, "true");
  CHECK(std::holds_alternative<shim::NeverRan>(job.condition()));
  job.start();  // revoked by that question: the supervisor leaves
  wait_until("the container has ended", [&] { return job.container().status == "exited"; });
  CHECK(job.log().empty());
}

}  // namespace berth::docker
