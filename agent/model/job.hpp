#pragma once

// A job: what was asked for, and what became of it. Pure values; agent/wire describes how they travel.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/container_request.hpp"
#include "agent/model/ending.hpp"
#include "agent/model/environment_request.hpp"
#include "agent/model/ids.hpp"
#include "agent/model/resources.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/digest.hpp"

namespace berth::model {

// Azure ML's names. `cancel_requested` is a live state: the job is being stopped.
enum class State { preparing, queued, running, finalizing, cancel_requested, completed, failed, canceled };
std::string_view name(State state);  // "Preparing", "Queued", …, "CancelRequested", …
std::span<const std::string_view> names_of(State);  // all, in their order
std::optional<State> parse_state(std::string_view name);
bool is_final(State state);
// Whether the life of a job may go from one to the other in one step.
bool may_follow(State from, State to);

constexpr int kMinPriority = -1000;
constexpr int kMaxPriority = 1000;

// The signal asked for, then, after the grace time, SIGKILL for the whole tree.
struct StopRequest {
  int signal = 15;
  std::optional<std::chrono::milliseconds> grace;  // nothing: the node's default
  friend bool operator==(const StopRequest&, const StopRequest&) = default;
};

// What a job may use at most. Its memory limit is the memory it asks for (Resources).
struct LimitRequest {
  bool cpus = false;  // the CPUs asked for are also the most it gets, else only its share when others want some
  std::optional<std::uint32_t> pids;  // processes and threads; nothing: the node's default
  std::optional<ByteSize> tmp;  // size of a TMPDIR in memory, which counts as the job's; nothing: the node's default
  bool network = true;          // false: it sees no network but a loopback device of its own
  friend bool operator==(const LimitRequest&, const LimitRequest&) = default;
};

// Where a job finds a secret of its own: as a file of its name below $BERTH_SECRETS, as a variable, or both.
struct SecretUse {
  bool file = true;
  bool variable = false;
  friend bool operator==(const SecretUse&, const SecretUse&) = default;
};

// What a user asks for. Immutable once acknowledged, but for priority and held.
struct JobRequest {
  std::string submission_id;  // made by the client, 32 hexadecimal digits: the same again is the same job
  std::string display_name;   // --name; may be empty
  std::string experiment = "default";
  std::map<std::string, std::string> tags;
  std::vector<std::string> command;  // the program and its arguments; no shell in between
  std::map<std::string, std::string> environment_variables;
  // What is secret is not in a request (secrets.hpp): by name, the values that it is used with; the texts, by JSON
  // pointer, that stand here without a login or the like; and what tells whether another request has the same ones.
  std::map<std::string, SecretUse> secrets;
  std::vector<std::string> hidden;
  std::string secrets_mark;
  std::optional<Digest> snapshot;  // the code; nothing: runs in working_directory as it is
  // With a snapshot a path within it ("" = its root); without, an absolute path. Without one and in a container it is a
  // path in there, and "" is the image's own, or a directory that the job has to itself.
  std::string working_directory;
  // Provenance as `runtime/git` found it, by Azure ML's and MLflow's property names; the diff apart.
  std::map<std::string, std::string> properties;
  std::optional<Digest> diff;  // an object of the store
  EnvironmentRequest environment;
  Resources resources{1000, ByteSize(0), 0, 1};
  LimitRequest limits;
  ContainerRequest container;
  int priority = 0;  // higher first
  std::optional<std::chrono::milliseconds> timeout;
  std::map<std::string, int> retries;  // cause (see retry_cause) → how often
  StopRequest stop;
  std::optional<ByteSize> log_cap;  // nothing: the node's default
  std::vector<std::string> outputs;  // directories, relative to the working directory, collected at the end
  bool held = false;

  friend bool operator==(const JobRequest&, const JobRequest&) = default;
};

// Throws Error Code::invalid naming the field: what no node could accept.
void validate(const JobRequest& request);
void validate(const EnvironmentRequest& environment);

// What the job used.
struct Usage {
  std::chrono::microseconds user_cpu{};
  std::chrono::microseconds system_cpu{};
  ByteSize peak_memory;  // of the largest process, or of the whole group where the kernel counts it
  ByteSize io_read;  // from disks; what was cached is not counted
  ByteSize io_written;
  std::chrono::microseconds gpu_time{};  // how long it held GPUs, times their number
  ByteSize gpu_peak_memory{};  // of all of them together, as sampled; 0 where nobody looked
  friend bool operator==(const Usage&, const Usage&) = default;
};

// What an attempt changed of its environment.
struct EnvironmentChanges {
  std::uint64_t files = 0;  // written, replaced or removed; compiled Python does not count
  std::vector<std::string> added{};  // distributions and conda packages, "six-1.16.0"; sorted
  std::vector<std::string> removed{};
  bool shared = false;  // not in a layer of its own: the environment itself was changed while it ran
  std::string unknown{};  // why it could not all be looked at, and then there may be more; "" where it was
  friend bool operator==(const EnvironmentChanges&, const EnvironmentChanges&) = default;
};

// What of an attempt's outputs is not in their snapshot as the job left it. All are counted, the first ones named.
struct LeftOut {
  struct Item {
    std::string path;
    std::string why;
    friend bool operator==(const Item&, const Item&) = default;
  };
  std::uint64_t count = 0;
  std::vector<Item> first;
  friend bool operator==(const LeftOut&, const LeftOut&) = default;
};

// One run of the command.
struct Attempt {
  int number = 1;
  int launch = 0;  // of the job, counted over all attempts: where its log is; 0 where it never began
  std::optional<Instant> started;
  std::optional<Instant> ended;
  // Measured on the monotonic clock by the supervisor.
  std::optional<std::chrono::microseconds> duration;
  std::optional<Ending> ending;
  Usage usage;
  std::optional<Digest> outputs;  // a snapshot of what it wrote below the output directories
  ByteSize outputs_size;  // of its files
  std::vector<std::string> gpus;  // UUIDs of the GPUs that it was given
  // Nothing where there was none to change: no environment that was built here, or one that could not be written.
  std::optional<EnvironmentChanges> environment_changes{};
  LeftOut outputs_left_out{};  // of what it wrote there
  friend bool operator==(const Attempt&, const Attempt&) = default;
};

// When and why something of a job was removed to give disk space back.
struct Removal {
  Instant time{};
  std::string why;  // "to make room: the disk was 93 % full"
  friend bool operator==(const Removal&, const Removal&) = default;
};
// "on 2026-03-14 16:09:26 to make room: the disk was 93 % full", in the zone of TZ.
std::string to_words(const Removal& removal);

// A job as the agent remembers it.
struct Job {
  JobId id;
  Sequence sequence;
  uid_t uid = 0;  // who submitted it
  std::string user;  // his name
  JobRequest request;
  State state = State::preparing;
  int priority = 0;
  bool held = false;
  Instant submitted{};
  std::optional<Instant> finished;
  std::vector<Attempt> attempts;  // the last one is the current one; empty before the first start
  std::optional<Ending> ending;  // of the job as a whole, once it is final
  std::string environment_record;  // JSON: interpreter, version, packages; "" before preparation
  std::optional<Digest> environment;  // the one that was made for it and others; nothing before, and where none was
  std::string canceled_by;  // who asked for the cancellation; "" for nobody
  // Of the attempts that had ended by then.
  std::optional<Removal> log_removed;
  std::optional<Removal> outputs_removed;
  friend bool operator==(const Job&, const Job&) = default;
};

// What names a job on the command line: at least one character, lower-case letters, digits and dashes.
bool is_job_id(std::string_view text);

}  // namespace berth::model
