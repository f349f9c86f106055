#pragma once

// What of a job is shown to whom: the one place where that is decided. Whatever answers with a job passes through here.

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "agent/api/access.hpp"
#include "agent/jobs/jobs.hpp"

namespace berth::api {

// The whole record for its owner and root, wire::JobOutline for everybody else who may look; both with why it
// waits. Where others may read (others_may_read), they see the record without the values of its variables.
nlohmann::json shown_to(const model::Principal& who, const Access& access, const jobs::Jobs& jobs, model::Job job);

// A list's row: the outline, and for those who may see more the job's short command text, experiment and submission id.
enum class Explain { yes, no };  // why it waits
nlohmann::json row_for(const model::Principal& who, const Access& access, const jobs::Jobs& jobs,
                       store::ListedJob listed, Explain explain);

// What happened to a job: whole for those who may see more of it than the outline.
nlohmann::json event_for(const model::Principal& who, const Access& access, model::Event event);

}  // namespace berth::api
