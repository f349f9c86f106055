// Whether there is an agent, and whether one may use it.

#include <cstdio>

#include "agent/cli/doctor/advice.hpp"
#include "agent/cli/doctor/judge.hpp"

namespace berth::cli::doctor {
namespace {

std::string octal(unsigned mode) {
  char text[16];
  std::snprintf(text, sizeof text, "%04o", mode);
  return text;
}

Check no_permission(const AccessFacts& access) {
  const auto& socket = access.socket;
  const auto& user = access.user;
  Check check{"agent", Level::problem, user.name + " may not use the socket " + socket.path, "", {}};
  if (!socket.exists || socket.group.empty() || (socket.mode & 0060) == 0) {
    check.advice = "it is for its owner alone: start an agent of your own with `berthd --user`, or use the machine's";
    return check;
  }
  check.what += ", which is open to group " + socket.group;
  if (user.group_in_database && !user.group_in_session)
    check.advice =
        "you are in the group, but this session is from before that: log out and in again\n(for this shell "
        "alone: newgrp " +
        socket.group + ")";
  else if (!user.group_in_database)
    check.advice = "sudo usermod -aG " + socket.group + " " + user.name + "\nthen log out and in again";
  else
    check.advice = "the group is right; look at the directories above the socket";
  return check;
}

// The machine's agent, which its service runs.
Absence service_does_not_run(const ServiceFacts& service) {
  if (!service.installed)
    return {"", "start one for yourself with `berthd --user &`, or install Berth's package for the whole machine"};
  if (!service.mistake.empty())
    return {"it cannot run with its configuration: " + service.mistake,
            std::string("correct it, then: ") + (service.systemd ? "sudo systemctl restart berthd" : "sudo berthd &")};
  if (!service.systemd)
    return {"the service is installed, but systemd does not run this machine", "start it by hand: sudo berthd &"};
  if (service.state == "failed")
    return {"the service has failed", "journalctl -u berthd -n 50 tells why; then sudo systemctl restart berthd"};
  if (service.state == "active" || service.state == "activating")
    return {"though the service is " + service.state,
            "it may be starting: try again; journalctl -u berthd -n 50 tells more"};
  if (service.enabled) return {"the service is stopped", "sudo systemctl start berthd.socket berthd.service"};
  return {"the service is stopped and not enabled", "sudo systemctl enable --now berthd.socket berthd.service"};
}

// A socket is left only by an agent that could not remove it.
Absence own_does_not_run(const AccessFacts& access) {
  Absence absence;
  if (access.socket.exists) absence.why = "your own agent was killed, or the machine restarted";
  absence.advice = access.socket.exists ? "start it again: berthd --user &"
                                        : "start one for yourself with `berthd --user &`, or install Berth's package "
                                          "for the whole machine";
  if (access.machine_socket)
    absence.advice += "\nor ask the machine's: berth VERB --socket " + std::string(kMachineSocket);
  return absence;
}

// Named by --socket or BERTH_SOCKET.
Absence named_does_not_run(const std::string& socket) {
  constexpr std::string_view kUsual = "/berth.sock";
  Absence absence{"", "that socket was named by --socket or BERTH_SOCKET; is it the right one?"};
  if (socket.ends_with(kUsual) && socket.size() > kUsual.size())
    absence.advice +=
        "\nan agent there: berthd --user --state " + socket.substr(0, socket.size() - kUsual.size()) + " &";
  return absence;
}

Check not_running(const AccessFacts& access) {
  const auto absence = explain_absence(access);
  const auto what = "no agent listens on " + access.socket.path;
  return {"agent", Level::problem, what + (absence.why.empty() ? "" : ": " + absence.why), absence.advice, {}};
}

}  // namespace

Absence explain_absence(const AccessFacts& access) {
  switch (access.whose) {
    case Whose::machine:
      return service_does_not_run(access.service);
    case Whose::own:
      return own_does_not_run(access);
    case Whose::named:
      break;
  }
  return named_does_not_run(access.socket.path);
}

Check judge_agent(const AccessFacts& access, const Agent& agent) {
  if (agent)
    return {
        "agent",
        Level::ok,
        "berthd " + agent->version + " answers on " + access.socket.path +
            (access.whose == Whose::own && access.machine_socket ? ", your own; the machine's is another" : ""),
        "",
        {"pid " + std::to_string(agent->pid) + (agent->machine_agent ? ", serves the machine" : ", serves its user")}};
  if (access.failure && access.failure->code() == Code::denied) return no_permission(access);
  if (!access.failure || access.failure->code() == Code::unavailable) return not_running(access);
  if (access.failure->code() == Code::not_found)
    return {"agent",
            Level::warning,
            "an agent of an older version answers on " + access.socket.path + "; it tells no facts",
            "restart it with the version of this berth: jobs run on",
            {}};
  return {"agent", Level::problem, access.failure->message(), access.failure->hint(), {}};
}

Check judge_socket(const AccessFacts& access, const Agent& agent) {
  const auto& socket = access.socket;
  if (!socket.exists) return {"socket", Level::note, "not checked: " + socket.path + " cannot be looked at", "", {}};
  const auto what = socket.owner + ":" + socket.group + " " + octal(socket.mode);
  if ((socket.mode & 0006) != 0)
    return {"socket",
            Level::problem,
            "every user of the machine may use it: " + what,
            "sudo chmod o= " + socket.path + ", and find out who opened it",
            {}};
  if (!agent) return {"socket", Level::ok, what, "", {}};
  if (!agent->machine_agent) return {"socket", Level::ok, what + ", for its owner alone", "", {}};
  if (socket.group != agent->group || (socket.mode & 0060) != 0060)
    return {
        "socket",
        Level::warning,
        "only root may use it: " + what + " instead of root:" + agent->group + " 0660",
        "make the group and let the agent take it: sudo groupadd --system " + agent->group + "; " + restart_of(*agent),
        {}};
  return {"socket", Level::ok, what, "", {}};
}

}  // namespace berth::cli::doctor
