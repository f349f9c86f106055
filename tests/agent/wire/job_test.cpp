#include "agent/wire/job.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "agent/wire/event.hpp"
#include "agent/wire/json_text.hpp"
#include "agent/wire/secrets.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"
#include "tests/agent/model/example.hpp"
#include "tests/agent/model/ids.hpp"

using namespace berth;
using namespace berth::model;
using namespace berth::wire;
using nlohmann::json;

namespace {

std::string complaint(const json& request) {
  try {
    request_from(request);
  } catch (const Error& error) {
    CHECK(error.code() == Code::invalid);
    return error.message();
  }
  return "";
}

std::string complaint_with(const char* key, const json& value) {
  auto request = json_of(full_request());
  request[key] = value;
  return complaint(request);
}

}  // namespace

TEST_CASE("a request survives its JSON") {
  for (const auto& request : {small_request(), full_request()})
    CHECK(request_from(parse_json(json_of(request).dump())) == request);
}

TEST_CASE("a request's JSON is the one that is documented") {
  CHECK(json_of(full_request()).dump() ==
        R"({"command":["python","train.py","--x=\"a b\"",""],"diff":")" + digest_of(0xcd).hex() +
            R"(","environment":{"kind":"user_managed","python":"/opt/python"},)"
            R"("environment_variables":{"A":"line\nline","PATH":"/bin"},"experiment":"mnist","held":true,)"
            R"("limits":{"cpus":true,"network":false,"pids":300,"tmp_bytes":2097152},)"
            R"("log_cap_bytes":1048576,"name":"Größe 1","outputs":["outputs","runs/a"],"priority":-5,)"
            R"("properties":{"mlflow.source.git.commit":"abc"},)"
            R"("resources":{"cpu_milli":2500,"gpus":1,"memory_bytes":4294967296,"slots":2},)"
            R"("retries":{"failed":0,"lost":3},"snapshot":")" +
            digest_of(0xab).hex() +
            R"(","stop":{"grace_ms":1500,"signal":2},"submission_id":"00112233445566778899aabbccddeeff",)"
            R"("tags":{"empty":"","lr":"0.1"},"timeout_ms":5400000,"working_directory":"src/train"})");
}

TEST_CASE("what a request leaves out has its default") {
  const auto request = request_from(json{{"command", {"true"}}});
  JobRequest expected;
  expected.command = {"true"};
  CHECK(request == expected);
  CHECK(request.resources == Resources{1000, ByteSize(0), 0, 1});
}

TEST_CASE("the memory wanted of each GPU is written only where GPUs are shared") {
  auto request = full_request();
  request.resources.gpu_memory = 20_GiB;
  CHECK(json_of(request).at("resources").at("gpu_memory_bytes") == 20ULL << 30);
  CHECK(request_from(json_of(request)) == request);
  CHECK_FALSE(json_of(full_request()).at("resources").contains("gpu_memory_bytes"));
}

TEST_CASE("what is said of a container is among the resources, as in Azure ML's jobs, and only where it is said") {
  auto request = full_request();
  request.container.shm_size = 8_GiB;
  request.container.docker_args = "--ipc=host";
  const auto resources = json_of(request).at("resources");
  CHECK(resources.at("shm_size_bytes") == 8ULL << 30);
  CHECK(resources.at("docker_args") == "--ipc=host");
  CHECK(request_from(json_of(request)) == request);
  CHECK_FALSE(json_of(full_request()).at("resources").contains("shm_size_bytes"));
  CHECK_FALSE(json_of(full_request()).at("resources").contains("docker_args"));
}

TEST_CASE("mistakes in a request are told by field") {
  CHECK(complaint(json::array()) == "job request: must be a JSON object");
  CHECK(complaint(json::object()) == "job request: 'command' is missing");
  CHECK(complaint_with("comand", "x") == "job request: 'comand' is not a known field");
  CHECK(complaint_with("command", "ls") == "job request: 'command' must be a list of texts");
  CHECK(complaint_with("command", {1}) == "job request: 'command' must be text");
  CHECK(complaint_with("priority", 1.5) == "job request: 'priority' must be a whole number from -1000 to 1000");
  CHECK(complaint_with("priority", 5000) == "job request: 'priority' must be a whole number from -1000 to 1000");
  CHECK(complaint_with("timeout_ms", -1).find("'timeout_ms' must be a whole number from 0") != std::string::npos);
  CHECK(complaint_with("held", 1) == "job request: 'held' must be true or false");
  CHECK(complaint_with("tags", json::array()) == "job request: 'tags' must be an object of texts");
  CHECK(complaint_with("snapshot", "12") ==
        "job request: 'snapshot' must be a SHA-256 digest: 64 lower-case hexadecimal digits");
  CHECK(complaint_with("resources", {{"gpu", 1}}) == "resources: 'gpu' is not a known field");
  CHECK(complaint_with("resources", {{"gpus", 70000}}) == "resources: 'gpus' must be a whole number from 0 to 65535");
  CHECK(complaint_with("environment", {{"kind", "podman"}}) ==
        "environment: 'kind' must be 'none', 'user_managed', 'conda', 'venv', 'image', 'dockerfile' or 'lock'");
  CHECK(complaint_with("stop", {{"signal", 0}}) == "stop: 'signal' must be a whole number from 1 to 64");
  CHECK(complaint_with("retries", {{"lost", -1}}).find("'retries' must be a whole number") != std::string::npos);
  CHECK(complaint_with("\x1b[31m", 1) == "job request: '\\x1b[31m' is not a known field");
}

