#include "agent/cli/follow.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "agent/wire/job.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"
#include "tests/agent/cli/frames.hpp"
#include "tests/agent/cli/sample.hpp"
#include "tests/agent/cli/scripted_agent.hpp"

using namespace berth;
using namespace berth::cli;

namespace {

using Script = ScriptedAgent;

std::string record(const model::Job& job) { return Script::ok(text_of(wire::JobRecord{job, {}})); }

model::Job ended() {
  auto job = sample::running();
  job.state = model::State::completed;
  job.ending = model::Exited{0};
  return job;
}

const std::string kFramed = "Content-Type: " + std::string(model::kLogFrames) + "\r\n";
const std::string kHole = "[… 3.0 MiB left out (bytes 4–3145732) …]\n";  // whoever prints it

// A frame of the log itself, as it is sent.
std::string sent(std::string_view text, std::uint64_t begin = 0, int attempt = 1) {
  return model::encode(text_frame(text, begin, attempt));
}

// The answer whose body comes in these pieces, and then ends, or breaks off.
std::string framed(const std::vector<std::string>& pieces, bool complete) {
  return Script::chunks(pieces, complete, kFramed);
}

struct Followed {
  std::string text;
  JobRecord record;
};

Followed follow_all(const Script& script, LogQuery query = {}) {
  Agent agent(script.socket());
  Followed followed;
  followed.record =
      follow(agent, "quick-lynx-9abc", query, 1, [&](const model::LogFrame& frame) { followed.text += frame.text; });
  return followed;
}

}  // namespace

TEST_CASE("a log is handed on until the job has ended") {
  Script script({{framed({sent("one\n"), sent("two\n", 4)}, true)}, {record(ended())}});
  const auto followed = follow_all(script);
  CHECK(followed.text == "one\ntwo\n");
  CHECK(followed.record.job.state == model::State::completed);
  CHECK(script.finish() == std::vector<std::string>{"GET /v1/jobs/quick-lynx-9abc/log?attempt=1&offset=0&follow=1",
                                                    "GET /v1/jobs/quick-lynx-9abc"});
}

TEST_CASE("after a restart of the agent the log goes on where it was") {
  Script script({{framed({sent("one\n"), sent("tw", 4)}, false), true},
                 {""},
                 {record(sample::running())},
                 {framed({sent("o\n", 6)}, true)},
                 {record(ended())}});
  CHECK(follow_all(script).text == "one\ntwo\n");
  CHECK(script.finish()[3] == "GET /v1/jobs/quick-lynx-9abc/log?attempt=1&offset=6&follow=1");
}

TEST_CASE("a frame that is cut by the agent's end, wherever that is, comes once") {
  const auto cut = sent("two\n", 4);
  for (std::size_t size = 1; size < cut.size(); ++size) {
    CAPTURE(size);
    Script script({{framed({sent("one\n") + cut.substr(0, size)}, false), true},
                   {record(sample::running())},
                   {framed({cut + sent("three\n", 8)}, true)},
                   {record(ended())}});
    CHECK(follow_all(script).text == "one\ntwo\nthree\n");
    CHECK(script.finish()[2] == "GET /v1/jobs/quick-lynx-9abc/log?attempt=1&offset=4&follow=1");
  }
}

TEST_CASE("behind a hole the log goes on at the hole's end") {
  const auto hole = model::encode(hole_frame(kHole, 4, 3'145'732));
  Script script({{framed({sent("one\n"), hole}, false), true},
                 {record(sample::running())},
                 {framed({sent("two\n", 3'145'732)}, true)},
                 {record(ended())}});
  CHECK(follow_all(script).text == "one\n" + kHole + "two\n");
  CHECK(script.finish()[2] == "GET /v1/jobs/quick-lynx-9abc/log?attempt=1&offset=3145732&follow=1");
}

TEST_CASE("a job that prints what stands for a hole moves nothing") {
  const auto next = 4 + kHole.size();
  Script script({{framed({sent("one\n"), sent(kHole, 4)}, false), true},
                 {record(sample::running())},
                 {framed({sent("two\n", next)}, true)},
                 {record(ended())}});
  CHECK(follow_all(script).text == "one\n" + kHole + "two\n");
  CHECK(script.finish()[2] ==
        "GET /v1/jobs/quick-lynx-9abc/log?attempt=1&offset=" + std::to_string(next) + "&follow=1");
}

TEST_CASE("an agent that sends the text alone is followed by its bytes, from where it says that it starts") {
  const auto plain = [](const std::vector<std::string>& pieces, bool complete, const std::string& offset) {
    return Script::chunks(pieces, complete,
                          "Content-Type: text/plain; charset=utf-8\r\nBerth-Log-Offset: " + offset + "\r\n");
  };
  Script script({{plain({"one\n", "tw"}, false, "0"), true},
                 {record(sample::running())},
                 {plain({"o\n"}, true, "6")},
                 {record(ended())}});
  CHECK(follow_all(script).text == "one\ntwo\n");
  CHECK(script.finish()[2] == "GET /v1/jobs/quick-lynx-9abc/log?attempt=1&offset=6&follow=1");
}

TEST_CASE("an answer that is no log in frames is told, and not asked for again") {
  for (const auto& body : {std::string("one\ntwo\nthree\nfour\nfive\nsix\n"), sent("one\n").substr(0, 30)}) {
    Script script({{framed({body}, true)}});
    CHECK_THROWS_AS(follow_all(script), Error);
    CHECK(script.finish().size() == 1);
  }
}

TEST_CASE("an agent that goes away while the job's end is awaited loses no byte either") {
  Script script({{framed({sent("one\n")}, true)},
                 {Script::failure(503, "unavailable", "the agent is stopping"), true},
                 {record(ended())},
                 {framed({}, true)},
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
  Script script({{framed({sent("first\n")}, true)},
                 {record(second)},
                 {framed({sent("sec", 0, 2)}, false), true},
                 {record(second)},
                 {framed({sent("ond\n", 3, 2)}, true)},
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
