#include "runtime/os/attempt_count.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/os/file.hpp"

using namespace berth;

TEST_CASE("what is begun and never ended is one too many after a few times; what was survived is forgotten") {
  const os::TempDir place;
  const auto file = os::join(place.path(), "settling");
  for (int i = 0; i < 10; ++i) CHECK(!os::Attempt(file).is_one_too_many());
  CHECK(!os::exists(file));
  for (int i = 0; i < os::kMostAttempts; ++i) CHECK(os::count_attempt(file) == i);
  {
    const os::Attempt attempt(file);
    CHECK(attempt.is_one_too_many());
  }
  CHECK(!os::Attempt(file).is_one_too_many());
}

TEST_CASE("a count that cannot be read or written keeps nobody from beginning") {
  const os::TempDir place;
  const auto file = os::join(place.path(), "settling");
  CHECK(os::count_attempt(os::join(place.path(), "absent/settling")) == 0);
  for (const auto* text : {"", "x", "-5"}) {
    os::write_file(file, text, 0600, os::Durable::no);
    CHECK(os::count_attempt(file) == 0);
  }
  for (const auto make : {+[](const char* path) { return ::mkfifo(path, 0600); },
                          +[](const char* path) { return ::symlink("/dev/zero", path); }}) {
    ::unlink(file.c_str());
    REQUIRE(make(file.c_str()) == 0);
    CHECK(os::count_attempt(file) == 0);
    CHECK(os::count_attempt(file) == 1);
  }
  os::write_file(file, "99999", 0600, os::Durable::no);
  CHECK(os::count_attempt(file) == os::kMostAttempts);
}
