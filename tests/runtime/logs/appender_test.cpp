#include <doctest/doctest.h>

#include "runtime/logs/appender.hpp"
#include "runtime/logs/reader.hpp"
#include "runtime/os/file.hpp"
#include "tests/runtime/logs/test_clock.hpp"

using namespace berth;
using namespace berth::logs;

TEST_CASE("what is appended is read back with its times") {
  const os::TempDir scratch;
  test::TestClock clock;
  const auto begin = clock.now();
  {
    Appender appender(scratch / "log", scratch / "index", 1_MiB, clock);
    appender.append("solving\n");
    clock.advance(std::chrono::seconds(3));
    appender.append("downloading\n");
  }
  LogReader reader(scratch / "log", scratch / "index");
  CHECK(reader.size() == 20);
  CHECK(reader.time_at(0) == begin);
  CHECK(reader.time_at(8) == begin + std::chrono::seconds(3));
  CHECK(reader.since(begin + std::chrono::seconds(1)) == 8);
}

TEST_CASE("a second appender goes on behind the first") {
  const os::TempDir scratch;
  test::TestClock clock;
  for (int i = 0; i < 2; ++i) {
    Appender appender(scratch / "log", scratch / "index", 1_MiB, clock);
    appender.append("remark\n");
    clock.advance(std::chrono::seconds(1));
  }
  CHECK(os::read_file(scratch / "log") == "remark\nremark\n");
  CHECK(LogReader(scratch / "log", scratch / "index").time_at(7) == clock.now() - std::chrono::seconds(1));
}
