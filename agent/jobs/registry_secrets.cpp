#include "agent/jobs/registry_secrets.hpp"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobs {

std::string RegistrySecrets::file(const std::string& submission_id) const {
  return os::join(directory_, submission_id);
}

bool RegistrySecrets::keep(const std::string& submission_id, const model::AllRegistryCredentials& credentials) const {
  os::make_directories(directory_, 0700);
  if (os::exists(file(submission_id))) return false;
  os::write_file(file(submission_id), model::to_json(credentials).dump(), 0600, os::Durable::yes);
  return true;
}

std::map<std::string, docker::Credentials> RegistrySecrets::of(const model::JobRequest& request) const {
  std::map<std::string, docker::Credentials> found;
  if (request.container.registries.empty()) return found;
  const auto text = os::read_file_if_exists(file(request.submission_id));
  if (!text)
    throw Error(Code::not_found, "the registry credentials that the job brought along are not here any more",
                "submit it again");
  for (auto& one : model::registry_credentials_from_json(nlohmann::json::parse(*text)))
    found[one.registry] = {std::move(one.username), std::move(one.password), std::move(one.identity_token)};
  return found;
}

void RegistrySecrets::remove(const std::string& submission_id) const { os::remove_file(file(submission_id)); }

std::vector<std::string> RegistrySecrets::list() const {
  std::vector<std::string> submissions;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, absent))
    submissions.push_back(entry.path().filename());
  return submissions;
}

}  // namespace berth::jobs
