#pragma once

// From facts to checks, one function each. Pure.

#include "agent/cli/doctor/check.hpp"
#include "agent/cli/doctor/facts.hpp"

namespace berth::cli::doctor {

// `agent` is nothing where the agent did not answer; checks that need it say so.
using Agent = std::optional<AgentFacts>;

// Why no agent listens ("" where that is not known), and what helps.
struct Absence {
  std::string why;
  std::string advice;
};
Absence explain_absence(const AccessFacts& access);

Check judge_agent(const AccessFacts& access, const Agent& agent);
Check judge_socket(const AccessFacts& access, const Agent& agent);
Check judge_versions(std::string_view own_version, const Agent& agent);
Check judge_cgroup(CgroupMode mode, const Agent& agent);
Check judge_disk(const Agent& agent);
Check judge_clock(const ClockFacts& clock, const Agent& agent);
Check judge_overlay(const NamespaceFacts& namespaces, const Agent& agent);
Check judge_namespaces(const NamespaceFacts& namespaces);
Check judge_leftovers(const Agent& agent);
Check judge_files(const Agent& agent);
Check judge_python(const PythonFacts& python);
Check judge_git(const std::string& version);
// `agent` tells whether there are GPUs that its containers are to have.
Check judge_docker(const DockerFacts& docker, const Agent& agent);
Check judge_nvidia(const NvidiaFacts& nvidia);
Check judge_gpus(const NvidiaFacts& nvidia, const Agent& agent);
Check judge_boot(const BootFacts& boot);

}  // namespace berth::cli::doctor
