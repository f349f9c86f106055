#include "agent/api/shown.hpp"

#include <doctest/doctest.h>

#include <cctype>
#include <nlohmann/json.hpp>

#include "agent/model/json.hpp"
#include "tests/agent/model/example.hpp"

using namespace berth;

namespace {

http::Peer user(uid_t uid) {
  http::Peer peer;
  peer.uid = uid;
  return peer;
}

}  // namespace

TEST_CASE("a job is shown whole to its owner and to root, and to others without what it is made of") {
  const api::Access access(0, true, false);
  const auto job = model::full_job();
  CHECK(api::shown_to(access, user(job.uid), job) == job);
  CHECK(api::shown_to(access, user(0), job) == job);
  const auto other = api::shown_to(access, user(job.uid + 1), job);
  CHECK(other.id == job.id);
  CHECK(other.user == job.user);
  CHECK(other.state == job.state);
  CHECK(other.request.resources == job.request.resources);
  const auto text = model::to_json(other).dump();
  // No digest of anything, nor any word of the command or its variables.
  for (const auto byte : {"abab", "efef"}) CHECK(text.find(byte) == std::string::npos);
  for (const auto* word : {"train.py", "src/train", "PATH", "/opt/python", "mlflow.source.git.commit", "3.11"})
    CHECK(text.find(word) == std::string::npos);
  for (std::size_t i = 0, hex = 0; i < text.size(); ++i) {
    hex = std::isxdigit(static_cast<unsigned char>(text[i])) != 0 ? hex + 1 : 0;
    REQUIRE(hex < 32);
  }
  // What a client of the command line reads.
  CHECK(model::job_from_json(model::to_json(other)).id == job.id);
}

TEST_CASE("why a job failed may quote what is its owner's") {
  const api::Access access(0, true, false);
  auto job = model::full_job();
  job.ending = model::EnvironmentFailed{"pip: no such package as secret-name"};
  job.attempts.back().ending = job.ending;
  const auto text = model::to_json(api::shown_to(access, user(job.uid + 1), job)).dump();
  CHECK(text.find("secret-name") == std::string::npos);
  CHECK(text.find("environment_failed") != std::string::npos);
  CHECK(model::to_json(api::shown_to(access, user(job.uid), job)).dump().find("secret-name") != std::string::npos);
}

TEST_CASE("where everybody may read, everybody is shown all") {
  const api::Access access(0, true, true);
  const auto job = model::full_job();
  CHECK(api::shown_to(access, user(job.uid + 1), job) == job);
}
