#pragma once

// Whether it is a mistake in the configuration that keeps the machine's agent from running. berthd itself is asked: it
// alone knows what it accepts.

#include <optional>
#include <string>

namespace berth::cli {

// Where the machine's agent is installed; tests give other places.
struct Installation {
  std::string agent;  // berthd
  std::string configuration;  // its file
};
// That of this program: berthd beside it, its file below /etc.
Installation this_installation();

// "/etc/berth/berthd.yaml:3: unknown key 'log_cpa'". Nothing where the file is right, or absent, or nobody can tell.
std::optional<std::string> mistake_in_configuration(const Installation& installation);

}  // namespace berth::cli
