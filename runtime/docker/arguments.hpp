#pragma once

// `docker_args` of a job (Azure ML's), in docker run's own language. What is allowed is what a job without a
// container may do anyhow, or what takes away; the rest is refused with the reason, and with what to use
// instead.

#include <string>
#include <vector>

#include "runtime/docker/container.hpp"

namespace berth::docker {

// The spec with the arguments applied: "--shm-size=8g", "--ipc host", "-e A=1" …; one string may hold
// several, separated and quoted as in a shell. Limits on memory, CPUs and processes can only be lowered.
// Throws Error (Code::denied for what is not allowed, Code::invalid for what is malformed).
ContainerSpec with_arguments(ContainerSpec spec, const std::vector<std::string>& arguments);

// The words of a line as a shell would split them: spaces, '…', "…" and backslashes; no expansion.
// Error(Code::invalid) for an unfinished quotation.
std::vector<std::string> split_words(const std::string& line);

}  // namespace berth::docker
