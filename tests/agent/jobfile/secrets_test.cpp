#include <doctest/doctest.h>

#include "agent/jobfile/flags.hpp"
#include "runtime/base/error.hpp"

using namespace berth;

namespace {

jobfile::Place place() {
  jobfile::Place place;
  place.current_directory = "/home/ada";
  place.environment_variable = [](const std::string& name) -> std::optional<std::string> {
    if (name == "HF_TOKEN") return "hf_1";
    return std::nullopt;
  };
  place.read_file = [](const std::string& path) -> std::string {
    if (path == "/home/ada/key.pem") return "PEM\n";
    throw Error(Code::not_found, "cannot open " + path);
  };
  place.read_input = [] { return std::string("typed\n"); };
  return place;
}

std::string refusal(std::vector<std::string> secrets, std::vector<std::string> variables = {}) {
  jobfile::Flags flags;
  flags.secrets = std::move(secrets);
  flags.secret_variables = std::move(variables);
  try {
    jobfile::secrets(flags, place());
  } catch (const Error& error) {
    return error.describe();
  }
  FAIL("taken");
  return {};
}

}  // namespace

TEST_CASE("a secret is what a variable holds, what is in a file, or what is typed") {
  jobfile::Flags flags;
  flags.secrets = {"HF_TOKEN", "CERT=key.pem"};
  flags.secret_variables = {"TYPED=-"};
  const auto found = jobfile::secrets(flags, place());
  REQUIRE(found.size() == 3);
  CHECK(found.at("HF_TOKEN") == model::GivenSecret{"hf_1", {true, false}});
  CHECK(found.at("CERT") == model::GivenSecret{"PEM\n", {true, false}});
  CHECK(found.at("TYPED") == model::GivenSecret{"typed\n", {true, true}});
}

TEST_CASE("mistakes with secrets are told with the flag, and without what may be the secret itself") {
  CHECK(refusal({"ABSENT"}).find("--secret: the variable 'ABSENT' is not set here") == 0);
  CHECK(refusal({"A="}).find("is not named") != std::string::npos);
  CHECK(refusal({"A=key.pem", "A=key.pem"}).find("is given twice") != std::string::npos);
  CHECK(refusal({"A=-"}, {"B=-"}).find("one secret only") != std::string::npos);
  CHECK(refusal({"hf-secret!"}).find("hf-secret") == std::string::npos);
  const auto mistaken = refusal({}, {"A=hunter2"});
  CHECK(mistaken.find("--secret-env: there is no such file for 'A'") == 0);
  CHECK(mistaken.find("hunter2") == std::string::npos);
}
