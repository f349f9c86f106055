#include "runtime/base/error.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <set>
#include <stdexcept>

using namespace berth;

namespace {

constexpr std::array kAll{Code::invalid,     Code::not_found,   Code::conflict,  Code::denied,
                          Code::unavailable, Code::timeout,     Code::too_large, Code::no_space,
                          Code::corrupt,     Code::unsupported, Code::io,        Code::internal};

template <class Failure>
Error caught(Failure failure) {
  return error_from(std::make_exception_ptr(std::move(failure)));
}

}  // namespace

TEST_CASE("every code has a name, a status and an exit code of its own kind") {
  std::set<std::string_view> names;
  std::set<int> statuses;
  for (const auto code : kAll) {
    CHECK(code_from_name(name(code)) == code);
    CHECK((exit_code(code) == 2 || exit_code(code) == 125));
    CHECK(http_status(code) >= 400);
    CHECK(http_status(code) < 600);
    names.insert(name(code));
    statuses.insert(http_status(code));
  }
  CHECK(names.size() == kAll.size());
  CHECK(statuses.size() == kAll.size());
  CHECK(code_from_name("from the future") == Code::internal);
}

TEST_CASE("an error is told on one line: message, contexts from the inside out, remedy") {
  Error error(Code::conflict, "the job is running", "cancel it first");
  CHECK(error.describe() == "the job is running; cancel it first");
  error.add_context("while removing it").add_context("for the user ann");
  CHECK(error.describe() == "the job is running, while removing it, for the user ann; cancel it first");
  CHECK(std::string(error.what()) == "the job is running");
  CHECK(Error(Code::io, "it broke").describe() == "it broke");
}

TEST_CASE("a failed system call becomes the code that a caller expects") {
  CHECK(errno_error(ENOENT, "open", "/a").code() == Code::not_found);
  CHECK(errno_error(ENOENT, "open", "/a").message() == "cannot open /a: No such file or directory");
  CHECK(errno_error(EIO, "sync", "").message() == "cannot sync: Input/output error");
  CHECK(errno_error(EACCES, "open", "/a").code() == Code::denied);
  CHECK(errno_error(EEXIST, "make", "/a").code() == Code::conflict);
  CHECK(errno_error(ETIMEDOUT, "ask", "/a").code() == Code::timeout);
  CHECK(errno_error(ECONNREFUSED, "ask", "/a").code() == Code::unavailable);
  CHECK(errno_error(ELOOP, "open", "/a").code() == Code::invalid);
  CHECK(errno_error(EIO, "read", "/a").code() == Code::io);
  for (const int full : {ENOSPC, EDQUOT}) {
    CHECK(errno_error(full, "write", "/a").code() == Code::no_space);
    CHECK(!errno_error(full, "write", "/a").hint().empty());
  }
  CHECK(!errno_error(EMFILE, "open", "/a").hint().empty());
  errno = EACCES;
  CHECK_THROWS_AS(throw_errno("open", "/a"), Error);
}

TEST_CASE("whatever was thrown becomes an error at a border") {
  CHECK(caught(Error(Code::denied, "no")).code() == Code::denied);
  CHECK(caught(Cancelled()).code() == Code::unavailable);
  CHECK(caught(std::bad_alloc()).code() == Code::internal);
  CHECK(caught(std::runtime_error("why")).describe() == "why");
  CHECK(caught(7).code() == Code::internal);
}

TEST_CASE("no handler of failures swallows a cancellation") {
  bool swallowed = false;
  try {
    try {
      throw Cancelled();
    } catch (const Error&) {
      swallowed = true;
    }
  } catch (const Cancelled&) {
  }
  CHECK(!swallowed);
}
