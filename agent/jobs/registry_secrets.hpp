#pragma once

// The registry credentials that jobs brought along: a file for each job, for the agent alone, from before its
// submission is acknowledged until it is prepared or has ended. All calls block. Safe from any thread.

#include <map>
#include <string>
#include <vector>

#include "agent/model/job.hpp"
#include "agent/model/registry_credentials.hpp"
#include "runtime/docker/credentials.hpp"

namespace berth::jobs {

class RegistrySecrets {
 public:
  // The directory is made when it is needed.
  explicit RegistrySecrets(std::string directory) : directory_(std::move(directory)) {}

  // On disk when it returns. False where that submission's are there already: those stay.
  bool keep(const std::string& submission_id, const model::AllRegistryCredentials& credentials) const;
  // By registry. Code::not_found where the job brought some, and they are gone.
  std::map<std::string, docker::Credentials> of(const model::JobRequest& request) const;
  void remove(const std::string& submission_id) const;
  // The submissions that have some.
  std::vector<std::string> list() const;

 private:
  std::string file(const std::string& submission_id) const;

  std::string directory_;
};

}  // namespace berth::jobs
