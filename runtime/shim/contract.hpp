#pragma once

// The contract between the agent and berth-shim: versioned files in one directory per launch, never a live
// protocol, so that an agent of any version can adopt a job that another one launched.
//
//   launch.json  by the agent, before the shim starts: what to run (Launch). Not there where the agent hands it to a
//                waiting shim itself (server.hpp), in memory alone; then `claim` is there before.
//   launch.secrets  by the agent, before launch.json: what of it is secret (Secrets). The shim removes it as soon as
//                it has read it, before anything is started.
//   claim        a lock file; who holds its flock supervises the launch. The shim holds it for its whole
//                life. When it holds the text "revoked", a shim that comes late must leave.
//   started.json by the shim, immediately before exec (Started): a second name of `claim`, where the file system has
//                such
//   stop.json    by the agent, renamed into place, to stop the job (Stop); a later one replaces an earlier one
//   stop-reason  by the shim, for the job, before it is asked to stop: the reason on the first line, the grace in
//                seconds on the second. Its path is in the job's environment as BERTH_STOP_REASON.
//   log          the job's standard output and error; log.index its (offset, time) index (runtime/logs), once there is
//                any
//   ending.json  by the shim when the whole tree is gone (Ended): synced as ending.part, then renamed
//   ending.part  the disk space for it, taken before the job starts, by the shim or by who hands it the launch, so that
//                a full disk does not lose the ending.
//                Where nobody holds the claim, a whole ending here counts like ending.json: the name may not have
//                come to the disk
//   upper, overlay-work, tree, tmp   the job's tree, where the launch asks for an overlay
//   environment/upper, environment/work   what the job changes of its environment (Protection)
//
// Versions: a reader ignores fields it does not know, and refuses only a higher `major`. Fields are never
// renamed. Only the ending is synced: after a reboot the absence of any other file proves nothing.
//
// The shim's own process does not enter the job's group, so that neither the job's limits nor its end touch
// it: the agent starts it in the group "shims" beside that of the job.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/base/clock.hpp"
#include "runtime/base/units.hpp"
#include "runtime/os/cgroup.hpp"
#include "runtime/os/device_filter.hpp"
#include "runtime/os/identity.hpp"
#include "runtime/os/mount.hpp"
#include "runtime/os/process.hpp"
#include "runtime/os/sandbox.hpp"

