#pragma once

// What the agent knows and `berth doctor` judges.

#include "agent/api/services.hpp"
#include "agent/wire/node.hpp"
#include "runtime/async/task.hpp"

namespace berth::api {

async::Task<wire::DoctorFacts> doctor_facts(Services& services);

}  // namespace berth::api
