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
  const auto& [socket, user, service, failure] = access;
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

Check not_running(const AccessFacts& access) {
  const auto& service = access.service;
  Check check{"agent", Level::problem, "no agent listens on " + access.socket.path, "", {}};
  if (!service.installed) {
    check.advice =
        "start one for yourself with `berthd --user`, or install Berth's package for the whole machine;\nif "
        "one runs elsewhere, name its socket with --socket or BERTH_SOCKET";
  } else if (!service.mistake.empty()) {
    check.what += ": it cannot run with its configuration: " + service.mistake;
    check.advice = "correct it, then: sudo systemctl restart berthd";
  } else if (service.state == "failed") {
    check.what += ": the service has failed";
    check.advice = "journalctl -u berthd -n 50 tells why; then sudo systemctl restart berthd";
  } else if (service.state == "active" || service.state == "activating") {
    check.what += ", although the service is " + service.state;
    check.advice = "it may be starting: try again; journalctl -u berthd -n 50 tells more";
  } else if (!service.systemd) {
    check.what += ": the service is installed, but systemd does not run this machine";
    check.advice = "start it by hand: sudo berthd &";
  } else {
    check.what += service.enabled ? ": the service is stopped" : ": the service is stopped and not enabled";
    check.advice = service.enabled ? "sudo systemctl start berthd.socket berthd.service"
                                   : "sudo systemctl enable --now berthd.socket berthd.service";
  }
  return check;
}

}  // namespace

Check judge_agent(const AccessFacts& access, const Agent& agent) {
  if (agent)
    return {
        "agent",
        Level::ok,
        "berthd " + agent->version + " answers on " + access.socket.path,
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
