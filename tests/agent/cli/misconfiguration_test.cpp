#include "agent/cli/misconfiguration.hpp"

#include <doctest/doctest.h>

#include "runtime/os/file.hpp"

using namespace berth;
using namespace berth::cli;

namespace {

// A berthd that says this of every configuration.
Installation installed(const os::TempDir& place, const std::string& words, int code) {
  Installation installation{place / "berthd", place / "berthd.yaml"};
  os::write_file(installation.configuration, "log_cpa: 1GiB\n", 0644, os::Durable::no);
  os::write_file(installation.agent,
                 "#!/bin/sh\ntest \"$1\" = --check-config || exit 99\necho \"berthd: " + words + "\" >&2\nexit " +
                     std::to_string(code) + "\n",
                 0755, os::Durable::no);
  return installation;
}

Error away() { return Error(Code::unavailable, "cannot connect", "start one"); }

Common to(const std::string& socket) {
  Common common;
  common.socket = socket;
  return common;
}

}  // namespace

TEST_CASE("an agent that its configuration keeps from running is told with file and line") {
  const os::TempDir place;
  const auto installation =
      installed(place, (place / "berthd.yaml") + ":1: unknown key 'log_cpa'; known keys: cpus", 2);
  const auto error = explained(away(), to("/run/berth/berth.sock"), installation);
  CHECK(error.code() == Code::unavailable);
  CHECK(error.message().find("berthd.yaml:1: unknown key 'log_cpa'") != std::string::npos);
  CHECK(error.hint().find("systemctl restart berthd") != std::string::npos);
}

TEST_CASE("other failures, and other agents, stay as they are") {
  const os::TempDir place;
  const auto wrong = installed(place, (place / "berthd.yaml") + ":1: unknown key 'log_cpa'", 2);
  CHECK(explained(away(), to(place / "own.sock"), wrong).message() == "cannot connect");
  const Error absent(Code::not_found, "there is no such job");
  CHECK(explained(absent, to("/run/berth/berth.sock"), wrong).message() == "there is no such job");
}

TEST_CASE("a right configuration, an unreadable one and none are no mistake") {
  const os::TempDir place;
  CHECK_FALSE(mistake_in_configuration(installed(place, "", 0)));
  CHECK_FALSE(mistake_in_configuration(installed(place, "cannot open it: Permission denied", 2)));
  auto installation = installed(place, (place / "berthd.yaml") + ":1: unknown key 'log_cpa'", 2);
  CHECK(mistake_in_configuration(installation));
  installation.agent = place / "none";
  CHECK_FALSE(mistake_in_configuration(installation));
  installation = installed(place, (place / "berthd.yaml") + ":1: unknown key 'log_cpa'", 2);
  installation.configuration = place / "none.yaml";
  CHECK_FALSE(mistake_in_configuration(installation));
}
