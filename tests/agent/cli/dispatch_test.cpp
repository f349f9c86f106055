#include "agent/cli/dispatch.hpp"

#include <doctest/doctest.h>

#include "agent/cli/verbs/verbs.hpp"

using namespace berth;
using namespace berth::cli;

namespace {

Error failure_of(const Arguments& arguments) {
  Common common;
  try {
    dispatch(arguments, common);
  } catch (const Error& error) {
    return error;
  }
  return Error(Code::internal, "none");
}

}  // namespace

TEST_CASE("an unknown verb suggests the nearest") {
  const auto error = failure_of({"sumbit"});
  CHECK(error.code() == Code::invalid);
  CHECK(error.message() == "there is no verb 'sumbit'");
  CHECK(error.hint() == "did you mean `berth submit`?");
  CHECK(failure_of({"--json", "\x1b[2J"}).message().find('\x1b') == std::string::npos);
}

TEST_CASE("the overview names every verb") {
  for (const auto& verb : verbs()) CHECK(overview().find("\n  " + std::string(verb.name) + " ") != std::string::npos);
}

TEST_CASE("every verb has a help that a stranger can use, and refuses what it does not know") {
  for (const auto& verb : verbs()) {
    INFO(verb.name);
    Common common;
    CHECK(verb.run({"--help"}, common) == 0);
    CHECK(failure_of({std::string(verb.name), "--frobnicate", "x"}).code() == Code::invalid);
  }
}

TEST_CASE("options may stand before the verb") {
  Common common;
  CHECK_THROWS_AS(dispatch({"--socket", "/nonexistent/berth.sock", "--json", "ps"}, common), Error);
  CHECK(common.json);
  CHECK(common.socket == "/nonexistent/berth.sock");
}

TEST_CASE("without an agent every question says so, and how to get one") {
  for (const char* verb : {"ps", "status", "drain", "resume", "gc"}) {
    const auto error = failure_of({verb, "--socket", "/nonexistent/berth.sock"});
    CHECK(error.code() == Code::unavailable);
    CHECK(error.message().find("/nonexistent/berth.sock") != std::string::npos);
    CHECK_FALSE(error.hint().empty());
  }
}

TEST_CASE("what can name no job is refused before anybody is asked") {
  for (const char* reference : {"../status", "UPPER", "a b", "@first", ""})
    CHECK(failure_of({"show", "--socket", "/nonexistent", "--", reference}).code() == Code::invalid);
}

TEST_CASE("options that exclude each other are refused") {
  CHECK(failure_of({"logs", "--build", "--agent", "a"}).code() == Code::invalid);
  CHECK(failure_of({"logs", "--since", "1m", "--tail", "1", "a"}).code() == Code::invalid);
  CHECK(failure_of({"download", "--code", "--diff", "a"}).code() == Code::invalid);
  CHECK(failure_of({"cancel"}).message() == "no job named");
  CHECK(failure_of({"cancel", "--all", "a"}).code() == Code::invalid);
  CHECK(failure_of({"submit", "--code", "/tmp", "--no-code", "true"}).code() == Code::invalid);
  CHECK(failure_of({"priority", "a", "-1001"}).message() == "N: '-1001' is out of range");
}

TEST_CASE("failures are told in one sentence and a remedy") {
  CHECK(failure_text(Error(Code::not_found, "no job 'x'", "look with `berth ps`").add_context("while waiting")) ==
        "berth: no job 'x', while waiting\n  look with `berth ps`\n");
  CHECK(failure_text(Error(Code::io, "bad \x1b[1m")).find('\x1b') == std::string::npos);
}
