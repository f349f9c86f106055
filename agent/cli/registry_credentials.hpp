#pragma once

// --registry-credentials: from a file of the user's to what goes along with his job.

#include <string>

#include "agent/model/environment_request.hpp"
#include "agent/model/registry_credentials.hpp"

namespace berth::cli {

// The file is Docker's config.json, whose credential helpers are asked, or JSON with Azure ML's registry, username and
// password, or a list of such; without a registry the image's is meant. Of it only what is for the image's registry;
// everything where the registries cannot be told: for a Dockerfile, a lock, cpu and gpu.
// Throws Error that names the file and what it lacks, with no word about what is secret.
model::AllRegistryCredentials read_registry_credentials(const std::string& file,
                                                        const model::EnvironmentRequest& environment);

}  // namespace berth::cli
