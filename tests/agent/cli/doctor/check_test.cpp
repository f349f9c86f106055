#include "agent/cli/doctor/check.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using namespace berth::cli;
using namespace berth::cli::doctor;

namespace {

const std::vector<Check> kChecks{{"agent", Level::ok, "answers", "", {"pid 4"}},
                                 {"cgroup", Level::warning, "limits are off", "boot so\nthen reboot", {}},
                                 {"disk", Level::problem, "full\x1b[2J", "berth gc", {}},
                                 {"git", Level::note, "not installed", "", {}}};

}  // namespace

TEST_CASE("one line per check, and what to do below it") {
  CHECK(checks_page(kChecks, false, {}) ==
        "ok       agent       answers\n"
        "warning  cgroup      limits are off\n"
        "                     boot so\n"
        "                     then reboot\n"
        "problem  disk        full\\x1b[2J\n"
        "                     berth gc\n"
        "note     git         not installed\n"
        "1 problem, 1 warning\n");
  CHECK(checks_page(kChecks, true, {}).find("answers\n                     pid 4\n") != std::string::npos);
  CHECK(checks_page({}, false, {}) == "no problems, no warnings\n");
  CHECK(checks_page(kChecks, false, {80, true}).starts_with("\x1b[32mok\x1b[0m       agent"));
}

TEST_CASE("checks as JSON have stable keys") {
  const auto json = nlohmann::json::parse(checks_json(kChecks));
  CHECK(json["problems"] == 1);
  CHECK(json["warnings"] == 1);
  CHECK(json["checks"].size() == 4);
  CHECK(json["checks"][1]["name"] == "cgroup");
  CHECK(json["checks"][1]["level"] == "warning");
  CHECK(json["checks"][1]["advice"] == "boot so\nthen reboot");
  CHECK(json["checks"][0]["details"][0] == "pid 4");
}

TEST_CASE("only problems are problems") {
  CHECK(has_problem(kChecks));
  CHECK(!has_problem({kChecks[0], kChecks[1], kChecks[3]}));
}
