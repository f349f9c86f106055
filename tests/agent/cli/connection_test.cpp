#include "agent/cli/connection.hpp"

#include <doctest/doctest.h>

#include <chrono>

#include "agent/cli/settings.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

using namespace berth;
using namespace berth::cli;

TEST_CASE("where an agent will listen is told by its arguments") {
  CHECK(socket_of_agent({"berthd"}, "/") == kMachineSocket);
  CHECK(socket_of_agent({"berthd", "--user"}, "/") == own_socket());
  CHECK(socket_of_agent({"/usr/bin/berthd", "--user", "--state", "/tmp/s"}, "/") == "/tmp/s/berth.sock");
  CHECK(socket_of_agent({"berthd", "--state=s", "--user"}, "/home/ada") == "/home/ada/s/berth.sock");
  CHECK(socket_of_agent({"berthd", "--user", "--state", "../s"}, "/home/ada") == "/home/s/berth.sock");
}

TEST_CASE("that nobody is there is known at once") {
  const os::TempDir directory;
  const auto connect = connection_to(directory / "berth.sock", {});
  const auto began = std::chrono::steady_clock::now();
  CHECK_THROWS_AS(connect(), Error);
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(1));
}
