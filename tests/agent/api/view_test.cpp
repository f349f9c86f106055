// Who is shown what of a job, without an agent around it.

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "agent/api/access.hpp"
#include "agent/api/view.hpp"
#include "agent/wire/job.hpp"
#include "runtime/base/json_fields.hpp"
#include "tests/agent/model/ids.hpp"

using namespace berth;
using api::Access;

namespace {

// At a machine's agent, which serves everybody.
model::Principal user(uid_t uid) { return Access(0, true, false).principal(http::LocalPeer{1, uid, uid}); }

model::Job job_with_secrets() {
  model::Job job;
  job.id = "brave-heron-7k2m"_job;
  job.uid = 1000;
  job.user = "ada";
  job.state = model::State::failed;
  job.request.display_name = "digits";
  job.request.command = {"hidden-command"};
  job.request.environment_variables = {{"HIDDEN", "hidden"}};
  job.request.working_directory = "/hidden";
  job.request.experiment = "hidden";
  job.request.tags = {{"hidden", "hidden"}};
  job.request.properties = {{"hidden", "hidden"}};
  job.request.submission_id = "hidden";
  job.request.outputs = {"hidden"};
  job.request.container.docker_args = "--hidden";
  job.request.container.registries = {"hidden"};
  job.request.environment.image = "hidden";
  job.request.snapshot = Digest{};
  job.environment_record = R"({"hidden": 1})";
  job.environment = Digest{};
  job.ending = model::EnvironmentFailed{"hidden"};
  job.attempts.resize(2);
  job.attempts.back().ending = job.ending;
  job.attempts.back().number = 2;
  job.attempts.back().started = from_unix_micros(1'000'000);
  return job;
}

}  // namespace

TEST_CASE("owner and root see a job whole, others its outline, or what they may read where that is configured") {
  const auto job = job_with_secrets();
  const Access closed(0, true, false);
  const Access open(0, true, true);
  CHECK(closed.sight(user(1000), job) == Access::Sight::whole);
  CHECK(closed.sight(user(0), job) == Access::Sight::whole);
  CHECK(closed.sight(user(1001), job) == Access::Sight::outline);
  CHECK(open.sight(user(1001), job) == Access::Sight::readable);
}

TEST_CASE("an outline has nothing of the request but name, resources and times, and no reasons of an ending") {
  const auto job = job_with_secrets();
  const auto outline = json_of(wire::outline_of(job, wire::Reasons::no));
  CHECK(outline.dump().find("hidden") == std::string::npos);
  CHECK(outline.dump().find(std::string(64, '0')) == std::string::npos);
  CHECK(outline.at("ending_words") == "its environment could not be made");
  CHECK(outline.at("name") == "digits");
  const auto read = wire::job_from(outline).job;
  CHECK(read.id == job.id);
  CHECK(read.state == job.state);
  CHECK(read.attempts.size() == 1);
  CHECK(read.attempts[0].number == 2);
  CHECK(read.attempts[0].started == job.attempts[1].started);
}

TEST_CASE(
    "an event is shown as its job is: whole to its owner and root, or where others may read, else as the outline") {
  model::Event event;
  event.job = "brave-heron-7k2m"_job;
  event.uid = 1000;
  event.what = model::Event::What::requeued;
  event.by = "hidden";
  event.ending = model::Exited{3};
  const Access closed(0, true, false);
  const Access open(0, true, true);
  for (const auto& whole : {api::event_for(user(1000), closed, event), api::event_for(user(0), closed, event),
                            api::event_for(user(1001), open, event)}) {
    CHECK(whole.at("by") == "hidden");
    CHECK(whole.at("words") == "attempt 0 ended: exited with code 3; another will follow");
  }
  const auto outline = api::event_for(user(1001), closed, event);
  CHECK(outline.dump().find("hidden") == std::string::npos);
  CHECK(outline.at("ending").is_null());
  CHECK(outline.at("words") == "attempt 0 ended; another will follow");
}

TEST_CASE("a long reason is cut in a list, between characters") {
  auto job = job_with_secrets();
  std::string reason;
  while (reason.size() < 100'000) reason += "é";
  job.ending = model::ImageFailed{reason};
  const auto outline = json_of(wire::outline_of(job, wire::Reasons::yes));
  CHECK(outline.dump().size() < 2000);
  CHECK(outline.at("ending").at("reason").get<std::string>().ends_with("é…"));
}
