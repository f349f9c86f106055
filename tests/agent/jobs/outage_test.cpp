#include "agent/jobs/outage.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <stdexcept>

#include "agent/jobs/secret_masks.hpp"
#include "runtime/async/no_thread.hpp"
#include "runtime/docker/engine_error.hpp"
#include "runtime/docker/reference.hpp"
#include "runtime/environment/build_failure.hpp"
#include "runtime/http/client.hpp"

namespace berth::jobs {
namespace {

Error refusal(http::Client client) {
  http::Client::Request request;
  request.method = "GET";
  request.target = "/";
  try {
    client.ask(request);
  } catch (const Error& error) {
    return error;
  }
  return Error(Code::internal, "somebody answered");
}

TEST_CASE("what may be back in a moment is an outage, and told by what is away") {
  const auto image = docker::parse_reference("team/train:1");
  for (const char* said :
       {"dial tcp 10.0.0.1:443: connect: connection refused", "received unexpected HTTP status: 503 x",
        "net/http: TLS handshake timeout", "lookup r.io: Temporary failure in name resolution"}) {
    CHECK(outage_of(docker::pull_error(image, said)) == "the registry");
    CHECK(outage_of(docker::build_error(said)) == "the registry");
  }
  CHECK(outage_of(docker::pull_error(image, "no space left on device")) == "disk space");
  CHECK(outage_of(Error(Code::no_space, "no space left")) == "disk space");
  CHECK(outage_of(errno_error(ENOSPC, "write", "x")) == "disk space");
  CHECK(outage_of(error_from(async::no_thread(std::runtime_error("no more")))) == "room for one more process");
  shim::Ended ended;
  ended.outcome = os::Exit{.status = 1};
  const auto index = environment::build_failure("venv", ended, "ERROR: Temporary failure in name resolution\n", false);
  CHECK(outage_of(index) == "the package index");
}

TEST_CASE("who listens there says what his absence is") {
  http::Client::Options options;
  options.absence = Lack::engine;
  const auto away = refusal(http::Client("/nowhere/engine.sock", options));
  CHECK(outage_of(away) == "the container engine");
  CHECK_FALSE(outage_of(refusal(http::Client("/nowhere/engine.sock"))));
}

TEST_CASE("the cause outlives what is added to an error and taken out of it, and no word of it makes one") {
  auto error = Error(Code::unavailable, "asked with sesame").for_lack_of(Lack::registry);
  error.add_context("asking");
  model::JobSecrets secrets;
  secrets.values["PASSWORD"] = "sesame";
  const auto mask = mask_of(secrets);
  CHECK(outage_of(masked(error, mask)) == "the registry");
  for (const char* words : {"registry", "cannot pull", "image's build failed", "package index does not answer",
                            "cannot start a thread", "no container engine listens"})
    CHECK_FALSE(outage_of(Error(Code::unavailable, words)));
}

TEST_CASE("what comes again however often it is tried is none") {
  const auto image = docker::parse_reference("team/train:1");
  for (const char* said : {"manifest unknown", "unauthorized: authentication required", "lookup r.io: no such host",
                           "x509: certificate signed by unknown authority", "something else"})
    CHECK_FALSE(outage_of(docker::pull_error(image, said)));
  CHECK_FALSE(outage_of(docker::build_error("The command 'x' returned a non-zero code: 1")));
  CHECK_FALSE(outage_of(Error(Code::internal, "a defect")));
}

TEST_CASE("an engine on its way down is away") {
  CHECK(outage_of(docker::call_error(500, "start the container", "x", "server is shutting down")) ==
        "the container engine");
  CHECK_FALSE(outage_of(docker::call_error(500, "start the container", "x", "no such file")));
}

}  // namespace
}  // namespace berth::jobs
