#include "agent/cli/explanation.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include "runtime/http/listen.hpp"
#include "runtime/os/file.hpp"

using namespace berth;
using namespace berth::cli;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

Error away(const std::string& socket) { return Error(Code::unavailable, "no agent listens on " + socket, "start one"); }

// A machine with Berth's package, whose systemd tells this of the service.
struct Place {
  explicit Place(const std::string& state)
      : machine(root.path(), [state](const std::vector<std::string>& command) {
          return command.front() == "systemctl" ? std::optional(doctor::Machine::Answer{0, state}) : std::nullopt;
        }) {
    for (const auto* directory :
         {"run/systemd/system", "lib/systemd/system", "etc/systemd/system/multi-user.target.wants"})
      os::make_directories(root / directory);
    os::write_file(root / "lib/systemd/system/berthd.service", "", 0644, os::Durable::no);
    os::write_file(root / "etc/systemd/system/multi-user.target.wants/berthd.service", "", 0644, os::Durable::no);
  }
  // A berthd that says this of its configuration.
  Installation installed(const std::string& words) const {
    Installation installation{root / "berthd", root / "berthd.yaml"};
    os::write_file(installation.configuration, "log_cpa: 1GiB\n", 0644, os::Durable::no);
    os::write_file(installation.agent,
                   "#!/bin/sh\ntest \"$1\" = --check-config || exit 99\necho \"berthd: " + words + "\" >&2\nexit 2\n",
                   0755, os::Durable::no);
    return installation;
  }

  os::TempDir root;
  doctor::Machine machine;
};

Common to(const std::string& socket) {
  Common common;
  common.socket = socket;
  return common;
}

// As nobody has a variable of that name.
struct Home {
  explicit Home(const os::TempDir& place) {
    ::unsetenv("BERTH_SOCKET");
    ::setenv("XDG_STATE_HOME", place.path().c_str(), 1);
  }
  ~Home() { ::unsetenv("XDG_STATE_HOME"); }
};

}  // namespace

TEST_CASE("a machine's agent that is stopped is started as a service") {
  const Place place("inactive");
  const auto error = explained(away(kMachineSocket), to(kMachineSocket), place.installed(""), place.machine);
  CHECK(error.code() == Code::unavailable);
  CHECK(error.message() == "no agent listens on /run/berth/berth.sock: the service is stopped");
  CHECK(error.hint() == "sudo systemctl start berthd.socket berthd.service");
}

TEST_CASE("one that its configuration keeps from running is told with file and line") {
  const Place place("failed");
  const auto installation = place.installed((place.root / "berthd.yaml") + ":1: unknown key 'log_cpa'");
  const auto error = explained(away(kMachineSocket), to(kMachineSocket), installation, place.machine);
  CHECK(has(error.message(), "berthd.yaml:1: unknown key 'log_cpa'"));
  CHECK(has(error.hint(), "systemctl restart berthd"));
  os::remove_tree(place.root / "run/systemd");
  const auto by_hand = explained(away(kMachineSocket), to(kMachineSocket), installation, place.machine);
  CHECK(by_hand.hint() == "correct it, then: sudo berthd &");
}

TEST_CASE("a user's own agent that was killed is started again by him") {
  const os::TempDir state;
  const Home home(state);
  const Place place("active");
  os::make_directories(state / "berth");
  { const auto killed = http::listen_unix(own_socket(), 0600, std::nullopt); }
  const auto error = explained(away(own_socket()), Common(), place.installed(""), place.machine);
  CHECK(has(error.message(), "your own agent was killed"));
  CHECK(has(error.hint(), "start it again: berthd --user &"));
  CHECK_FALSE(has(error.hint(), kMachineSocket));
  os::make_directories(place.root / "run/berth");
  os::write_file(place.root / "run/berth/berth.sock", "", 0644, os::Durable::no);
  const auto both = explained(away(own_socket()), Common(), place.installed(""), place.machine);
  CHECK(has(both.hint(), "or ask the machine's: berth VERB --socket /run/berth/berth.sock"));
}

TEST_CASE("a socket that was named is doubted, and no service started for it") {
  const os::TempDir directory;
  const Place place("inactive");
  const auto socket = directory / "berth.sock";
  const auto error = explained(away(socket), to(socket), place.installed(""), place.machine);
  CHECK(error.message() == "no agent listens on " + socket);
  CHECK(has(error.hint(), "--socket or BERTH_SOCKET"));
  CHECK(has(error.hint(), "berthd --user --state " + directory.path()));
  CHECK_FALSE(has(error.hint(), "systemctl"));
}

TEST_CASE("other failures stay as they are, also where they are of an agent that answers") {
  const os::TempDir directory;
  const Place place("inactive");
  const auto socket = directory / "berth.sock";
  const Error absent(Code::not_found, "there is no such job", "look");
  CHECK(explained(absent, to(socket), place.installed(""), place.machine).hint() == "look");
  const auto listener = http::listen_unix(socket, 0600, std::nullopt);
  const Error engine(Code::unavailable, "no Docker listens on /x", "start it");
  CHECK(explained(engine, to(socket), place.installed(""), place.machine).hint() == "start it");
}
