#pragma once

// What of a job is secret (agent/model/secrets.hpp) on its way: put into the JSON of a request by who submits it, taken
// out of it by the agent before anything of it is stored, and put back where a job is prepared and started.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "agent/model/job.hpp"
#include "agent/model/secrets.hpp"
#include "runtime/base/fields.hpp"

namespace berth::wire {

// The fields of a submitted request that have secrets.
void describe_attachments(Fields& fields, model::Attachments& attachments);

// Throws Error Code::invalid naming the field; never a word of what is secret.
model::AllRegistryCredentials registry_credentials_from(const nlohmann::json& json);
// Takes them out of the JSON of a job request, and leaves the registries in their place.
model::AllRegistryCredentials take_registry_credentials(nlohmann::json& request);

// `stored`: by an earlier version, which took what is refused now; it stays, but for what is in names.
enum class Origin { submitted, stored };
// Takes them out of the JSON of a job request that came from outside, and leaves names and texts without them. Throws
// Error Code::invalid naming the field, with never a word of what is secret.
model::JobSecrets take_secrets(nlohmann::json& request, Origin origin = Origin::submitted);
// The texts of the request as they were given. Values are not in a request; who starts the job adds them.
void put_back(model::JobRequest& request, const model::JobSecrets& secrets);

// As they are sealed. Code::corrupt for what is not what the other wrote.
std::string to_text(const model::JobSecrets& secrets);
model::JobSecrets secrets_from_text(std::string_view text);

}  // namespace berth::wire
