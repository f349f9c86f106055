#pragma once

// What `run` and `submit` share: their options, and the way from them to an acknowledged job.

#include <functional>
#include <optional>
#include <string>

#include "agent/cli/agent.hpp"
#include "agent/cli/options.hpp"
#include "agent/jobfile/flags.hpp"

namespace berth::cli {

struct Submission {
  jobfile::Flags flags;
  std::optional<std::string> code;
  bool no_code = false;
  std::optional<std::string> registry_credentials;
};

// Declares the options that say what a command runs in.
void declare_environment(Options& options, jobfile::Flags& flags);
// What they ask for, as JSON; the machine as it is where none was given. Sends what a Dockerfile is built in.
std::string environment_of(Agent& agent, const jobfile::Flags& flags);

// Declares the options, which write into `submission`.
void declare(Options& options, Submission& submission);
// Sends the code where that is asked for, and the request. Returns when the agent has it on disk. `about_to`
// is called when all that can go without a trace is done.
Submitted submit(Agent& agent, const Submission& submission, const std::function<void()>& about_to = {});

}  // namespace berth::cli
