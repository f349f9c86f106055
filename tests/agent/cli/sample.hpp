#pragma once

// Jobs for the tests of what is shown.

#include "agent/cli/agent.hpp"
#include "runtime/base/clock.hpp"
#include "tests/agent/model/ids.hpp"

namespace berth::cli::sample {

inline Instant noon() { return *parse_rfc3339("2026-03-14T12:00:00Z"); }
inline Digest digest(std::uint8_t fill) {
  Digest digest;
  digest.bytes.fill(fill);
  return digest;
}

inline model::Job queued() {
  model::Job job;
  job.id = "calm-otter-2xyz"_job;
  job.user = "ada";
  job.request.command = {"python3", "train.py", "--name", "two words"};
  job.request.working_directory = "/home/ada";
  job.state = model::State::queued;
  job.submitted = noon() - std::chrono::minutes(5);
  return job;
}

inline model::Job running() {
  auto job = queued();
  job.id = "quick-lynx-9abc"_job;
  job.request.display_name = "digits, large";
  job.state = model::State::running;
  model::Attempt attempt;
  attempt.started = noon() - std::chrono::seconds(90);
  job.attempts.push_back(attempt);
  return job;
}

// Failed once, was started again, succeeded.
inline model::Job completed() {
  auto job = queued();
  job.id = "brave-heron-7k2m"_job;
  job.state = model::State::completed;
  job.submitted = noon() - std::chrono::hours(50);
  auto& request = job.request;
  request.experiment = "digits";
  request.tags = {{"model", "small"}};
  request.environment_variables = {{"TOKEN", "secret"}};
  request.working_directory = "";
  request.snapshot = digest(0xAB);
  request.diff = digest(0xCD);
  request.outputs = {"outputs", "checkpoints"};
  request.environment.kind = model::EnvironmentRequest::Kind::user_managed;
  request.environment.python = "python3";
  request.resources = {2000, 4_GiB, 1, 1};
  request.limits = {true, 300, 2_MiB, false};
  request.timeout = std::chrono::hours(2);
  request.retries = {{"failed", 2}};
  request.properties = {{"mlflow.source.git.repoURL", "https://example.org/digits.git"},
                        {"mlflow.source.git.branch", "main"},
                        {"mlflow.source.git.commit", "0123456789abcdef0123456789abcdef01234567"},
                        {"azureml.git.dirty", "True"}};
  job.environment_record =
      R"({"interpreter":"/usr/bin/python3","kind":"user_managed","packages":["numpy==2.1","pip==25.0"],"version":"3.11.2"})";
  model::Attempt first;
  first.started = job.submitted + std::chrono::seconds(2);
  first.ended = *first.started + std::chrono::seconds(3);
  first.duration = std::chrono::seconds(3);
  first.ending = model::Signalled{9};
  auto second = first;
  second.number = 2;
  second.started = *first.ended + std::chrono::seconds(1);
  second.ended = *second.started + std::chrono::minutes(61);
  second.duration = std::chrono::minutes(61);
  second.ending = model::Exited{0};
  second.usage = {std::chrono::minutes(58), std::chrono::seconds(30), ByteSize(1'500'000'000), 3_MiB, 4_MiB, {}, {}};
  second.outputs = digest(0xEF);
  job.attempts = {first, second};
  job.ending = model::Exited{0};
  job.finished = second.ended;
  return job;
}

inline model::Job failed() {
  auto job = completed();
  job.id = "shy-crane-4def"_job;
  job.user = "grace";
  job.request.command = {"./bench.sh"};
  job.state = model::State::failed;
  job.attempts.resize(1);
  job.ending = model::Exited{3};
  return job;
}

}  // namespace berth::cli::sample
