#pragma once

// What may come next on a command line of `berth`: found from what the verbs say they take, without asking
// anybody.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/options.hpp"
#include "agent/model/job.hpp"

namespace berth::cli {

struct Candidate {
  std::string text;
  std::string remark;  // one line; may be empty
};

// What the shell knows better.
enum class FromShell { nothing, files, directories, commands };

// The jobs that a verb can do something with.
enum class JobChoice { any, live, waiting, held, ended };

// The environments likewise.
enum class EnvironmentChoice { any, idle };

struct Completion {
  std::vector<Candidate> candidates;
  FromShell from_shell = FromShell::nothing;
  std::optional<JobChoice> jobs;  // these jobs as well, but for those in `named`
  std::optional<EnvironmentChoice> environments;  // or these environments
  std::vector<std::string> named;
  std::string socket;  // --socket, where it was given
};

// `words` follow `berth`; the last is the one being typed, "" before its first letter.
Completion complete(const Arguments& words);
bool is_choice(JobChoice choice, const model::Job& job);

}  // namespace berth::cli
