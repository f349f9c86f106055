#pragma once

// The code that goes along with a job: scanned, described by git, and sent as far as the agent lacks it.

#include <functional>
#include <optional>
#include <string>

#include "agent/cli/agent.hpp"

namespace berth::cli {

// The directory that a snapshot is taken of: `code`, else the current one. Error Code::invalid where that is
// surely a mistake: a directory that is none, or, without --code, the root or the home directory.
std::string code_root(const std::optional<std::string>& code, const std::string& current_directory,
                      const std::string& home);

// Sends a directory that an image is built from, whole: its .dockerignore is for the one who builds. Its digest.
Digest send_context(Agent& agent, const std::string& directory);

// Completes the request with snapshot, properties and diff, sends what the agent lacks, and submits it;
// `about_to` is called right before that.
Submitted submit_with_code(Agent& agent, model::JobRequest request, const model::Attachments& attachments,
                           const std::string& root, const std::function<void()>& about_to = {});

}  // namespace berth::cli
