// Where and as whom the command runs.

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "tests/runtime/shim/shim_job.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace berth::shim;
using namespace berth::shim::test;

namespace {

NotStarted not_started(const Ended& ended) { return std::get<NotStarted>(ended.outcome); }

os::Identity nobody() { return {65534, 65534, {}, "nobody", "/nonexistent", "/usr/sbin/nologin"}; }

}  // namespace

TEST_CASE("the environment is the launch's and the mark, nothing else") {
  ShimJob job({"env"});
  job.launch.environment = {"PATH=/usr/bin:/bin", "A=b c", "BERTH_LAUNCH=/forged"};
  job.run();
  CHECK(job.log() == "PATH=/usr/bin:/bin\nA=b c\nBERTH_LAUNCH=" + job.directory + "\n");
}

TEST_CASE("bytes that are not UTF-8 survive in arguments and environment") {
  ShimJob job({"sh", "-c", "printf '%s|%s' \"$1\" \"$A\"", "sh", "\xff\xfe"});
  job.launch.environment.push_back("A=\x80z");
  job.run();
  CHECK(job.log() == "\xff\xfe|\x80z");
}

TEST_CASE("a tree that is mounted already is made the user's") {
  SKIP_UNLESS(is_root(), "root");
  ShimJob job({"sh", "-c", "echo made >made; cat made"});
  const auto tree = job.file("tree");
  os::make_directories(tree, 0700);
  for (const auto& above : {job.scratch(""), job.directory}) ::chmod(above.c_str(), 0711);
  job.launch.identity = nobody();
  job.launch.overlay = os::Overlay{{}, job.file("upper"), job.file("overlay-work"), tree};
  job.launch.working_directory = tree;
  job.run();
  CHECK(job.log() == "made\n");
}

TEST_CASE("a working directory that does not exist is told") {
  ShimJob job({"true"});
  job.launch.working_directory = "/no/such/place";
  const auto reason = not_started(job.run());
  CHECK(reason.exit_code == 126);
  CHECK(reason.reason == "the working directory /no/such/place does not exist");
  CHECK_FALSE(os::exists(job.file(kStartedFile)));
}

TEST_CASE("a working directory that is a file is told") {
  ShimJob job({"true"});
  job.launch.working_directory = "/etc/passwd";
  CHECK(not_started(job.run()).reason == "the working directory /etc/passwd is not a directory");
}

TEST_CASE("a job of another user has nothing of root") {
  SKIP_UNLESS(is_root(), "root");
  ShimJob job({program("print_identity"), "/etc/shadow"});
  job.launch.identity = nobody();
  job.launch.identity->groups = {65534, 12345};
  // The test programs may lie where nobody cannot pass.
  const os::TempDir open;
  ::chmod(open.path().c_str(), 0755);
  os::write_file(open / "print_identity", os::read_file(program("print_identity")), 0755, os::Durable::no);
  job.launch.command.front() = open / "print_identity";
  job.run();
  CHECK(job.log() ==
        "uid 65534 65534 gid 65534 65534\ngroups 12345 65534\nno_new_privs 1\numask 022\nsession own\n"
        "read Permission denied\ndescriptors 0\n");
}

TEST_CASE("a working directory closed to the job's user is told with the directory that closes it") {
  SKIP_UNLESS(is_root(), "root");
  ShimJob job({"true"});
  const os::TempDir closed;
  os::make_directories(closed / "inner");
  job.launch.identity = nobody();
  job.launch.working_directory = closed / "inner";
  const auto reason = not_started(job.run());
  CHECK(reason.exit_code == 126);
  CHECK(reason.reason == "the working directory " + (closed / "inner") +
                             " cannot be entered: user id 65534 may not pass through " + closed.path() +
                             "; check its owner and mode");
}

