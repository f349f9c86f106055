#include "runtime/git/properties.hpp"

#include <nlohmann/json.hpp>

#include "runtime/base/text.hpp"

namespace berth::git {
namespace {

using Properties = std::map<std::string, std::string>;

void put(Properties& out, std::initializer_list<const char*> names, const std::string& value) {
  if (value.empty()) return;
  for (const auto* name : names) out[name] = is_utf8(value) ? value : printable(value);
}

std::string as_json(const std::vector<std::string>& list) {
  auto json = nlohmann::json::array();
  for (const auto& text : list) json.push_back(printable(text));
  return list.empty() ? std::string() : json.dump();
}

std::string as_json(const std::vector<Submodule>& submodules) {
  nlohmann::json json;
  for (const auto& submodule : submodules) json[printable(submodule.path)] = submodule.commit;
  return submodules.empty() ? std::string() : json.dump();
}

// Whether the code is what the commit holds.
std::string state_of(const std::optional<Provenance>& found) {
  if (!found) return {};
  if (found->no_commit) return "no commit yet";
  if (found->dirty) return "changed";
  if (!found->unknown.empty()) return "unknown, because " + found->unknown;
  return found->commit.empty() ? std::string() : "clean";
}

std::string dirty_of(const std::optional<Provenance>& found) {
  if (!found) return {};
  if (found->dirty || found->no_commit) return "True";
  if (!found->unknown.empty()) return "Unknown";
  return found->commit.empty() ? std::string() : "False";
}

}  // namespace

Properties properties(const std::optional<Provenance>& found, const Variables& variables) {
  const auto value = [&](const char* name, const std::string& otherwise) {
    const char* given = variables(name);
    return given != nullptr && *given != '\0' ? std::string(given) : otherwise;
  };
  const Provenance none;
  const auto& git = found ? *found : none;
  const auto state = state_of(found);
  Properties out;
  put(out, {"azureml.git.repository_uri", "mlflow.source.git.repoURL"},
      strip_credentials(value("AZUREML_GIT_REPOSITORY_URI", git.repository)));
  put(out, {"azureml.git.branch", "mlflow.source.git.branch"}, value("AZUREML_GIT_BRANCH", git.branch));
  put(out, {"azureml.git.commit", "mlflow.source.git.commit"}, value("AZUREML_GIT_COMMIT", git.commit));
  put(out, {"azureml.git.dirty"}, value("AZUREML_GIT_DIRTY", dirty_of(found)));
  put(out, {"berth.git.state"}, state);
  put(out, {"azureml.git.build_id"}, value("AZUREML_GIT_BUILD_ID", ""));
  put(out, {"azureml.git.build_uri"}, strip_credentials(value("AZUREML_GIT_BUILD_URI", "")));
  put(out, {"berth.git.describe"}, git.describe);
  put(out, {"berth.git.path"}, git.path);
  put(out, {"berth.git.submodules"}, as_json(git.submodules));
  put(out, {"berth.git.untracked"}, as_json(git.untracked));
  put(out, {"berth.git.diff_cut"}, git.diff_cut ? "True" : "");
  if (git.not_checked_out > 0) put(out, {"berth.git.not_checked_out"}, std::to_string(git.not_checked_out));
  if (git.not_sent > 0) put(out, {"berth.git.not_sent"}, std::to_string(git.not_sent));
  put(out, {"berth.git.remarks"}, as_json(git.remarks));
  return out;
}

}  // namespace berth::git
