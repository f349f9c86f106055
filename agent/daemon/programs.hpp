#pragma once

// The programs that are installed with the agent, and which it starts.

#include <string>

namespace berth::daemon {

// The supervisor: the one given, or the one beside this program. Code::not_found where there is none.
std::string find_shim(const std::string& given);

// What collects outputs: beside the supervisor where both are installed. Where it is missing, each job's record says
// that nothing was collected.
std::string find_collector(const std::string& shim);

// Containers have other libraries: theirs is static. Builds with sanitizers, whose shim is not, have one beside it.
std::string shim_for_containers(const std::string& shim);

}  // namespace berth::daemon
