#include "agent/disk/reserve.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

using namespace berth;

TEST_CASE("the reserve takes up space, gives it back once, and takes it up again") {
  const os::TempDir directory;
  const auto path = directory / "reserve";
  disk::Reserve reserve(path, 2_MiB);
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  CHECK(static_cast<std::uint64_t>(info.st_blocks) * 512 >= (1_MiB).bytes());
  CHECK(reserve.release());
  CHECK_FALSE(os::exists(path));
  CHECK_FALSE(reserve.release());
  reserve.restore();
  CHECK(os::exists(path));
}

TEST_CASE("a file system with less room than new work needs is told with figures and remedy") {
  const os::TempDir directory;
  const disk::Reserve roomy(directory / "a", 1_MiB);
  CHECK_NOTHROW(roomy.require_room());
  const disk::Reserve tight(directory / "b", ByteSize(1ULL << 60));
  CHECK_FALSE(os::exists(directory / "b"));
  try {
    tight.require_room();
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == Code::no_space);
    CHECK(error.message().find("nearly full") != std::string::npos);
    CHECK(error.hint().find("berth gc") != std::string::npos);
  }
}
