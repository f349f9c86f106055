#include "agent/jobs/outage.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "runtime/async/no_thread.hpp"
#include "runtime/docker/engine_error.hpp"
#include "runtime/docker/reference.hpp"

namespace berth::jobs {
namespace {

TEST_CASE("what may be back in a moment is an outage, and told by what is away") {
  const Error away(Code::unavailable, "no container engine listens on /run/docker.sock");
  const Error hangs(Code::timeout, "the container engine does not answer");
  const Error cut(Code::unavailable, "the connection ended before the answer was complete");
  for (const auto& error : {away, hangs, cut}) {
    CHECK(outage_of(error, true) == "the container engine");
    CHECK(is_engines(*outage_of(error, true)));
    CHECK_FALSE(outage_of(error, false));  // of a job without a container it is something else
  }
  const auto image = docker::parse_reference("team/train:1");
  for (const char* said : {"dial tcp 10.0.0.1:443: connect: connection refused", "received unexpected HTTP status: 503 x",
                           "net/http: TLS handshake timeout", "lookup r.io: Temporary failure in name resolution"})
    CHECK(outage_of(docker::pull_error(image, said), true) == "the registry");
  CHECK(outage_of(Error(Code::no_space, "no space left"), true) == "disk space");
  CHECK(outage_of(Error(Code::no_space, "no space left"), false) == "disk space");
  CHECK(outage_of(Error(Code::unavailable, "the environment failed, for the package index does not answer"), false) ==
        "the package index");
  for (const bool contained : {true, false})
    CHECK(outage_of(error_from(async::no_thread(std::runtime_error("no more"))), contained) == "room for one more process");
}

TEST_CASE("what comes again however often it is tried is none") {
  const auto image = docker::parse_reference("team/train:1");
  for (const char* said : {"manifest unknown", "unauthorized: authentication required", "lookup r.io: no such host",
                           "x509: certificate signed by unknown authority", "something else"})
    CHECK_FALSE(outage_of(docker::pull_error(image, said), true));
  CHECK_FALSE(outage_of(docker::build_error("The command 'x' returned a non-zero code: 1"), true));
  CHECK_FALSE(outage_of(Error(Code::internal, "a defect"), true));
}

TEST_CASE("an engine on its way down is away") {
  CHECK(outage_of(docker::call_error(500, "start the container", "x", "server is shutting down"), true) ==
        "the container engine");
  CHECK_FALSE(outage_of(docker::call_error(500, "start the container", "x", "no such file"), true));
}

}  // namespace
}  // namespace berth::jobs
