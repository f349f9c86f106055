#include "agent/jobfile/parse.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::jobfile;

namespace {

template <class F>
std::string mistake(const F& parse) {
  try {
    parse();
  } catch (const Error& error) {
    return error.describe();
  }
  return "none";
}

}  // namespace

TEST_CASE("CPUs are whole, fractional or in thousandths") {
  CHECK(cpus("--cpus", "2") == 2000);
  CHECK(cpus("--cpus", "0.5") == 500);
  CHECK(cpus("--cpus", "250m") == 250);
  CHECK(cpus("--cpus", "0") == 0);
  for (const char* text : {"", "-1", "two", "1e3", "nan", "1.5x", "m", "9999999999"})
    CHECK(mistake([&] { cpus("--cpus", text); }) ==
          std::string("--cpus: '") + text + "' is not a number of CPUs; write for example 2, 0.5 or 250m");
}

TEST_CASE("whole numbers have a range") {
  CHECK(whole_number("--gpus", "0", 0, 8) == 0);
  CHECK(whole_number("--priority", "-1000", -1000, 1000) == -1000);
  CHECK(mistake([] { whole_number("--gpus", "9", 0, 8); }) == "--gpus: '9' is out of range; give a number from 0 to 8");
  CHECK(mistake([] { whole_number("--gpus", "99999999999999999999", 0, 8); }) ==
        "--gpus: '99999999999999999999' is out of range; give a number from 0 to 8");
  CHECK(mistake([] { whole_number("--gpus", "1x", 0, 8); }) ==
        "--gpus: '1x' is not a whole number; give one from 0 to 8");
  CHECK(mistake([] { whole_number("--gpus", "", 0, 8); }) == "--gpus: '' is not a whole number; give one from 0 to 8");
}

TEST_CASE("sizes, durations and signals tell how they are written") {
  CHECK(size("--memory", "1.5GiB") == ByteSize(1536ULL << 20));
  CHECK(mistake([] { size("--memory", "lots"); }) ==
        "--memory: 'lots' is not a size; write for example 512M, 4G or 1.5GiB");
  CHECK(duration("--timeout", "90") == std::chrono::seconds(90));
  CHECK(mistake([] { duration("--timeout", "soon"); }) ==
        "--timeout: 'soon' is not a duration; write for example 90s, 15m, 2h30m or 1d");
  CHECK(signal_number("--stop-signal", "USR1") == 10);
  CHECK(mistake([] { signal_number("--stop-signal", "NICE"); }) ==
        "--stop-signal: 'NICE' is not a signal; write for example TERM, SIGINT or USR1");
}

TEST_CASE("retries are for a failure unless a cause is given") {
  CHECK(retries("--retry", {"3"}) == std::map<std::string, int>{{"failed", 3}});
  CHECK(retries("--retry", {"lost=1", "timed_out=2", "lost=4"}) ==
        std::map<std::string, int>{{"lost", 4}, {"timed_out", 2}});
  CHECK(mistake([] { retries("--retry", {"oops=1"}); }) ==
        "--retry: 'oops' is not a cause a job can be retried for; the causes are failed, timed_out, lost, "
        "environment_failed, image_failed, snapshot_failed, disk_full, start_failed, out_of_memory, gpu_error, "
        "preempted");
  CHECK(mistake([] { retries("--retry", {"lost="}); }) == "--retry: '' is not a whole number; give one from 0 to 100");
}

TEST_CASE("a hostile value is shown harmlessly") {
  CHECK(mistake([] { whole_number("--gpus", "1\x1b[31m", 0, 8); }).find('\x1b') == std::string::npos);
}
