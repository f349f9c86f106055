#include "runtime/docker/credentials.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "runtime/base/base64.hpp"
#include "runtime/os/file.hpp"
#include "tests/runtime/docker/failure.hpp"

namespace berth::docker {
namespace {

using nlohmann::json;
using test::failure_of;

class Config {
 public:
  Keychain keychain(const json& content, std::chrono::seconds patience = std::chrono::seconds(15)) {
    return keychain(content.dump(), patience);
  }
  Keychain keychain(const std::string& content, std::chrono::seconds patience = std::chrono::seconds(15)) {
    os::write_file(directory_ / "config.json", content, 0600, os::Durable::no);
    return Keychain(directory_ / "config.json", "/nowhere:" + directory_.path(), patience);
  }
  void helper(const std::string& name, const std::string& script) {
    os::write_file(directory_ / ("docker-credential-" + name), "#!/bin/sh\n" + script, 0755, os::Durable::no);
  }

 private:
  os::TempDir directory_;
};

}  // namespace

TEST_CASE("credentials of config.json are found by the registry") {
  Config config;
  const json hub = {{"auth", base64("ann:secret:with:colons")}};
  const json other = {{"username", "bob"}, {"password", "b"}};
  const json token = {{"auth", base64("x:")}, {"identitytoken", "t"}};
  const auto keychain = config.keychain(
      json{{"auths", {{"https://index.docker.io/v1/", hub}, {"https://ghcr.io", other}, {"127.0.0.1:5000", token}}}});
  CHECK(keychain.find("docker.io").username == "ann");
  CHECK(keychain.find("docker.io").password == "secret:with:colons");
  CHECK(keychain.find("ghcr.io").username == "bob");
  CHECK(keychain.find("127.0.0.1:5000").identity_token == "t");
  CHECK(keychain.find("quay.io").empty());
}

TEST_CASE("without the file there are no credentials, and one that is broken is named") {
  CHECK(Keychain("/nowhere/config.json").find("docker.io").empty());
  Config config;
  const auto broken = failure_of([&] { config.keychain(std::string("{")).find("docker.io"); });
  CHECK(broken.message().find("config.json") != std::string::npos);
  const json bad = {{"auths", {{"ghcr.io", {{"auth", "no colon!"}}}}}};
  CHECK(test::code_of([&] { config.keychain(bad).find("ghcr.io"); }) == Code::invalid);
  const json latin1 = {{"auths", {{"ghcr.io", {{"auth", base64("u:\xe9")}}}}}};
  CHECK(failure_of([&] { config.keychain(latin1).find("ghcr.io"); }).message().find("UTF-8") != std::string::npos);
}

TEST_CASE("a credential helper is asked for its registry, and the store for the rest") {
  Config config;
  config.helper("own", "read host; printf '{\"Username\":\"%s\",\"Secret\":\"s\"}' \"$1 $host\"");
  config.helper("all", "read host; printf '{\"Username\":\"<token>\",\"Secret\":\"for %s\"}' \"$host\"");
  const auto keychain = config.keychain(json{{"credHelpers", {{"ghcr.io", "own"}}}, {"credsStore", "all"}});
  CHECK(keychain.find("ghcr.io").username == "get ghcr.io");
  CHECK(keychain.find("docker.io").identity_token == "for https://index.docker.io/v1/");
}

TEST_CASE("a helper that knows nothing means no credentials") {
  Config config;
  config.helper("own", "echo 'credentials not found in native keychain'; exit 1");
  CHECK(config.keychain(json{{"credsStore", "own"}}).find("ghcr.io").empty());
}

TEST_CASE("a helper that is absent, fails, hangs or is no name at all is told, and its secret is not") {
  Config config;
  const auto failure = [&](const std::string& name, std::chrono::seconds patience = std::chrono::seconds(15)) {
    return failure_of([&] { config.keychain(json{{"credsStore", name}}, patience).find("ghcr.io"); });
  };
  CHECK(failure("absent").code() == Code::not_found);
  CHECK(failure("../../bin/sh").code() == Code::not_found);
  config.helper("bad", "echo no daemon >&2; exit 3");
  CHECK(failure("bad").message().find("no daemon") != std::string::npos);
  config.helper("slow", "exec /bin/sleep 60");
  CHECK(failure("slow", std::chrono::seconds(1)).code() == Code::timeout);
  config.helper("odd", "echo 'SECRET-IN-THE-OUTPUT'");
  CHECK(failure("odd").describe().find("SECRET") == std::string::npos);
}

TEST_CASE("the engine gets credentials as base64 of JSON") {
  const auto decoded = [](const std::string& text) { return json::parse(*from_base64(text)); };
  CHECK(decoded(registry_auth({}, "ghcr.io")) == json::object());
  CHECK(decoded(registry_auth({"ann", "pw", {}}, "docker.io")) ==
        json{{"username", "ann"}, {"password", "pw"}, {"serveraddress", "https://index.docker.io/v1/"}});
  CHECK(decoded(registry_auth({{}, {}, "t"}, "ghcr.io"))["identitytoken"] == "t");
  CHECK(decoded(registry_config({{"ghcr.io", {"ann", "pw", {}}}, {"empty.io", {}}})).size() == 1);
}

}  // namespace berth::docker
