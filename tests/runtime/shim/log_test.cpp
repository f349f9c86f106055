// The job's log as the shim keeps it.

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "runtime/logs/reader.hpp"
#include "tests/runtime/shim/shim_job.hpp"

using namespace berth;
using namespace berth::shim;
using namespace berth::shim::test;

namespace {

std::string lines(long count) {
  std::string text;
  char line[32];
  for (long i = 0; i < count; ++i)
    text.append(line, static_cast<std::size_t>(std::snprintf(line, sizeof line, "line %010ld\n", i)));
  return text;
}

long switches(pid_t pid) {
  const auto status = os::read_file("/proc/" + std::to_string(pid) + "/status");
  const auto at = status.find("\nvoluntary_ctxt_switches:");
  return std::stol(status.substr(at + 25));
}

logs::LogReader reader_of(const ShimJob& job) { return {job.file(kLogFile), job.file(kLogIndexFile)}; }

}  // namespace

TEST_CASE("a silent job wakes nobody") {
  ShimJob job(shell("echo up; exec sleep 100"));
  job.start();
  job.await_log("up");
  wait_until("the shim has looked at the log for the last time", [&] {
    const auto before = switches(job.shim->id.pid);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return switches(job.shim->id.pid) == before;
  });
  const auto before = switches(job.shim->id.pid);
  std::this_thread::sleep_for(std::chrono::milliseconds(800));  // what is measured
  CHECK(switches(job.shim->id.pid) == before);
  request_stop(job.directory, {kVersion, SIGKILL, {}, "canceled"});
  job.end();
}

TEST_CASE("a chatty job's log is exact and its index small") {
  ShimJob job({program("write_lines"), "20000", "0"});
  const auto ended = job.run();
  CHECK(job.log() == lines(20000));
  CHECK(ended.log_bytes == 320'000);
  const auto looks = ended.duration / std::chrono::milliseconds(50);
  CHECK(os::read_file(job.file(kLogIndexFile)).size() <= 16 * (static_cast<std::size_t>(looks) + 4));
}

TEST_CASE("the time of every line is known to a fraction of a second") {
  ShimJob job(shell("echo first; sleep 0.4; echo second; sleep 0.4; echo third"));
  job.run();
  auto reader = reader_of(job);
  const auto first = reader.time_at(0);
  const auto second = reader.time_at(6);
  const auto third = reader.time_at(13);
  REQUIRE(first);
  REQUIRE(second);
  REQUIRE(third);
  CHECK(*second - *first >= std::chrono::milliseconds(300));
  CHECK(*third - *second >= std::chrono::milliseconds(300));
  CHECK(reader.since(*second) == 6);
  CHECK(reader.since(*third) == 13);
}

TEST_CASE("a log over its limit keeps head and tail exactly") {
  ShimJob job({program("write_lines"), "1000000"});
  job.launch.log_cap = 1_MiB;
  const auto ended = job.run();
  const auto whole = lines(1'000'000);
  CHECK(ended.log_bytes == whole.size());

  auto reader = reader_of(job);
  REQUIRE_FALSE(reader.limit_not_kept());
  std::string head;
  std::string tail;
  std::string notices;
  std::vector<char> buffer(1 << 16);
  for (std::uint64_t offset = 0;;) {
    const auto piece = reader.read(offset, buffer);
    if (piece.length == 0) break;
    (piece.left_out ? notices : notices.empty() ? head : tail).append(buffer.data(), piece.length);
    offset = piece.next;
  }
  CHECK(head.size() >= 512 * 1024);
  CHECK(tail.size() >= 512 * 1024);
  CHECK(head == whole.substr(0, head.size()));
  CHECK(tail == whole.substr(whole.size() - tail.size()));
  REQUIRE(reader.holes().size() == 1);
  CHECK(reader.holes()[0] == logs::Hole{head.size(), whole.size() - tail.size()});
  CHECK(notices.find("left out (bytes " + std::to_string(head.size())) != std::string::npos);
  struct stat info {};
  REQUIRE(::stat(job.file(kLogFile).c_str(), &info) == 0);
  CHECK(info.st_blocks * 512 <= static_cast<blkcnt_t>(head.size() + tail.size() + 65536));
}
