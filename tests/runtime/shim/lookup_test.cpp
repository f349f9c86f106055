// Commands that cannot be run: each kind is told in plain words, with the remedy.

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "tests/runtime/shim/shim_job.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace berth::shim;
using namespace berth::shim::test;

namespace {

// How the command `name` fails in a directory with these files.
struct Fixture {
  explicit Fixture(const std::string& command) : job({command}) {
    os::make_directories(job.scratch("work/data"));
    job.launch.working_directory = job.scratch("work");
  }
  void file(const std::string& name, std::string_view content, unsigned mode) {
    os::write_file(job.scratch("work/" + name), content, mode, os::Durable::no);
  }
  NotStarted run() { return std::get<NotStarted>(job.run().outcome); }
  ShimJob job;
};

}  // namespace

TEST_CASE("a command that is nowhere on PATH") {
  Fixture fixture("train.sh");
  const auto reason = fixture.run();
  CHECK(reason.exit_code == 127);
  CHECK(reason.reason == "train.sh: command not found on PATH (/usr/bin:/bin)");
}

TEST_CASE("a command that only the working directory has") {
  Fixture fixture("train.sh");
  fixture.file("train.sh", "#!/bin/sh\n", 0755);
  const auto reason = fixture.run();
  CHECK(reason.exit_code == 127);
  CHECK(reason.reason ==
        "train.sh: command not found on PATH (/usr/bin:/bin); the working directory has one: write ./train.sh");
}

TEST_CASE("a path that does not exist") {
  Fixture fixture("./train.sh");
  const auto reason = fixture.run();
  CHECK(reason.exit_code == 127);
  CHECK(reason.reason == "./train.sh: no such file");
}

TEST_CASE("a directory") {
  Fixture fixture("./data");
  const auto reason = fixture.run();
  CHECK(reason.exit_code == 126);
  CHECK(reason.reason == "./data: is a directory, not a program");
}

TEST_CASE("a file without the executable bit") {
  Fixture fixture("./train.sh");
  fixture.file("train.sh", "#!/bin/sh\n", 0644);
  const auto reason = fixture.run();
  CHECK(reason.exit_code == 126);
  CHECK(reason.reason ==
        "./train.sh: is not executable; run `chmod +x ./train.sh`, or name its interpreter, as in "
        "`bash ./train.sh`");
}

TEST_CASE("a file on PATH without the executable bit gives way to a later one with it") {
  Fixture fixture("true");
  fixture.file("true", "not a program", 0644);
  fixture.job.launch.environment = {"PATH=" + fixture.job.scratch("work") + ":/usr/bin:/bin"};
  CHECK(std::get<os::Exit>(fixture.job.run().outcome).status == 0);
}

TEST_CASE("a script whose interpreter does not exist") {
  Fixture fixture("./train.py");
  fixture.file("train.py", "#!/opt/missing/python3 -u\n", 0755);
  const auto reason = fixture.run();
  CHECK(reason.exit_code == 126);
  CHECK(reason.reason ==
        "./train.py: bad interpreter: its first line names /opt/missing/python3, which does not exist "
        "on this machine");
}

TEST_CASE("a script with Windows line ends") {
  Fixture fixture("./train.sh");
  fixture.file("train.sh", "#!/bin/sh\r\necho hello\r\n", 0755);
  const auto reason = fixture.run();
  CHECK(reason.exit_code == 126);
  CHECK(reason.reason.find("its lines end in carriage returns") != std::string::npos);
}

TEST_CASE("a script without a first line that names its interpreter") {
  Fixture fixture("./train.sh");
  fixture.file("train.sh", "echo hello\n", 0755);
  const auto reason = fixture.run();
  CHECK(reason.exit_code == 126);
  CHECK(reason.reason.find("neither a program nor a script with a #! line") != std::string::npos);
}

TEST_CASE("a program for another kind of machine") {
  Fixture fixture("./train");
  std::string header = os::read_file(program("write_lines")).substr(0, 4096);
  header[18] = '\x15';  // e_machine: PowerPC
  fixture.file("train", header, 0755);
  const auto reason = fixture.run();
  CHECK(reason.exit_code == 126);
  CHECK(reason.reason == "./train: is a program for another kind of machine");
}

TEST_CASE("a program behind a directory that the job's user may not pass") {
  SKIP_UNLESS(is_root(), "root");
  ShimJob job({"true"});
  job.launch.identity = os::Identity{65534, 65534, {}, "nobody", "/", "/bin/sh"};
  job.launch.command = {job.scratch("train.sh")};
  os::write_file(job.scratch("train.sh"), "#!/bin/sh\n", 0755, os::Durable::no);
  const auto reason = std::get<NotStarted>(job.run().outcome);
  CHECK(reason.exit_code == 126);
  CHECK(reason.reason.find("permission denied: user id 65534 may not pass through " +
                           os::parent_of(job.scratch("train.sh"))) != std::string::npos);
}

TEST_CASE("arguments longer than the kernel takes") {
  ShimJob job({"true", std::string(200'000, 'x')});
  const auto reason = std::get<NotStarted>(job.run().outcome);
  CHECK(reason.reason == "true: its arguments and environment are longer than the kernel allows");
}
