#include "agent/cli/follow.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "agent/model/json.hpp"
#include "runtime/base/error.hpp"
#include "tests/agent/cli/sample.hpp"
#include "tests/agent/cli/scripted_agent.hpp"

using namespace berth;
using namespace berth::cli;

namespace {

using Script = ScriptedAgent;

std::string record(const model::Job& job) {
  return Script::ok(model::to_json(job).dump());
}

model::Job ended() {
  auto job = sample::running();
  job.state = model::State::completed;
  job.ending = model::Exited{0};
  return job;
}

struct Followed {
  std::string text;
  JobRecord record;
};

Followed follow_all(const Script& script, LogQuery query = {}) {
  Agent agent(script.socket());
  Followed followed;
  followed.record =
      follow(agent, "quick-lynx-9abc", query, 1, [&](std::string_view bytes) { followed.text += bytes; });
  return followed;
}

}  // namespace

TEST_CASE("a log is handed on until the job has ended") {
  Script script({{Script::chunks({"one\n", "two\n"}, true)}, {record(ended())}});
  const auto followed = follow_all(script);
  CHECK(followed.text == "one\ntwo\n");
  CHECK(followed.record.job.state == model::State::completed);
  CHECK(script.finish() == std::vector<std::string>{"GET /v1/jobs/quick-lynx-9abc/log?offset=0&follow=1",
                                                    "GET /v1/jobs/quick-lynx-9abc/wait"});
}

TEST_CASE("after a restart of the agent the log goes on where it was") {
  Script script({{Script::chunks({"one\n", "tw"}, false), true},
                 {""},
                 {record(sample::running())},
                 {Script::chunks({"o\n"}, true)},
                 {record(ended())}});
  CHECK(follow_all(script).text == "one\ntwo\n");
  CHECK(script.finish()[3] == "GET /v1/jobs/quick-lynx-9abc/log?offset=6&follow=1");
}

TEST_CASE("an agent that goes away while the job's end is awaited loses no byte either") {
  Script script({{Script::chunks({"one\n"}, true)},
                 {Script::failure(503, "unavailable", "the agent is stopping"), true},
                 {record(ended())},
                 {Script::chunks({}, true)},
                 {record(ended())}});
  CHECK(follow_all(script).text == "one\n");
}

TEST_CASE("the restart in the middle of a further attempt resumes within that attempt's log") {
  auto second = sample::running();
  second.attempts.push_back(second.attempts.front());
  second.attempts.back().number = 2;
  Script script({{Script::chunks({"first\n", "sec"}, false), true},
                 {record(second)},
                 {Script::ok(R"({"entries":[[2,1],[6,2]]})")},
                 {Script::chunks({"ond\n"}, true)},
                 {record(ended())}});
  CHECK(follow_all(script).text == "first\nsecond\n");
  CHECK(script.finish()[3] == "GET /v1/jobs/quick-lynx-9abc/log?offset=3&follow=1");
}

TEST_CASE("the rest of an attempt that ended while the agent was away is not lost") {
  auto second = sample::running();
  second.attempts.push_back(second.attempts.front());
  second.attempts.back().number = 2;
  Script script({{Script::chunks({"fir"}, false), true},
                 {record(second)},
                 {Script::ok(R"({"entries":[[6,2]]})")},
                 {Script::chunks({"st\n"}, true)},
                 {Script::chunks({"second\n"}, true)},
                 {record(ended())}});
  CHECK(follow_all(script).text == "first\nsecond\n");
  CHECK(script.finish()[3] == "GET /v1/jobs/quick-lynx-9abc/log?attempt=1&offset=3");
}

TEST_CASE("a refusal ends the following at once") {
  Script script({{Script::failure(403, "denied", "the log of quick-lynx-9abc is ada's")}});
  CHECK_THROWS_WITH_AS(follow_all(script), "the log of quick-lynx-9abc is ada's", Error);
}