TEST_CASE("every ending survives its JSON") {
  const Ending endings[] = {Exited{3},
                            Signalled{9},
                            TimedOut{std::chrono::milliseconds(5)},
                            Canceled{"ann"},
                            StartFailed{126, "r"},
                            EnvironmentFailed{"r"},
                            ImageFailed{"r"},
                            SnapshotFailed{"r"},
                            DiskFull{"r"},
                            OutOfMemory{2_GiB, 3_MiB},
                            Preempted{Preempted::Cause::drain},
                            Preempted{Preempted::Cause::shutdown},
                            Lost{Lost::Cause::reboot},
                            Lost{Lost::Cause::shim_killed}};
  for (const auto& ending : endings)
    CHECK(message_from<Ending>(parse_json(json_of(ending).dump()), "ending") == ending);
  CHECK(json_of(Ending(Signalled{9})).dump() == R"({"kind":"signalled","signal":9,"signal_name":"SIGKILL"})");
  CHECK(json_of(Ending(Lost{})).dump() == R"({"cause":"reboot","kind":"lost"})");
  CHECK_THROWS_AS(message_from<Ending>(json{{"kind", "eaten"}}, "ending"), Error);
}

TEST_CASE("a job survives its JSON") {
  auto job = full_job();
  CHECK(job_from(parse_json(json_of(JobRecord{job, {}}).dump())).job == job);
  job.attempts.clear();
  job.ending.reset();
  job.finished.reset();
  job.environment_record.clear();
  job.state = State::queued;
  CHECK(job_from(parse_json(json_of(JobRecord{job, {}}).dump())).job == job);
}

TEST_CASE("a job's JSON tells a stranger everything, under the same keys at any time") {
  const auto done = json_of(JobRecord{full_job(), {}});
  auto waiting = full_job();
  waiting.attempts.clear();
  waiting.ending.reset();
  waiting.finished.reset();
  const auto not_done = json_of(JobRecord{waiting, {}});
  for (const auto* key :
       {"id",         "name",    "state",     "ending",     "ending_words", "exit_code",   "user",     "resources",
        "priority",   "held",    "submitted", "started",    "finished",     "duration_ms", "attempts", "tags",
        "experiment", "command", "snapshot",  "properties", "environment",  "outputs",     "retries"}) {
    CAPTURE(key);
    CHECK(done.contains(key));
    CHECK(not_done.contains(key));
  }
  CHECK(done["state"] == "Failed");
  CHECK(done["ending"] == json{{"kind", "exited"}, {"code", 3}});
  CHECK(done["ending_words"] == "exited with code 3");
  CHECK(done["exit_code"] == 3);
  CHECK(done["submitted"] == "2026-03-14T15:09:26.535897Z");
  CHECK(done["started"] == "2026-03-14T15:09:40.000000Z");
  CHECK(done["duration_ms"] == 18000);
  CHECK(done["priority"] == 7);
  CHECK(done["environment_record"]["python"] == "3.11");
  CHECK(not_done["exit_code"].is_null());
}

TEST_CASE("fields that a newer agent adds to a job are ignored") {
  auto object = json_of(JobRecord{full_job(), {}});
  object["mood"] = "good";
  CHECK(job_from(object).job == full_job());
}

TEST_CASE("malformed JSON tells the position, and depth is bounded") {
  const auto message = [](const std::string& text) {
    try {
      parse_json(text);
    } catch (const Error& error) {
      CHECK(error.code() == Code::invalid);
      return error.message();
    }
    return std::string();
  };
  CHECK(message("{\"a\": }") == "malformed JSON at byte 7");
  CHECK(message("").starts_with("malformed JSON"));
  CHECK(message("\"\xff\"").starts_with("malformed JSON"));
  CHECK(message("[1e999]") == "JSON with a number out of range");
  CHECK(message(std::string(100'000, '[')) == "JSON is nested too deeply");
  CHECK(message(std::string(32, '[') + std::string(32, ']')).empty());
}

TEST_CASE("what a lock is of is found out once, and kept with the job") {
  auto request = small_request();
  request.environment.kind = EnvironmentRequest::Kind::lock;
  request.environment.file = "lock.json";
  request.environment.files = {{"lock.json", R"({"kind":"image","image":"a@sha256:1"})"}};
  const auto sent = json_of(request);
  CHECK(!sent.contains("lock_of_image"));
  auto taken = request_from(sent);
  CHECK(taken.environment.of_image == true);
  taken.environment.files["lock.json"] = "not read again";
  CHECK(in_container(taken.environment));
  const auto stored = json_of(taken);
  CHECK(in_container(request_from(stored).environment));
  Job job;
  job.request = taken;
  CHECK(!json_of(JobRecord{job, {}}).contains("lock_of_image"));
  // A request from outside cannot say it.
  auto claimed = sent;
  claimed["lock_of_image"] = false;
  CHECK_THROWS_AS(take_secrets(claimed), Error);
  request.environment.files["lock.json"] = std::string(1'000'000, '[');
  CHECK(request_from(json_of(request)).environment.of_image == false);
}

TEST_CASE("what does not apply to an event is null in its JSON") {
  model::Event event;
  event.job = "brave-heron-7k2m"_job;
  const auto submitted = json_of(told(event));
  for (const auto* key : {"by", "priority", "ending", "why"}) CHECK(submitted.at(key).is_null());
  CHECK(submitted.at("words") == "submitted");
  CHECK(submitted.at("state") == "Preparing");
  event.what = model::Event::What::ended;
  event.ending = Exited{3};
  CHECK(json_of(told(event)).at("ending").at("code") == 3);
}
