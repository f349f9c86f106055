#include "runtime/http/listen.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "tests/runtime/http/test_server.hpp"

namespace berth::http {
namespace {

Code code_of(const std::string& path) {
  try {
    listen_unix(path, 0600);
  } catch (const Error& error) {
    return error.code();
  }
  FAIL("must throw");
  return Code::internal;
}

}  // namespace

TEST_CASE("a listening socket has the mode and group asked for and takes connections") {
  const os::TempDir directory;
  const auto path = directory / "a.sock";
  const auto listener = listen_unix(path, 0660, ::getgid());
  struct stat found {};
  REQUIRE(::stat(path.c_str(), &found) == 0);
  CHECK((found.st_mode & 07777) == 0660);
  CHECK(found.st_gid == ::getgid());
  CHECK_NOTHROW(test::RawSocket{path});
}

TEST_CASE("a stale socket is replaced, a live one is not") {
  const os::TempDir directory;
  const auto path = directory / "a.sock";
  listen_unix(path, 0600).reset();  // closed, but its file stays
  REQUIRE(os::exists(path));
  const auto listener = listen_unix(path, 0600);
  CHECK(code_of(path) == Code::conflict);
  CHECK_NOTHROW(test::RawSocket{path});
}

TEST_CASE("a file that is no socket is left alone") {
  const os::TempDir directory;
  const auto path = directory / "a.sock";
  os::write_file(path, "precious", 0600, os::Durable::no);
  CHECK(code_of(path) == Code::conflict);
  CHECK(os::read_file(path) == "precious");
}

TEST_CASE("a path that is too long is told as that") {
  CHECK(code_of("/tmp/" + std::string(103, 'x')) == Code::invalid);
  CHECK(code_of("/nonexistent/a.sock") == Code::not_found);
}

}  // namespace berth::http
