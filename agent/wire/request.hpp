#pragma once

// A job request as it is submitted, stored and told of. What of it is secret is in the submitted form alone
// (agent/wire/secrets.hpp).

#include <nlohmann/json_fwd.hpp>

#include "agent/model/job.hpp"
#include "agent/model/secrets.hpp"
#include "runtime/base/fields.hpp"

namespace berth::model {

void describe(Fields& fields, Resources& resources);  // of a node: without what only jobs say
void describe(Fields& fields, EnvironmentRequest& environment);
// As it is stored: with what tells of its secrets, and what was found out of it.
void describe(Fields& fields, JobRequest& request);

}  // namespace berth::model

namespace berth::wire {

// What POST /v1/jobs takes.
struct SubmittedRequest {
  model::JobRequest request;
  model::Attachments attachments;
};
void describe(Fields& fields, SubmittedRequest& submitted);

// All of a request but what its forms have each in their way: priority and held, secrets, and credentials.
void describe_request(Fields& fields, model::JobRequest& request);
// What of its secrets a request tells that holds none.
void describe_secret_names(Fields& fields, model::JobRequest& request);

// Both throw Error Code::invalid naming the field ("job request: 'priority' must be a whole number …").
model::JobRequest request_from(const nlohmann::json& json);  // without its secrets
model::EnvironmentRequest environment_request_from(const nlohmann::json& json);  // and validated

}  // namespace berth::wire
