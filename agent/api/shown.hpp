#pragma once

// What of a job is shown to whom. Everybody who may submit sees that a job is there, whose it is, how it stands and what
// it takes; what it is made of is its owner's, and root's.

#include "agent/api/access.hpp"
#include "agent/model/job.hpp"
#include "runtime/http/request.hpp"

namespace berth::api {

// The job without what this peer may not read: digests, the command, files, variables, properties.
model::Job shown_to(const Access& access, const http::Peer& peer, model::Job job);

}  // namespace berth::api
