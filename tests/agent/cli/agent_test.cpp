#include "agent/cli/agent.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "agent/wire/job.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"
#include "tests/agent/cli/sample.hpp"
#include "tests/agent/cli/scripted_agent.hpp"

using namespace berth;
using namespace berth::cli;

TEST_CASE("a question for a log names only what differs from the default") {
  CHECK(log_target("a-b", {}) == "/v1/jobs/a-b/log");
  LogQuery query;
  query.stream = LogStream::build;
  query.attempt = 2;
  query.follow = true;
  query.offset = 10;
  CHECK(log_target("@last", query) == "/v1/jobs/@last/log?stream=build&attempt=2&offset=10&follow=1");
  LogQuery since;
  since.since = sample::noon();
  CHECK(log_target("a", since) == "/v1/jobs/a/log?since=2026-03-14T12:00:00.000000Z");
}

TEST_CASE("nothing but a job's name gets into a target") {
  for (const char* reference : {"", "..", "a/b", "a?b", "a%2f", "@first", "A"})
    CHECK_THROWS_AS(job_target(reference), Error);
  CHECK(job_target("brave-heron-7k2m", "/wait") == "/v1/jobs/brave-heron-7k2m/wait");
}

TEST_CASE("a record comes back as it was sent, with what is added to it") {
  auto json = json_of(wire::JobRecord{sample::completed(), {}});
  json["waiting"] = "for nothing";
  json["invented"] = "by a newer agent";
  const auto record = record_from_json(json.dump());
  CHECK(record.job == sample::completed());
  CHECK(record.waiting == "for nothing");
  CHECK(record.json == json.dump());
  const auto list = list_from_json(nlohmann::json{{"jobs", {json, json}}}.dump());
  CHECK(list.jobs.size() == 2);
}

TEST_CASE("answers of another shape are an error, not a crash") {
  for (const char* text :
       {"", "[]", "{}", "null", "{\"jobs\":[1]}", "{\"entries\":[[1]]}", "{\"entries\":[[\"a\",1]]}"}) {
    CHECK_THROWS_AS(record_from_json(text), Error);
    CHECK_THROWS_AS(list_from_json(text), Error);
    CHECK_THROWS_AS(index_from_json(text), Error);
  }
  CHECK(index_from_json("{\"entries\":[[5,1773489600000000]]}") == LogIndex{{5, sample::noon()}});
}

TEST_CASE("what is only asked is asked once more where the agent ended before it answered, and a third time is not") {
  const auto ok = ScriptedAgent::ok(R"({"answer": 1})");
  SUBCASE("another one answers") {
    ScriptedAgent scripted({{""}, {ok}});
    Agent agent(scripted.socket());
    CHECK(agent.get("/v1/status") == R"({"answer": 1})");
    CHECK(scripted.finish().size() == 2);
  }
  SUBCASE("it ends, too") {
    ScriptedAgent scripted({{""}, {""}, {ok}});
    Agent agent(scripted.socket());
    CHECK_THROWS_AS(agent.get("/v1/status"), Error);
    CHECK(scripted.finish().size() == 2);
  }
  SUBCASE("but nothing that changes something") {
    ScriptedAgent scripted({{""}, {ok}});
    Agent agent(scripted.socket());
    CHECK_THROWS_AS(agent.post("/v1/jobs/x/cancel"), Error);
    CHECK(scripted.finish().size() == 1);
  }
}
