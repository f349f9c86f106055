#pragma once

#include <string>

#include "agent/cli/doctor/facts.hpp"

namespace berth::cli::doctor {

inline std::string restart_of(const AgentFacts& agent) {
  return agent.machine_agent ? "sudo systemctl restart berthd" : "stop and start your `berthd --user`";
}

}  // namespace berth::cli::doctor
