#pragma once

// The environments that were made for jobs, as the API tells of them.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent/model/job.hpp"
#include "agent/wire/request.hpp"
#include "runtime/base/fields.hpp"

namespace berth::wire {

struct Environment {
  Digest digest;
  std::string kind;
  std::string words;
  std::string python_version;
  ByteSize bytes;
  Instant created{};
  Instant last_used{};
  bool in_use = false;
  bool is_private = false;  // a user's alone
};
struct EnvironmentBuild {
  Digest digest;
  std::string words;
  bool running = false;  // else it waits
  Instant since{};
};
struct EnvironmentList {
  std::vector<Environment> environments;
  std::vector<EnvironmentBuild> building;
};
// The answer to GET /v1/environments/{digest}.
struct EnvironmentPage {
  Environment environment;
  std::string record;  // JSON; "" where there is none
  std::string lock;    // JSON; "" where the record has none
  std::vector<model::JobId> jobs;
};
void describe(Fields& fields, Environment& environment);
void describe(Fields& fields, EnvironmentList& list);
void describe(Fields& fields, EnvironmentPage& page);

// The last line of the answer to POST /v1/environments where it was made; before it come lines of output.
struct EnvironmentMade {
  Digest digest;
  std::string image;   // the engine's id; "" on the host
  std::string record;  // JSON
};
struct BuildOutput {
  std::string output;
};
struct BuildResult {
  EnvironmentMade environment;
};
void describe(Fields& fields, EnvironmentMade& made);
void describe(Fields& fields, BuildOutput& output);
void describe(Fields& fields, BuildResult& result);

}  // namespace berth::wire
