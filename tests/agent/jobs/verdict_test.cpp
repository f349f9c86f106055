#include "agent/jobs/verdict.hpp"

#include <doctest/doctest.h>
#include <signal.h>

using namespace berth;
using jobs::Evidence;
using jobs::Failure;

namespace {

model::Job job() {
  model::Job job;
  job.request.command = {"train"};
  return job;
}

shim::Ended ended(shim::Outcome outcome, std::string stopped_because = {}) {
  shim::Ended ended;
  ended.outcome = std::move(outcome);
  ended.stopped_because = std::move(stopped_because);
  ended.duration = std::chrono::seconds(7);
  return ended;
}

Evidence over(shim::Ended with) {
  Evidence evidence;
  evidence.condition = shim::Over{std::move(with)};
  evidence.may_be_asked = true;
  return evidence;
}

Evidence failed(Failure::Of of, Error error = Error(Code::io, "it broke")) {
  Evidence evidence;
  evidence.failure = Failure{of, std::move(error)};
  return evidence;
}

model::Ending ending(const Evidence& evidence, const model::Job& of = job()) {
  return jobs::judge(of, evidence).ending;
}

}  // namespace

TEST_CASE("what the supervisor saw goes before who wanted what") {
  auto evidence = over(ended(os::Exit{.status = 3}));
  CHECK(ending(evidence) == model::Ending(model::Exited{3}));
  evidence.canceled_by = "ada";  // it ended by itself while it was being canceled
  CHECK(ending(evidence) == model::Ending(model::Exited{3}));
  evidence = over(ended(os::Exit{.signalled = true, .status = SIGTERM}, shim::kStoppedCanceled));
  evidence.canceled_by = "ada";
  CHECK(ending(evidence) == model::Ending(model::Canceled{"ada"}));
}

TEST_CASE("a stop that nobody asked for is told as what it is") {
  auto evidence = over(ended(os::Exit{.signalled = true, .status = SIGTERM}, shim::kStoppedCanceled));
  evidence.may_be_asked = false;
  const auto verdict = jobs::judge(job(), evidence);
  CHECK(verdict.ending == model::Ending(model::Signalled{SIGTERM}));
  REQUIRE(verdict.remarks.size() == 1);
  CHECK(verdict.remarks.front().find("not the agent's") != std::string::npos);

  auto limited = job();
  limited.request.timeout = std::chrono::hours(1);  // it ran for seven seconds
  evidence = over(ended(os::Exit{.signalled = true, .status = SIGTERM}, shim::kStoppedTimedOut));
  CHECK(ending(evidence, limited) == model::Ending(model::Signalled{SIGTERM}));
  limited.request.timeout = std::chrono::seconds(7);
  CHECK(ending(evidence, limited) == model::Ending(model::TimedOut{std::chrono::seconds(7)}));
}

TEST_CASE("of a launch that ended without a word the driver tells why, unless its records were changed") {
  Evidence evidence;
  evidence.condition = shim::Lost{std::nullopt, true};
  CHECK(ending(evidence) == model::Ending(model::Lost{model::Lost::Cause::reboot}));
  evidence.condition = shim::Lost{std::nullopt, false};
  evidence.lost = model::Lost::Cause::engine_stopped;
  evidence.canceled_by = "ada";
  CHECK(ending(evidence) == model::Ending(model::Lost{model::Lost::Cause::engine_stopped}));
  evidence.lost.reset();
  evidence.changed = "its directory was removed";
  const auto verdict = jobs::judge(job(), evidence);
  CHECK(verdict.ending == model::Ending(model::Lost{model::Lost::Cause::records_changed}));
  CHECK(verdict.remarks == std::vector<std::string>{"its records were changed: its directory was removed"});
}

TEST_CASE("what never ran was canceled, or tells what failed") {
  CHECK(ending(failed(Failure::Of::start)) == model::Ending(model::StartFailed{125, "it broke"}));
  CHECK(ending(failed(Failure::Of::code)) == model::Ending(model::SnapshotFailed{"it broke"}));
  CHECK(ending(failed(Failure::Of::environment)) == model::Ending(model::EnvironmentFailed{"it broke"}));
  auto in_image = job();
  in_image.request.environment.kind = model::EnvironmentRequest::Kind::image;
  CHECK(ending(failed(Failure::Of::environment), in_image) == model::Ending(model::ImageFailed{"it broke"}));
  for (const auto of : {Failure::Of::start, Failure::Of::code, Failure::Of::environment})
    CHECK(ending(failed(of, Error(Code::no_space, "full"))) == model::Ending(model::DiskFull{"full"}));
  auto canceled = failed(Failure::Of::start);
  canceled.canceled_by = "ada";
  CHECK(ending(canceled) == model::Ending(model::Canceled{"ada"}));
  CHECK(std::holds_alternative<model::StartFailed>(ending({})));
}

TEST_CASE("a GPU that failed ended the job, unless the job ended well or was stopped") {
  const model::GpuError fault{"GPU 3", "GPU-1", 79, "it fell off the bus"};
  for (const auto& [outcome, its_gpus] : {std::pair{os::Exit{.status = 0}, false},
                                          {os::Exit{.status = 1}, true},
                                          {os::Exit{.signalled = true, .status = SIGABRT}, true}}) {
    auto evidence = over(ended(outcome));
    evidence.gpu = fault;
    CHECK((ending(evidence) == model::Ending(fault)) == its_gpus);
  }
  auto canceled = over(ended(os::Exit{.signalled = true, .status = SIGKILL}, shim::kStoppedCanceled));
  canceled.canceled_by = "ada";
  canceled.gpu = fault;
  CHECK(ending(canceled) == model::Ending(model::Canceled{"ada"}));
}

TEST_CASE("a retry follows as often as was asked for that cause, attempts before counted") {
  auto of = job();
  of.request.retries = {{"failed", 2}, {"lost", 1}};
  model::Attempt last;
  for (last.number = 1; last.number <= 3; ++last.number) {
    last.ending = model::Exited{1};
    CHECK(jobs::wants_retry(of, last) == (last.number <= 2));
    of.attempts.push_back(last);
  }
  last.ending = model::Lost{};
  CHECK(jobs::wants_retry(of, last));
  last.ending = model::Exited{0};
  CHECK_FALSE(jobs::wants_retry(of, last));
  last.ending = model::Canceled{"ada"};
  CHECK_FALSE(jobs::wants_retry(of, last));
}
