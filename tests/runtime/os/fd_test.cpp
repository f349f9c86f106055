#include "runtime/os/fd.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <array>
#include <string>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

using namespace berth;

namespace {

struct Counted {
  using type = int;
  static constexpr int none = -1;
  static inline std::vector<int> closed;
  static void close(int handle) { closed.push_back(handle); }
};
using Handle = os::Handle<Counted>;

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

}  // namespace

TEST_CASE("a handle closes exactly once, however it is moved") {
  Counted::closed.clear();
  {
    Handle a(1);
    Handle b(std::move(a));
    CHECK(!a);  // NOLINT(bugprone-use-after-move): what is left of it is what is tested
    CHECK(b.get() == 1);
    Handle c(2);
    c = std::move(b);
    CHECK(Counted::closed == std::vector<int>{2});
    auto& same = c;
    c = std::move(same);
    CHECK(c.get() == 1);
    c.reset(1);
    CHECK(Counted::closed == std::vector<int>{2});
    c.reset(3);
    CHECK(Counted::closed == std::vector<int>{2, 1});
    Handle d(4);
    CHECK(d.release() == 4);
  }
  CHECK(Counted::closed == std::vector<int>{2, 1, 3});
}

TEST_CASE("files are opened close-on-exec and closed at the end of their scope") {
  const os::TempDir directory;
  int raw = -1;
  {
    const auto file = os::open(directory / "a", O_RDWR | O_CREAT, 0600);
    raw = file.get();
    CHECK((::fcntl(raw, F_GETFD) & FD_CLOEXEC) != 0);
    os::write_all(file, "hello world");
    os::write_all_at(file, "W", 6);
    std::array<char, 5> buffer{};
    CHECK(os::read_at(file, buffer, 6) == 5);
    CHECK(std::string(buffer.data(), 5) == "World");
    CHECK(os::read_at(file, buffer, 100) == 0);
    os::sync_data(file, "a");
    os::sync_all(file, "a");
  }
  CHECK(!is_open(raw));
}

TEST_CASE("an error names the file and shows no control characters") {
  try {
    os::open("/nowhere/a\nb", O_RDONLY);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == Code::not_found);
    CHECK(error.message() == "cannot open /nowhere/a\\x0ab: No such file or directory");
  }
}

TEST_CASE("a file is found relative to an open directory") {
  const os::TempDir directory;
  os::write_file(directory / "a", "content", 0600, os::Durable::no);
  const auto opened = os::open(directory.path(), O_RDONLY | O_DIRECTORY);
  CHECK(os::read_all(os::open_at(opened, "a", O_RDONLY), 100) == "content");
  CHECK_THROWS_AS(os::open_at(opened, "b", O_RDONLY), Error);
}

TEST_CASE("reading all stops at the limit") {
  const os::TempDir directory;
  os::write_file(directory / "a", std::string(40'000, 'x'), 0600, os::Durable::no);
  CHECK(os::read_all(os::open(directory / "a", O_RDONLY), 40'000).size() == 40'000);
  try {
    os::read_all(os::open(directory / "a", O_RDONLY), 39'999);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == Code::too_large);
  }
}

TEST_CASE("a pipe carries bytes and ends when its writer is gone") {
  auto pipe = os::make_pipe();
  os::write_all(pipe.write, "through");
  pipe.write.reset();
  CHECK(os::read_all(pipe.read, 100) == "through");
}

TEST_CASE("a full device is told as no space") {
  try {
    os::write_all(os::open("/dev/full", O_WRONLY), "x");
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == Code::no_space);
  }
}
