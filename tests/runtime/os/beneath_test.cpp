#include "runtime/os/beneath.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <functional>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "tests/support/skip.hpp"

namespace berth::os {
namespace {

struct Place {
  Place() { write_file(dir / "secret", "secret", 0600, Durable::no); }
  TempDir dir;
  std::string inside = (make_directories(dir / "inside"), dir / "inside");
  Fd root = open_directory(inside);
};

Code code_of(const auto& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.code();
  }
  return Code::internal;
}

// Whether it is so in a process that has no openat2, which fails with `error` there.
bool holds_without_openat2(int error, const std::function<bool()>& work) {
  const auto child = ::fork();
  if (child == 0) {
    std::array<sock_filter, 4> filter{{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
                                       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
                                       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}};
    const sock_fprog program{filter.size(), filter.data()};
    const bool filtered = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                          ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
                          ::syscall(SYS_openat2, AT_FDCWD, ".", nullptr, 0) < 0 && errno == error;
    ::_exit(filtered && work() ? 0 : 1);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// 0, or why it was not opened.
int error_of(const Fd& directory, const std::string& path, int flags = O_RDONLY | O_NONBLOCK) {
  return try_open_beneath(directory, path, flags) ? 0 : errno;
}

TEST_CASE("with openat2 or without it the same is opened, and nothing by a link or outside") {
  Place place;
  make_directories(place.inside + "/a/b");
  write_file(place.inside + "/a/b/file", "hello", 0600, Durable::no);
  REQUIRE(::mkfifo((place.inside + "/a/fifo").c_str(), 0600) == 0);
  REQUIRE(::symlink("b", (place.inside + "/a/link").c_str()) == 0);
  REQUIRE(::symlink((place.dir / "secret").c_str(), (place.inside + "/a/secret").c_str()) == 0);
  REQUIRE(::symlink(place.dir.path().c_str(), (place.inside + "/up").c_str()) == 0);
  const auto attack = [&] {
    const auto& root = place.root;
    bool as_it_should = read_all(try_open_beneath(root, "a/b/file", O_RDONLY), 100) == "hello";
    for (const char* path : {".", "a", "a/b", "a/b/", "./a//b/./file", "a/fifo"})
      as_it_should &= error_of(root, path) == 0;
    for (const char* path : {"a/link/file", "a/secret", "up/secret", "up/inside/a"})
      as_it_should &= error_of(root, path) == ELOOP;
    for (const char* path : {"..", "../secret", "a/../../secret", "/etc/passwd"})
      as_it_should &= error_of(root, path) == EXDEV;
    for (const char* path : {"", "none", "a/none/file"}) as_it_should &= error_of(root, path) == ENOENT;
    as_it_should &= error_of(root, "a/b/file/below") == ENOTDIR;
    as_it_should &= error_of(root, "a/link", O_PATH) == 0;  // itself
    as_it_should &= error_of(root, "a/link", O_RDONLY | O_DIRECTORY) != 0;
    as_it_should &=
        code_of([&] { open_beneath(root, "up/made", O_WRONLY | O_CREAT, trusted_file()); }) == Code::corrupt;
    as_it_should &= code_of([&] { open_beneath(root, "a/secret", O_RDONLY, trusted_file()); }) == Code::corrupt;
    write_all(open_beneath(root, "a/made", O_WRONLY | O_CREAT, trusted_file()), "made");
    return as_it_should && read_file(place.inside + "/a/made") == "made" &&
           ::unlink((place.inside + "/a/made").c_str()) == 0;
  };
  CHECK(attack());
  for (const int error : {ENOSYS, EPERM}) CHECK(holds_without_openat2(error, attack));
  CHECK_FALSE(exists(place.dir / "made"));
}

TEST_CASE("a plain file beneath a directory is opened, read and written") {
  Place place;
  make_directories(place.inside + "/a/b");
  write_file(place.inside + "/a/b/file", "hello", 0600, Durable::no);
  CHECK(read_all(open_beneath(place.root, "a/b/file", O_RDONLY, trusted_file()), 100) == "hello");
  write_all(open_beneath(place.root, "a/new", O_WRONLY | O_CREAT, trusted_file()), "made");
  CHECK(read_file(place.inside + "/a/new") == "made");
  CHECK_FALSE(open_beneath_if_exists(place.root, "none", O_RDONLY, trusted_file()));
  CHECK_FALSE(open_beneath_if_exists(place.root, "none/at/all", O_RDONLY, trusted_file()));
  CHECK(code_of([&] { open_beneath(place.root, "none", O_RDONLY, trusted_file()); }) == Code::not_found);
  CHECK(read_plain_if_exists(place.inside + "/a/b/file") == "hello");
  CHECK_FALSE(read_plain_if_exists(place.inside + "/none/file"));
}

TEST_CASE("a link is not followed, wherever it stands") {
  Place place;
  const auto secret = place.dir / "secret";
  REQUIRE(::symlink(secret.c_str(), (place.inside + "/log").c_str()) == 0);
  REQUIRE(::symlink(place.dir.path().c_str(), (place.inside + "/up").c_str()) == 0);
  for (const int flags : {O_RDONLY, O_WRONLY | O_CREAT, O_WRONLY | O_APPEND})
    for (const char* path : {"log", "up/secret"})
      CHECK(code_of([&] { open_beneath(place.root, path, flags, trusted_file()); }) == Code::corrupt);
  CHECK(code_of([&] { open_plain(place.inside + "/log", O_RDONLY); }) == Code::corrupt);
  CHECK(read_file(secret) == "secret");
}

TEST_CASE("a dangling link makes no file elsewhere") {
  Place place;
  const auto elsewhere = place.dir / "elsewhere";
  REQUIRE(::symlink(elsewhere.c_str(), (place.inside + "/log").c_str()) == 0);
  CHECK(code_of([&] { open_beneath(place.root, "log", O_WRONLY | O_CREAT, trusted_file()); }) == Code::corrupt);
  CHECK_FALSE(exists(elsewhere));
}

TEST_CASE("what leads out of the directory is refused") {
  Place place;
  for (const char* path : {"../secret", "/etc/passwd", "a/../../secret", "..", ""})
    CHECK(code_of([&] { open_beneath(place.root, path, O_RDONLY, trusted_file()); }) == Code::invalid);
}

TEST_CASE("a fifo does not hang whoever opens it, nor does a directory pass for a file") {
  Place place;
  REQUIRE(::mkfifo((place.inside + "/log").c_str(), 0600) == 0);
  make_directories(place.inside + "/ending.json");
  for (const char* name : {"log", "ending.json"})
    CHECK(code_of([&] { open_beneath(place.root, name, O_RDONLY, trusted_file()); }) == Code::corrupt);
}

TEST_CASE("another's file is told from one's own") {
  SKIP_UNLESS(::geteuid() == 0, "root");
  Place place;
  const auto path = place.inside + "/started.json";
  write_file(path, "forged", 0644, Durable::no);
  REQUIRE(::chown(path.c_str(), 12345, 12345) == 0);
  CHECK(code_of([&] { open_plain(path, O_RDONLY); }) == Code::corrupt);
  CHECK(read_plain_if_exists(path, Expected{S_IFREG, {12345}}) == "forged");
  REQUIRE(::chown(path.c_str(), kNobodysOwn, 0) == 0);
  CHECK(read_plain_if_exists(path) == "forged");
}

}  // namespace
}  // namespace berth::os
