#include "runtime/docker/engine_error.hpp"

#include <doctest/doctest.h>

namespace berth::docker {

TEST_CASE("a pull's failure is told apart by what the engine says") {
  struct Row {
    Code code;
    const char* said;
  };
  const auto image = parse_reference("team/train:1");
  for (const auto& row : {
           Row{Code::not_found, "manifest for team/train:1 not found: manifest unknown: manifest unknown"},
           Row{Code::denied,
               "pull access denied for team/train, repository does not exist or may require 'docker login'"},
           Row{Code::denied, "Get \"http://127.0.0.1:5056/v2/x/manifests/1\": no basic auth credentials"},
           Row{Code::denied, "unauthorized: authentication required"},
           Row{Code::unsupported, "no matching manifest for linux/amd64 in the manifest list entries"},
           Row{Code::no_space, "failed to register layer: write /x: no space left on device"},
           // Told for good, where the others are an outage.
           Row{Code::not_found, "Get \"https://r.io/v2/\": dial tcp: lookup r.io: no such host"},
           Row{Code::unsupported, "Get \"https://r.io/v2/\": x509: certificate signed by unknown authority"},
           Row{Code::unavailable, "Get \"https://r.io/v2/\": dial tcp: lookup r.io on 10.0.0.1:53: server misbehaving"},
           Row{Code::unavailable, "received unexpected HTTP status: 502 Bad Gateway"},
           Row{Code::unavailable, "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused"},
           Row{Code::unavailable, "unexpected EOF"},
           Row{Code::unavailable, "toomanyrequests: You have reached your pull rate limit"},
           Row{Code::io, "something else"},
       }) {
    const auto error = pull_error(image, row.said);
    CHECK_MESSAGE(error.code() == row.code, row.said);
    CHECK(error.message().find("docker.io/team/train:1") != std::string::npos);
  }
}

TEST_CASE("a step that fails is the Dockerfile's fault, whatever its words") {
  CHECK(build_error("The command '/bin/sh -c pip install x not found' returned a non-zero code: 1").code() ==
        Code::invalid);
  CHECK(build_error("pull access denied for x, repository does not exist").code() == Code::denied);
  CHECK(build_error("dockerfile parse error line 3: unknown instruction: RUNN").message().find("line 3") !=
        std::string::npos);
}

TEST_CASE("messages are found in JSON of Docker and Podman, and as they are") {
  CHECK(message_of("{\"message\":\"a\"}") == "a");
  CHECK(message_of("{\"cause\":\"b\",\"response\":500}") == "b");
  CHECK(message_of("plain") == "plain");
}

}  // namespace berth::docker
