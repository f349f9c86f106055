#pragma once

// From the configuration to what environments are made with.

#include <memory>
#include <string>

#include "agent/daemon/config.hpp"
#include "runtime/environment/builds.hpp"
#include "runtime/environment/images.hpp"
#include "runtime/environment/provider.hpp"

namespace berth::daemon {

// Whom builds run as on a machine's agent: the user "berth", who is in no group that gives access to the agent, else
// "nobody". Nothing for an agent that is not root.
std::optional<os::Identity> build_identity(bool machine_agent);

// Builds see nothing but what is theirs where this machine can do that; that is tried here.
environment::BuildSettings build_settings(const Config& config, const std::string& shim_program,
                                          const std::string& cgroup_base, std::optional<os::Identity> identity);

// `machine` is called on threads.
environment::ImageSettings image_settings(const Config& config, std::function<gpu::Machine()> machine);

// Every kind of environment that this node makes: a new one is registered here. What is given by reference outlives
// what comes of it, but for the configuration.
environment::Providers environment_providers(const Config& config, std::optional<os::Identity> identity,
                                             environment::Builds& builds, environment::Images& images,
                                             const environment::ImageSettings& image_settings);

}  // namespace berth::daemon
