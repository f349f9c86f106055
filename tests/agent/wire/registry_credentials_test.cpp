#include "agent/wire/secrets.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "agent/wire/request.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"
#include "tests/agent/model/example.hpp"

using namespace berth;
using namespace berth::model;
using namespace berth::wire;
using nlohmann::json;

namespace {

json submission_with(const json& credentials) {
  auto request = small_request();
  request.environment.kind = EnvironmentRequest::Kind::image;
  request.environment.image = "r.example/x";
  auto submission = json_of(request);
  submission["registry_credentials"] = credentials;
  return submission;
}

std::string complaint(const json& credentials) {
  try {
    auto submission = submission_with(credentials);
    take_registry_credentials(submission);
  } catch (const Error& error) {
    CHECK(error.code() == Code::invalid);
    CHECK(error.describe().find("hush") == std::string::npos);
    return error.message();
  }
  return "";
}

}  // namespace

TEST_CASE("of the credentials that a submission brings only the registries stay in the request") {
  const json ann{{"registry", "r.example"}, {"username", "ann"}, {"password", "hush"}};
  const json token{{"registry", "s:5000"}, {"identity_token", "hush"}};
  auto submission = submission_with(json::array({ann, token}));
  const auto own = take_registry_credentials(submission);
  CHECK(own == AllRegistryCredentials{{"r.example", "ann", "hush", ""}, {"s:5000", "", "", "hush"}});
  CHECK(submission.dump().find("hush") == std::string::npos);
  CHECK(submission.dump().find("ann") == std::string::npos);
  const auto request = request_from(submission);
  CHECK(request.container.registries == std::vector<std::string>{"r.example", "s:5000"});
  CHECK(request_from(json_of(request)) == request);
  CHECK(json_of(request).at("registry_credentials").dump() == R"([{"registry":"r.example"},{"registry":"s:5000"}])");
  CHECK_FALSE(json_of(small_request()).contains("registry_credentials"));
  const auto sent = json_of(SubmittedRequest{request, {own, {}}}).at("registry_credentials");
  CHECK(registry_credentials_from(sent) == own);
}

TEST_CASE("a request that still holds a secret is refused before it could be stored") {
  const json ann{{"registry", "r.example"}, {"username", "ann"}, {"password", "hush"}};
  const auto submission = submission_with(json::array({ann}));
  CHECK_THROWS_AS(request_from(submission), Error);
}

TEST_CASE("credentials are whole, and for a host") {
  const json good{{"registry", "r.example:5000"}, {"username", "ann"}, {"password", "hush"}};
  CHECK(complaint(json::array({good})) == "");
  const auto without = [&](const char* key) {
    auto bad = good;
    bad.erase(key);
    return complaint(json::array({bad}));
  };
  CHECK(without("registry").find("'registry' must be a host") != std::string::npos);
  CHECK(without("username").find("'username' are needed") != std::string::npos);
  CHECK(without("password").find("'password'") != std::string::npos);
  for (const auto* registry : {"https://r.example", "r.example/path", "", "a b"}) {
    auto bad = good;
    bad["registry"] = registry;
    CHECK(complaint(json::array({bad})).find("must be a host") != std::string::npos);
  }
  auto more = good;
  more["email"] = "x";
  CHECK(complaint(json::array({more})).find("'email' is not a known field") != std::string::npos);
  CHECK(complaint(good) != "");
  CHECK(complaint(json(std::vector<json>(17, good))).find("16") != std::string::npos);
}
