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

}  // namespace

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
