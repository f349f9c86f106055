#pragma once

// What ended a job: {"kind": "exited", "code": 3}. Who tells of endings beside others describes them with this.

#include "agent/model/ending.hpp"
#include "runtime/base/fields.hpp"

namespace berth::model {

void describe(Fields& fields, Ending& ending);

}  // namespace berth::model
