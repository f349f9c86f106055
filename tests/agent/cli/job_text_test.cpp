#include "agent/cli/job_text.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/agent/cli/sample.hpp"

using namespace berth;
using namespace berth::cli;

namespace {

const std::vector<JobRecord>& four_jobs() {
  static const std::vector<JobRecord> jobs{{sample::completed(), "", ""},
                                           {sample::failed(), "", ""},
                                           {sample::running(), "", ""},
                                           {sample::queued(), "one of 2 slots is free, it wants 2", ""}};
  return jobs;
}

}  // namespace

TEST_CASE("ps shows one line per job, as wide as need be") {
  CHECK(
      jobs_table(four_jobs(), sample::noon(), {}) ==
      R"(ID                NAME                                 STATE                USER   AGE        RAN        WAITING
brave-heron-7k2m  python3 train.py --name 'two words'  Completed            ada    2 days     1 hour
shy-crane-4def    ./bench.sh                           Failed: exit code 3  grace  2 days     3 seconds
quick-lynx-9abc   digits, large                        Running              ada    5 minutes  1 minute
calm-otter-2xyz   python3 train.py --name 'two words'  Queued               ada    5 minutes             one of 2 slots is free, it wants 2
)");
}

TEST_CASE("ps is fitted to the screen, and its colours stand for states") {
  const auto text = jobs_table(four_jobs(), sample::noon(), {100, false});
  std::size_t begin = 0;
  while (begin < text.size()) {
    const auto end = text.find('\n', begin);
    CHECK(text_width(text.substr(begin, end - begin)) <= 100);
    begin = end + 1;
  }
  CHECK(text.find("brave-heron-7k2m") != std::string::npos);
  CHECK(jobs_table(four_jobs(), sample::noon(), {0, true}).find("\x1b[32mCompleted\x1b[0m") != std::string::npos);
}

TEST_CASE("a hostile name cannot steer the terminal") {
  auto job = sample::running();
  job.request.display_name = "\x1b]0;owned\x07\nfake-row";
  const auto text = jobs_table({{job, "", ""}}, sample::noon(), {});
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  CHECK(job_page({job, "", ""}, sample::noon(), {}).find('\x1b') == std::string::npos);
}

TEST_CASE("show tells the whole record of an ended job, but no values of variables") {
  const auto text = job_page({sample::completed(), "", ""}, sample::noon(), {});
  CHECK(text ==
        R"(brave-heron-7k2m
  State        Completed
  Command      python3 train.py --name 'two words'
  Experiment   digits
  Tags         model=small
  User         ada
  Directory    the snapshot's root
  Variables    TOKEN
  Resources    2 CPUs, 4.0 GiB of memory, 1 GPU, 1 slot
  Limits       no more CPUs than asked for, 300 processes and threads, TMPDIR of 2.0 MiB, no network
  Time limit   2 hours
  Retries      failed=2

Timing
  Submitted    2026-03-12 10:00:00 (2 days ago)
  Started      2026-03-12 10:00:02 (after 2.0 seconds)
  Ended        2026-03-12 11:01:06 (2 days ago)
  Ran          1 hour 1 minute
  Peak memory  1.4 GiB
  CPU time     58 minutes 30 seconds (user 58 minutes, system 30.0 seconds)
  Disk         read 3.0 MiB, wrote 4.0 MiB
  GPU time     1 hour 1 minute

Attempts
  1            was killed by SIGKILL, ran 3.0 seconds, started 2026-03-12 10:00:02 (2 days ago)
  2            exited with code 0, ran 1 hour 1 minute, started 2026-03-12 10:00:06 (2 days ago)

Git
  Repository   https://example.org/digits.git
  Branch       main
  Commit       0123456789abcdef0123456789abcdef01234567 with changes
  Diff         `berth download brave-heron-7k2m --diff`

Code
  Snapshot     abababababab
  Get it       `berth download brave-heron-7k2m --code`

Environment
  Kind         user-managed
  Python       /usr/bin/python3
  Version      3.11.2
  Packages     2

Outputs
  Collected    outputs, checkpoints
  Snapshot     efefefefefef
  Get them     `berth download brave-heron-7k2m`
)");
  CHECK(text.find("secret") == std::string::npos);
}

