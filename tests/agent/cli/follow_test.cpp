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
  CHECK(script.finish() == std::vector<std::string>{"GET /v1/jobs/quick-lynx-9abc/log?attempt=1&offset=0&follow=1",
                                                    "GET /v1/jobs/quick-lynx-9abc"});
}

TEST_CASE("after a restart of the agent the log goes on where it was") {
  Script script({{Script::chunks({"one\n", "tw"}, false), true},
                 {""},
                 {record(sample::running())},
                 {Script::chunks({"o\n"}, true)},
                 {record(ended())}});
  CHECK(follow_all(script).text == "one\ntwo\n");
  CHECK(script.finish()[3] == "GET /v1/jobs/quick-lynx-9abc/log?attempt=1&offset=6&follow=1");
}

TEST_CASE("an agent that goes away while the job's end is awaited loses no byte either") {
  Script script({{Script::chunks({"one\n"}, true)},
                 {Script::failure(503, "unavailable", "the agent is stopping"), true},
                 {record(ended())},
                 {Script::chunks({}, true)},
                 {record(ended())}});
  CHECK(follow_all(script).text == "one\n");
  CHECK(script.finish()[3] == "GET /v1/jobs/quick-lynx-9abc/log?attempt=1&offset=4&follow=1");
}

TEST_CASE("each further attempt's log is asked for by itself, and resumed within itself") {
  auto second = sample::running();
  second.attempts.push_back(second.attempts.front());
  second.attempts.back().number = 2;
  auto over = second;
  over.state = model::State::completed;
  over.ending = model::Exited{0};
  Script script({{Script::chunks({"first\n"}, true)},
                 {record(second)},
                 {Script::chunks({"sec"}, false), true},
                 {record(second)},
                 {Script::chunks({"ond\n"}, true)},
                 {record(over)}});
  CHECK(follow_all(script).text == "first\nsecond\n");
  CHECK(script.finish()[2] == "GET /v1/jobs/quick-lynx-9abc/log?attempt=2&offset=0&follow=1");
  CHECK(script.finish()[4] == "GET /v1/jobs/quick-lynx-9abc/log?attempt=2&offset=3&follow=1");
}

TEST_CASE("a job that ended without ever having been started has no log, and that is no failure") {
  auto canceled = sample::queued();
  canceled.state = model::State::canceled;
  canceled.ending = model::Canceled{"ada"};
  Script script({{Script::failure(404, "not_found", "calm-otter-2xyz has no attempt 1")}, {record(canceled)}});
  CHECK(follow_all(script).text.empty());
}

TEST_CASE("a refusal ends the following at once") {
  Script script({{Script::failure(403, "denied", "the log of quick-lynx-9abc is ada's")}});
  CHECK_THROWS_WITH_AS(follow_all(script), "the log of quick-lynx-9abc is ada's", Error);
}