namespace berth::shim {

struct Version {
  int major = 1;
  int minor = 4;
};
inline constexpr Version kVersion{1, 4};

inline constexpr const char* kLaunchFile = "launch.json";
inline constexpr const char* kSecretsFile = "launch.secrets";
inline constexpr const char* kClaimFile = "claim";
inline constexpr const char* kStartedFile = "started.json";
inline constexpr const char* kStartedPart = "started.part";  // for the moment before it is whole
inline constexpr const char* kStopFile = "stop.json";
inline constexpr const char* kStopReasonFile = "stop-reason";
inline constexpr const char* kLogFile = "log";
inline constexpr const char* kLogIndexFile = "log.index";
inline constexpr const char* kEndingFile = "ending.json";
inline constexpr const char* kEndingReserve = "ending.part";
inline constexpr const char* kRevoked = "revoked";
// In the job's environment, with the launch directory as its value: the mark by which leftovers are found.
inline constexpr const char* kLaunchVariable = "BERTH_LAUNCH";

// A directory that exists, owned by the job's user, which gets a file system of its own in memory.
struct Tmp {
  std::string path;
  ByteSize size;
};

// What of a launch is secret.
struct Secrets {
  std::vector<std::string> environment;  // NAME=VALUE, in place of the launch's of the same name
  std::vector<std::string> command;  // in place of the launch's, where there is one here
  std::map<std::string, std::string> files;  // by name, below SecretPlace::directory
  bool empty() const { return environment.empty() && command.empty() && files.empty(); }
};

struct SecretPlace {
  // Exists, and is the job's user's; "" where there are no files. It gets a file system of its own in memory; where
  // none can be mounted the files are in it as it is until the job has ended, which a remark tells.
  std::string directory;
  bool mounted = false;  // it has one already
};

// What jobs share, and this one cannot change: in its own mount namespace all of `read_only` is, but what is its own.
struct Protection {
  std::vector<std::string> read_only;  // directories
  std::vector<std::string> writable;  // below them; `environment`'s target is, without being named
  std::optional<os::Overlay> environment;  // mounted on the environment itself, for what the job changes of it
  bool environment_owned = false;  // what is root's in the environment appears as the job's user's
};

struct Launch {
  Version version = kVersion;
  std::string job_id;
  std::string boot_id;  // filled in by launch()
  std::vector<std::string> command;  // [0] is looked for on the PATH of `environment` unless it has a slash
  std::vector<std::string> environment;  // NAME=VALUE, complete
  std::string working_directory;  // entered as the job's user
  std::optional<os::Identity> identity;  // nothing: stay who the shim is
  std::optional<os::Overlay> overlay;  // mounted for the job alone; with no `lower` it is there, and made the user's
  std::string cgroup;  // the job's own group, made when missing; "" where there is no cgroup2
  os::Limits limits;  // of that group, as far as its controllers go
  os::DeviceRules devices;  // for that group, where the kernel can; empty: as it is
  std::optional<Tmp> tmp;
  std::optional<os::Sandbox> sandbox;  // all that the command sees; not with `overlay` or `tmp`
  bool network = true;  // false: a network namespace of its own, with only a loopback device
  int nice = 0;  // steps by which it is less urgent than the agent was started
  bool goes_first = false;  // when the machine has no memory left, before what has claimed its own
  bool core_dumps = false;  // false: RLIMIT_CORE is 0
  std::optional<Protection> protection;  // nothing: what is shared is not kept from the job
  std::optional<std::chrono::milliseconds> timeout;
  int stop_signal = 15;  // for the timeout; stop.json brings its own
  std::chrono::milliseconds stop_grace{10'000};
  std::optional<SecretPlace> secret_place;  // nothing: there are no secrets
  Secrets secrets;  // not in launch.json
  ByteSize log_cap{1U << 30};  // head and tail are kept, the middle is punched out; 0: no limit
};

struct Started {
  Version version = kVersion;
  std::string boot_id;
  os::ProcessId shim;
  os::ProcessId job;  // the process that became the command
  std::string cgroup;  // the job's group; "" where it runs without one, and so without limits
  Instant time{};
};

struct Stop {
  Version version = kVersion;
  int signal = 15;
  std::chrono::milliseconds grace{10'000};
  std::string reason;  // one of the kStopped… below; comes back in Ended, and the job reads it
};

// Why a job is stopped.
inline constexpr const char* kStoppedCanceled = "canceled";
inline constexpr const char* kStoppedTimedOut = "timed_out";
inline constexpr const char* kStoppedDrain = "drain";
inline constexpr const char* kStoppedShutdown = "shutdown";

// How the command itself ended.
struct NotStarted {
  int exit_code = 127;  // 127 not found, 126 another failure before exec, 128 + signal when stopped before it
  std::string reason;
};
using Outcome = std::variant<NotStarted, os::Exit>;

struct Ended {
  Version version = kVersion;
  Outcome outcome;
  // Why the shim stopped it: "timed_out", or the reason of stop.json; "" when it ended by itself.
  std::string stopped_because;
  Instant started{};
  Instant ended{};
  std::chrono::microseconds duration{};  // monotonic
  std::chrono::microseconds user_cpu{};
  std::chrono::microseconds system_cpu{};
  ByteSize peak_memory;  // of the group; without one, of the largest single process
  ByteSize io_read;  // from and to disks; 0 where the kernel does not say
  ByteSize io_written;
  std::uint64_t out_of_memory_kills = 0;  // processes killed because the group's memory limit was reached
  std::uint64_t log_bytes = 0;  // the log's final size, holes included
  std::vector<std::string> remarks;  // what it did without, in words
};

// Files ⇄ values. Reading throws Error Code::corrupt for malformed text and Code::unsupported for a higher
// major version. Command, environment and paths are bytes: what is not UTF-8 survives too.
std::string to_text(const Launch& launch);
Launch launch_from_text(std::string_view text);
std::string to_text(const Secrets& secrets);
Secrets secrets_from_text(std::string_view text);
// A launch and its secrets in one, for a shim that is handed them.
std::string to_handover(const Launch& launch);
Launch launch_from_handover(std::string_view text);
std::string to_text(const Started& started);
Started started_from_text(std::string_view text);
std::string to_text(const Stop& stop);
Stop stop_from_text(std::string_view text);
std::string to_text(const Ended& ended);
Ended ended_from_text(std::string_view text);

}  // namespace berth::shim
