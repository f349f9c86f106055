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
// is not among them. Where git is asked, "berth.git.state" is one of "clean" (what is sent is what the commit holds),
// "changed", "no commit yet" and "unknown, because …"; "azureml.git.dirty" then is "False", "True", "True", "Unknown".
std::map<std::string, std::string> properties(const std::optional<Provenance>& found, const Variables& variables);

}  // namespace berth::git
