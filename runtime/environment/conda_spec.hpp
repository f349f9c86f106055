#pragma once

// What an environment.yml (or Azure ML's conda_dependencies.yml, the same format) says. Bounded against
// hostile files; nothing here looks at the machine.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/environment/conda_match_spec.hpp"
#include "runtime/environment/requirements.hpp"
#include "runtime/environment/spec.hpp"

namespace berth::environment::conda {

struct CondaSpec {
  std::vector<std::string> channels;  // as written, in order of priority; empty where the file names none
  std::set<MatchSpec> dependencies;   // what was written
  Requirements pip;                   // the nested list, sorted, without credentials
  std::map<std::string, std::string> variables;  // to set for every job

  friend bool operator==(const CondaSpec&, const CondaSpec&) = default;
};

// Throws Code::invalid or Code::too_large: "environment.yml:7: <reason>", with a remedy. `name` and `prefix`
// are read over, any other unknown key is an error.
CondaSpec parse_conda(const Conda& conda);

}  // namespace berth::environment::conda