TEST_CASE("an overlay is the job's own writable view of a tree that stays as it is") {
  SKIP_UNLESS(is_root(), "root");
  const os::TempDir lower;
  ::chmod(lower.path().c_str(), 0755);
  os::write_file(lower / "code.txt", "original\n", 0644, os::Durable::no);
  REQUIRE(::chown((lower / "code.txt").c_str(), 65534, 65534) == 0);
  ShimJob job(shell("cat code.txt && echo changed > code.txt && echo new > made.txt && cat code.txt"));
  ::chmod(job.scratch("").c_str(), 0755);
  job.launch.identity = nobody();
  job.launch.overlay = os::Overlay{{lower.path()}, job.file("upper"), job.file("overlay-work"), job.file("tree")};
  job.launch.working_directory = job.file("tree");
  const auto ended = job.run();
  CHECK(job.log() == "original\nchanged\n");
  CHECK(std::get<os::Exit>(ended.outcome).status == 0);
  CHECK(os::read_file(lower / "code.txt") == "original\n");
  CHECK(os::read_file(job.file("upper/code.txt")) == "changed\n");
  CHECK(os::read_file(job.file("upper/made.txt")) == "new\n");
  CHECK_FALSE(os::exists(job.file("tree/code.txt")));  // the mount was the job's alone
}

TEST_CASE("an overlay that cannot be mounted is told") {
  SKIP_UNLESS(is_root(), "root");
  ShimJob job({"true"});
  job.launch.overlay = os::Overlay{{"/no/such/layer"}, job.file("upper"), job.file("overlay-work"), job.file("tree")};
  const auto reason = not_started(job.run());
  CHECK(reason.exit_code == 126);
  CHECK(reason.reason.starts_with("cannot mount an overlay on " + job.file("tree")));
}

TEST_CASE("secrets are variables and files in memory for the job alone, and lie nowhere once it runs") {
  ShimJob job(
      shell("echo \"$TOKEN $PLAIN $1\"; cd \"$BERTH_SECRETS\"; cat CERT; stat -f -c %T .; stat -c %a CERT; "
            "ls; echo x 2>/dev/null >CERT; rm -f CERT 2>/dev/null || echo stays; read -r word <" +
            std::string("/dev/null")));
  const auto place = job.file("secrets");
  os::make_directories(place, 0700);
  if (::geteuid() == 0) {
    for (const auto& above : {job.scratch(""), job.directory}) ::chmod(above.c_str(), 0711);
    job.launch.identity = nobody();
    REQUIRE(::chown(place.c_str(), 65534, 65534) == 0);
  }
  job.launch.environment.insert(job.launch.environment.end(),
                                {"TOKEN=weaker", "PLAIN=plain", "BERTH_SECRETS=" + place});
  auto command = job.launch.command;
  command.insert(command.end(), {"sh", "https://me:pw@host"});
  job.launch.secret_place = SecretPlace{place, false};
  job.launch.secrets = {{"TOKEN=hf_4711"}, command, {{"CERT", "cert-4712\n"}}};
  const auto ended = job.run();
  const auto log = job.log();
  CHECK(log.starts_with("hf_4711 plain https://me:pw@host\ncert-4712\n"));
  CHECK_FALSE(os::exists(job.file(kSecretsFile)));
  CHECK_FALSE(os::exists(place + "/CERT"));
  for (const auto* text : {"hf_4711", "cert-4712", "pw@host"})
    CHECK(os::read_file(job.file(kLaunchFile)).find(text) == std::string::npos);
  if (ended.remarks.empty()) {
    CHECK(log.find("tmpfs\n400\nCERT\nstays\n") != std::string::npos);
  } else {
    CHECK(ended.remarks.front().starts_with("its secrets lay in a directory on disk"));
  }
}

TEST_CASE("a job whose secrets are not there is not started") {
  ShimJob job({"true"});
  job.launch.secret_place = SecretPlace{};
  write_launch(job.directory, job.launch);
  os::remove_file(job.file(kSecretsFile));
  job.shim = os::spawn({.arguments = {BERTH_SHIM, job.directory}});
  CHECK(not_started(job.end()).reason.find("secrets are not there") != std::string::npos);
}
