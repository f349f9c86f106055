#pragma once

// Jobs for people. Pure: the time and the screen come in.

#include <string>
#include <vector>

#include "agent/cli/agent.hpp"
#include "agent/cli/output.hpp"

namespace berth::cli {

// What a list calls a job: its name, else its command; "–" where that is not for the caller to see.
std::string title_of(const JobRecord& record);
// `berth ps`: one line per job.
std::string jobs_table(const std::vector<JobRecord>& jobs, Instant now, const Screen& screen);
// `berth show`: everything that is known about one.
std::string job_page(const JobRecord& record, Instant now, const Screen& screen);
// "2 outputs were not collected as the job left them: outputs/a.sock is a socket, …"; "" where all were.
std::string left_out_text(const model::Job& job, std::size_t most_named);

}  // namespace berth::cli
