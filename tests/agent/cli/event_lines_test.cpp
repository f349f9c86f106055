#include "agent/cli/event_lines.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::cli;

namespace {

nlohmann::json event(int sequence, const std::string& words, const nlohmann::json& by) {
  return {{"sequence", sequence},
          {"time", "2026-03-14T15:09:26.535Z"},
          {"job", "brave-heron-7k2m"},
          {"words", words},
          {"by", by},
          {"what", "one of a newer agent"}};
}

std::string answer(const nlohmann::json& events, const nlohmann::json& missing = nlohmann::json::array()) {
  return nlohmann::json{{"next", 7}, {"missing", missing}, {"events", events}}.dump();
}

}  // namespace

TEST_CASE("an event is a line: local time, job, what happened, who asked for it") {
  EventLines lines(false);
  const auto text = lines.read(answer({event(1, "submitted", "ada"), event(2, "attempt 1 started\x1b", nullptr)}));
  CHECK(text.lines ==
        "2026-03-14 15:09:26  brave-heron-7k2m      submitted, by ada\n"
        "2026-03-14 15:09:26  brave-heron-7k2m      attempt 1 started\\x1b\n");
  CHECK(text.next == 7);
  CHECK(text.events == 2);
  CHECK(text.remarks.empty());
}

TEST_CASE("as JSON an event is the line that the agent sent") {
  EventLines lines(true);
  const auto one = event(1, "held", "ada");
  CHECK(lines.read(answer(nlohmann::json::array({one}))).lines == one.dump() + "\n");
}

TEST_CASE("what is not kept any more is told once for each user, and again when it is more") {
  const auto missing = [](int up_to) {
    return answer(nlohmann::json::array(), {{{"uid", 1001}, {"user", "bob"}, {"up_to", up_to}}});
  };
  EventLines lines(false);
  CHECK(lines.read(missing(5)).remarks ==
        std::vector<std::string>{"not all events of bob's jobs up to 5 are kept any more"});
  CHECK(lines.read(missing(5)).remarks.empty());
  CHECK(lines.read(missing(6)).remarks.size() == 1);
  EventLines as_json(true);
  CHECK(as_json.read(missing(5)).lines == "{\"missing\":{\"uid\":1001,\"up_to\":5,\"user\":\"bob\"}}\n");
}

TEST_CASE("events are asked for by number, and waited for only then") {
  CHECK(event_target({}) == "/v1/events?limit=100");
  EventQuery query{.after = 3, .limit = 9, .mine = true, .wait = std::chrono::seconds(2)};
  CHECK(event_target(query) == "/v1/events?limit=9&after=3&timeout_ms=2000&mine=1");
}

TEST_CASE("an answer that is no list of events is refused") {
  EventLines lines(false);
  CHECK_THROWS_AS(lines.read("{}"), Error);
  CHECK_THROWS_AS(lines.read(R"({"events": 1, "missing": []})"), Error);
}