TEST_CASE("show of a waiting job says why it waits") {
  CHECK(job_page({sample::queued(), "the node is drained", ""}, sample::noon(), {}) == R"(calm-otter-2xyz
  State        Queued
  Waiting      the node is drained
  Command      python3 train.py --name 'two words'
  Experiment   default
  User         ada
  Directory    /home/ada
  Resources    1 CPU, 1 slot

Timing
  Submitted    2026-03-14 11:55:00 (5 minutes ago)
)");
}

TEST_CASE("show tells of a job's container") {
  auto job = sample::queued();
  job.request.environment.kind = model::EnvironmentRequest::Kind::image;
  job.request.working_directory.clear();
  job.request.container = {8_GiB, "--ipc=host", {"registry.example.org"}};
  const auto page = job_page({job, "", ""}, sample::noon(), {});
  CHECK(page.find("  Container    /dev/shm of 8.0 GiB, docker_args --ipc=host, credentials of its own for "
                  "registry.example.org\n") != std::string::npos);
  CHECK(page.find("  Directory    the image's own\n") != std::string::npos);
}

TEST_CASE("show says what was removed of a job, when and why") {
  auto job = sample::completed();
  job.log_removed = model::Removal{sample::noon(), "to make room: disk 93 % full"};
  job.outputs_removed = model::Removal{sample::noon(), "because it ended long ago"};
  job.attempts.back().outputs.reset();
  const auto page = job_page({job, "", ""}, sample::noon(), {});
  CHECK(page.find("  Log          removed on 2026-03-14 12:00:00 to make room: disk 93 % full\n") != std::string::npos);
  CHECK(page.find("  Removed      on 2026-03-14 12:00:00 because it ended long ago\n") != std::string::npos);
  CHECK(page.find("wrote nothing") == std::string::npos);
}

TEST_CASE("show tells what a job changed of its environment, whose alone that is, and what is not known") {
  auto job = sample::completed();
  job.request.environment.kind = model::EnvironmentRequest::Kind::venv;
  const auto changed = [&](model::EnvironmentChanges changes) {
    job.attempts.back().environment_changes = std::move(changes);
    const auto text = job_page({job, "", ""}, sample::noon(), {});
    const auto at = text.find("Changed");
    if (at == std::string::npos) return std::string();
    const auto words = text.find_first_not_of(' ', at + 7);
    return text.substr(words, text.find('\n', words) - words);
  };
  CHECK(changed({}) == "");
  CHECK(changed({.files = 1}) == "1 file (in this job alone)");
  CHECK(changed({.files = 8, .added = {"idna-3.7", "x-1"}, .removed = {"six-1.16"}}) ==
        "8 files; added idna-3.7, x-1; removed six-1.16 (in this job alone)");
  CHECK(changed({.unknown = "a directory cannot be read"}) == "not all is known: a directory cannot be read");
  CHECK(changed({.shared = true}) == "the environment itself, while it ran: it is made again for the jobs after it");
}

TEST_CASE("what of the outputs was not collected as the job left it is told, in brief and whole") {
  auto job = sample::completed();
  CHECK(left_out_text(job, 3).empty());
  REQUIRE_FALSE(job.attempts.empty());
  auto& left_out = job.attempts.back().outputs_left_out;
  left_out = {1, {{"outputs/\x1b[31m", "is a socket, a pipe or a device"}}};
  CHECK(left_out_text(job, 3) ==
        "1 output was not collected as the job left it: outputs/\\x1b[31m is a socket, a pipe or a device");
  left_out = {30, {{"a", "is a pipe"}, {"b", "cannot be read"}}};
  CHECK(left_out_text(job, 1) ==
        "30 outputs were not collected as the job left them: a is a pipe; `berth show " + job.id + "` names more");
  const auto page = job_page({job, "", ""}, sample::noon(), {});
  CHECK(page.find("30 entries not collected as the job left it") != std::string::npos);
  CHECK(page.find("b cannot be read") != std::string::npos);
  CHECK(page.find("and 28 more") != std::string::npos);
}
