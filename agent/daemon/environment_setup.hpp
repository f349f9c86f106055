#pragma once

// From the configuration to what environments are made with.

#include <memory>
#include <string>

#include "agent/daemon/config.hpp"
#include "runtime/environment/environment.hpp"

namespace berth::daemon {

// Whom builds run as on a machine's agent: the user "berth", who is in no group that gives access to the agent, else
// "nobody". Nothing for an agent that is not root.
std::optional<os::Identity> build_identity(bool machine_agent);

// Builds see nothing but what is theirs where this machine can do that; that is tried here.
environment::BuildSettings build_settings(const Config& config, const std::string& shim_program,
                                          const std::string& cgroup_base, std::optional<os::Identity> identity);

// `machine` is called on threads.
environment::ImageSettings image_settings(const Config& config, std::function<gpu::Machine()> machine);

// How this node makes each kind; `images` outlives what comes of it.
environment::Kinds environment_kinds(const Config& config, std::optional<os::Identity> identity,
                                     environment::Images& images, const environment::ImageSettings& image_settings);

}  // namespace berth::daemon
