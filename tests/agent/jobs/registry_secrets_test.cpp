#include "agent/jobs/registry_secrets.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

using namespace berth;

namespace {

const std::string kId = "00112233445566778899aabbccddeeff";

model::JobRequest request_with(std::vector<std::string> registries) {
  model::JobRequest request;
  request.submission_id = kId;
  request.container.registries = std::move(registries);
  return request;
}

mode_t mode_of(const std::string& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

}  // namespace

TEST_CASE("registry credentials are kept where only the agent can read them, until they are removed") {
  os::TempDir place;
  const jobs::RegistrySecrets secrets(place / "secrets");
  CHECK(secrets.list().empty());
  CHECK(secrets.of(request_with({})).empty());
  CHECK(secrets.keep(kId, {{"r.example", "ann", "pass", ""}, {"s.example:5000", "", "", "token"}}));
  CHECK(mode_of(place / "secrets") == 0700);
  CHECK(mode_of(place / "secrets/" + kId) == 0600);
  CHECK(secrets.list() == std::vector<std::string>{kId});
  const auto found = jobs::RegistrySecrets(place / "secrets").of(request_with({"r.example", "s.example:5000"}));
  REQUIRE(found.size() == 2);
  CHECK(found.at("r.example").username == "ann");
  CHECK(found.at("r.example").password == "pass");
  CHECK(found.at("s.example:5000").identity_token == "token");
  secrets.remove(kId);
  CHECK(secrets.list().empty());
  secrets.remove(kId);
}

TEST_CASE("a submission that comes again does not change the credentials of the first") {
  os::TempDir place;
  const jobs::RegistrySecrets secrets(place / "secrets");
  CHECK(secrets.keep(kId, {{"r.example", "ann", "first", ""}}));
  CHECK_FALSE(secrets.keep(kId, {{"r.example", "ann", "second", ""}}));
  CHECK(secrets.of(request_with({"r.example"})).at("r.example").password == "first");
}

TEST_CASE("credentials that are gone are told, with no word about what they were") {
  os::TempDir place;
  const jobs::RegistrySecrets secrets(place / "secrets");
  try {
    secrets.of(request_with({"r.example"}));
    FAIL("found some");
  } catch (const Error& error) {
    CHECK(error.code() == Code::not_found);
    CHECK(error.hint() == "submit it again");
  }
}
