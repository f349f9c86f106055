#pragma once

// Command-line flags → model::JobRequest. Pure: what the flags cannot say (where they were typed, what the
// environment and files hold) comes in as a Place. Every mistake is an Error Code::invalid that names the flag, the
// reason and the remedy.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/job.hpp"
#include "agent/model/secrets.hpp"

namespace berth::jobfile {

// As typed; nothing where a flag was not given.
struct Flags {
  std::vector<std::string> command;
  std::string name;
  std::string experiment;
  std::vector<std::string> tags;  // k=v
  std::vector<std::string> environment_variables;  // K=V, or K for the value it has where the flags were typed
  std::vector<std::string> secrets;           // NAME[=FILE]: a file of the job's
  std::vector<std::string> secret_variables;  // likewise, and a variable
  std::optional<std::string> python;
  std::optional<std::string> conda;
  std::optional<std::string> requirements;
  std::optional<std::string> image;
  std::optional<std::string> dockerfile;
  std::optional<std::string> environment_lock;
  std::optional<std::string> cpus;
  std::optional<std::string> memory;
  std::optional<std::string> gpus;
  std::optional<std::string> gpu_memory;  // of each GPU; nothing: has its GPUs alone
  std::optional<std::string> slots;
  std::optional<std::string> shm_size;
  std::optional<std::string> docker_args;
  std::optional<std::string> priority;
  std::optional<std::string> timeout;
  std::vector<std::string> retries;  // [CAUSE=]N
  std::vector<std::string> outputs;
  std::optional<std::string> working_directory;
  std::optional<std::string> log_cap;
  std::optional<std::string> stop_signal;
  std::optional<std::string> grace;
  std::optional<std::string> pids;
  std::optional<std::string> tmp;
  bool no_network = false;
  bool hold = false;
};

struct Place {
  std::string current_directory;         // absolute
  std::optional<std::string> code_root;  // absolute; the directory the snapshot is of, nothing without one
  std::function<std::optional<std::string>(const std::string&)> environment_variable;
  std::function<std::string(const std::string& path)> read_file;
  std::function<bool(const std::string& path)> is_directory;
  std::function<std::string()> read_input;  // standard input
};

// Complete but for submission_id, snapshot, properties, diff and a Dockerfile's context, which only sending can know.
model::JobRequest to_request(const Flags& flags, const Place& place);

// Of --secret and --secret-env.
std::map<std::string, model::GivenSecret> secrets(const Flags& flags, const Place& place);

}  // namespace berth::jobfile
