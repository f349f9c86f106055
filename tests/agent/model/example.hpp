#pragma once

// A request with every field set, and a job made of it.

#include "agent/model/job.hpp"
#include "tests/agent/model/ids.hpp"

namespace berth::model {

inline Digest digest_of(std::uint8_t byte) {
  Digest digest;
  digest.bytes.fill(byte);
  return digest;
}

inline JobRequest small_request() {
  JobRequest request;
  request.submission_id = "00112233445566778899aabbccddeeff";
  request.command = {"true"};
  request.working_directory = "/tmp";
  return request;
}

inline JobRequest full_request() {
  auto request = small_request();
  request.display_name = "Größe 1";
  request.experiment = "mnist";
  request.tags = {{"lr", "0.1"}, {"empty", ""}};
  request.command = {"python", "train.py", "--x=\"a b\"", ""};
  request.environment_variables = {{"PATH", "/bin"}, {"A", "line\nline"}};
  request.snapshot = digest_of(0xab);
  request.working_directory = "src/train";
  request.properties = {{"mlflow.source.git.commit", "abc"}};
  request.diff = digest_of(0xcd);
  request.environment.kind = EnvironmentRequest::Kind::user_managed;
  request.environment.python = "/opt/python";
  request.resources = {2500, 4_GiB, 1, 2};
  request.priority = -5;
  request.timeout = std::chrono::minutes(90);
  request.retries = {{"lost", 3}, {"failed", 0}};
  request.stop = {2, std::chrono::milliseconds(1500)};
  request.limits = {true, 300, 2_MiB, false};
  request.log_cap = 1_MiB;
  request.outputs = {"outputs", "runs/a"};
  request.held = true;
  return request;
}

inline Job full_job() {
  Job job;
  job.id = "brave-heron-7k2m"_job;
  job.sequence = 17_job;
  job.uid = 1000;
  job.user = "ann";
  job.request = full_request();
  job.state = State::failed;
  job.priority = 7;
  job.held = false;
  job.submitted = from_unix_micros(1'773'500'966'535'897);
  job.finished = from_unix_micros(1'773'500'999'000'000);
  Attempt first;
  first.started = from_unix_micros(1'773'500'970'000'000);
  first.ended = from_unix_micros(1'773'500'975'000'001);
  first.duration = std::chrono::milliseconds(5000);
  first.ending = Lost{Lost::Cause::shim_killed};
  Attempt second;
  second.number = 2;
  second.started = from_unix_micros(1'773'500'980'000'000);
  second.ended = from_unix_micros(1'773'500'998'000'000);
  second.duration = std::chrono::milliseconds(18'000);
  second.ending = Exited{3};
  second.usage = {std::chrono::milliseconds(1200),
                  std::chrono::milliseconds(30),
                  100_MiB,
                  3_MiB,
                  4_MiB,
                  std::chrono::seconds(9),
                  5_MiB};
  second.gpus = {"GPU-0", "GPU-1"};
  second.outputs = digest_of(0xef);
  second.environment_changes = {12, {"idna-3.7"}, {"six-1.16.0"}, true, "looking at all of them takes too long"};
  second.outputs_left_out = {12,
                             {{"outputs/pipe", "is a socket, a pipe or a device"}, {"outputs/a", "cannot be read"}}};
  job.attempts = {first, second};
  job.ending = Exited{3};
  job.environment_record = R"({"python":"3.11"})";
  job.canceled_by = "";
  job.log_removed = Removal{from_unix_micros(1'773'600'000'000'000), "to make room: the disk was 93 % full"};
  job.outputs_removed = Removal{from_unix_micros(1'773'700'000'000'000), "keep_outputs is 30 days"};
  return job;
}

}  // namespace berth::model
