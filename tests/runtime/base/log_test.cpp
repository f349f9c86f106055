#include "runtime/base/log.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using namespace berth;

namespace {

const std::vector<Field> kFields{kv("job", "brave-heron-7k2m"), kv("pid", 42), kv("reason", "no \"space\"\nleft"),
                                 kv("held", true), kv("empty", "")};

}  // namespace

TEST_CASE("logfmt quotes only what needs it") {
  CHECK(format_line(LogFormat::logfmt, LogLevel::info, "T", "job started", kFields) ==
        R"(T info job started job=brave-heron-7k2m pid=42 reason="no \"space\"\nleft" held=true empty="")");
}

TEST_CASE("a JSON line is one object with typed values") {
  const auto line = format_line(LogFormat::json, LogLevel::error, "T", "disk full", kFields);
  CHECK(line.find('\n') == std::string::npos);
  const auto json = nlohmann::json::parse(line);
  CHECK(json == nlohmann::json{{"time", "T"},
                               {"level", "error"},
                               {"event", "disk full"},
                               {"job", "brave-heron-7k2m"},
                               {"pid", 42},
                               {"reason", "no \"space\"\nleft"},
                               {"held", true},
                               {"empty", ""}});
}

TEST_CASE("control characters cannot forge a line") {
  const auto line = format_line(LogFormat::logfmt, LogLevel::warn, "T", "x", {kv("name", "a\x1b[31m\nT error y")});
  CHECK(line == "T warn x name=\"a\\u001b[31m\\nT error y\"");
}

TEST_CASE("an invalid byte leaves a JSON line valid") {
  CHECK(nlohmann::json::accept(format_line(LogFormat::json, LogLevel::info, "T", "x", {kv("name", "caf\xe9")})));
}
