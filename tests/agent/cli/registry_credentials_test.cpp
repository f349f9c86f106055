#include "agent/cli/registry_credentials.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

using namespace berth;
using model::AllRegistryCredentials;

namespace {

model::EnvironmentRequest image(const std::string& name) {
  model::EnvironmentRequest environment;
  environment.kind = model::EnvironmentRequest::Kind::image;
  environment.image = name;
  return environment;
}

AllRegistryCredentials read(const std::string& content, const model::EnvironmentRequest& environment) {
  os::TempDir place;
  os::write_file(place / "file", content, 0600, os::Durable::no);
  return cli::read_registry_credentials(place / "file", environment);
}

std::string mistake(const std::string& content, const model::EnvironmentRequest& environment) {
  try {
    read(content, environment);
  } catch (const Error& error) {
    CHECK(error.describe().find("hush") == std::string::npos);
    return error.message();
  }
  return "none";
}

constexpr const char* kAzure = R"({"registry": "r.example:5000", "username": "ann", "password": "hush"})";
// The first is base64 of "ann:hush".
constexpr const char* kDocker = R"({"auths": {"https://r.example:5000/v1/": {"auth": "YW5uOmh1c2g="},
    "https://index.docker.io/v1/": {"username": "bob", "password": "hush2"}}})";
const AllRegistryCredentials kAnn{{"r.example:5000", "ann", "hush", ""}};
const AllRegistryCredentials kBob{{"docker.io", "bob", "hush2", ""}};

}  // namespace

TEST_CASE("only what is for the image's registry is taken") {
  CHECK(read(kAzure, image("r.example:5000/team/x:1")) == kAnn);
  CHECK(read(kDocker, image("r.example:5000/team/x:1")) == kAnn);
  CHECK(read(kDocker, image("debian:12")) == kBob);
  CHECK(mistake(kDocker, image("other.example/x")).find("has none for other.example") != std::string::npos);
  CHECK(mistake(kAzure, image("debian:12")).find("has none for docker.io") != std::string::npos);
}

TEST_CASE("without a registry the image's is meant") {
  CHECK(read(R"([{"username": "bob", "password": "hush2"}])", image("debian")) == kBob);
}

TEST_CASE("where the registries cannot be told everything is taken") {
  model::EnvironmentRequest dockerfile;
  dockerfile.kind = model::EnvironmentRequest::Kind::dockerfile;
  CHECK(read(kAzure, dockerfile) == kAnn);
  CHECK(read(kDocker, dockerfile).size() == 2);
  CHECK(read(kDocker, image("gpu")).size() == 2);
  CHECK(mistake(R"({"username": "ann", "password": "hush"})", image("cpu")).find("'registry' must be a host") !=
        std::string::npos);
}

TEST_CASE("a credential helper is asked as docker would") {
  os::TempDir place;
  os::write_file(place / "docker-credential-tests",
                 "#!/bin/sh\nread host\n"
                 "echo '{\"Username\": \"ann\", \"Secret\": \"hush\"}'\n",
                 0755, os::Durable::no);
  const std::string before = std::getenv("PATH");
  ::setenv("PATH", (place.path() + ":" + before).c_str(), 1);
  CHECK(read(R"({"credHelpers": {"r.example:5000": "tests"}})", image("r.example:5000/x")) == kAnn);
  ::setenv("PATH", before.c_str(), 1);
}

TEST_CASE("mistakes are told, secrets are not") {
  CHECK(mistake("hush", image("x")).find("is not JSON") != std::string::npos);
  CHECK(mistake(kAzure, {}).find("runs in no container") != std::string::npos);
  CHECK(mistake(R"({"username": "ann"})", image("x")).find("needed") != std::string::npos);
}
