#pragma once

// Provenance as the properties of a run: under Azure ML's and MLflow's names, and ours where they have none.

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "runtime/git/provenance.hpp"

namespace berth::git {

// Values of environment variables; nullptr for an unset one.
using Variables = std::function<const char*(const char* name)>;

// AZUREML_GIT_{REPOSITORY_URI,BRANCH,COMMIT,DIRTY,BUILD_ID,BUILD_URI} override what was found, and count
// without a repository too: a build server checks out in its own ways. All values are valid UTF-8. The diff
// is not among them.
std::map<std::string, std::string> properties(const std::optional<Provenance>& found,
                                              const Variables& variables);

}  // namespace berth::git
