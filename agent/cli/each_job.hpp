#pragma once

// Verbs over several jobs: one that fails does not keep the others from being done.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/agent.hpp"
#include "agent/cli/options.hpp"

namespace berth::cli {

// `act` returns an exit code, or throws, which is told. Returns the first code that is not 0.
int each_job(const std::vector<std::string>& jobs, const Common& common,
             const std::function<int(const std::string& job)>& act);

// POST /v1/jobs/{id}/<action> for each; prints the records with --json, else "ID: STATE".
int change_jobs(Agent& agent, const std::vector<std::string>& jobs, const Common& common, std::string_view action);

}  // namespace berth::cli
