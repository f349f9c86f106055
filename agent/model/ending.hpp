#pragma once

// What ended a job: a value, apart from the user's exit code, told in plain words.

#include <array>
#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "runtime/base/units.hpp"

namespace berth::model {

struct Exited {
  int code = 0;
  friend bool operator==(const Exited&, const Exited&) = default;
};
struct Signalled {
  int signal = 0;
  friend bool operator==(const Signalled&, const Signalled&) = default;
};
// The job's own time limit passed.
struct TimedOut {
  std::chrono::milliseconds limit{};
  friend bool operator==(const TimedOut&, const TimedOut&) = default;
};
struct Canceled {
  std::string by;  // a user's name
  friend bool operator==(const Canceled&, const Canceled&) = default;
};
// The command never ran: not found (exit code 127), not executable (126), no working directory.
struct StartFailed {
  int exit_code = 127;
  std::string reason;
  friend bool operator==(const StartFailed&, const StartFailed&) = default;
};
struct EnvironmentFailed {
  std::string reason;
  friend bool operator==(const EnvironmentFailed&, const EnvironmentFailed&) = default;
};
// Its image could not be pulled or built, or what was to be added to it.
struct ImageFailed {
  std::string reason;
  friend bool operator==(const ImageFailed&, const ImageFailed&) = default;
};
struct SnapshotFailed {
  std::string reason;
  friend bool operator==(const SnapshotFailed&, const SnapshotFailed&) = default;
};
struct DiskFull {
  std::string reason;
  friend bool operator==(const DiskFull&, const DiskFull&) = default;
};
// The kernel killed it for using more memory than it may, or than there is.
struct OutOfMemory {
  ByteSize limit;  // zero: it had none, and the machine's memory ran out
  ByteSize peak;
  friend bool operator==(const OutOfMemory&, const OutOfMemory&) = default;
};
// A GPU that it held failed, and the job with it.
struct GpuError {
  std::string gpu;   // for people: "GPU 3"
  std::string uuid;
  unsigned xid = 0;  // NVIDIA's number of the fault; 0: the driver gave none
  std::string reason;
  friend bool operator==(const GpuError&, const GpuError&) = default;
};
// It was asked to stop for the node's sake, not its user's.
struct Preempted {
  enum class Cause { drain, shutdown };
  Cause cause = Cause::drain;
  friend std::span<const std::string_view> names_of(Cause);
  friend bool operator==(const Preempted&, const Preempted&) = default;
};
// Nobody saw it end.
struct Lost {
  enum class Cause { reboot, shim_killed, container_ended, engine_stopped, records_changed };
  Cause cause = Cause::reboot;
  friend std::span<const std::string_view> names_of(Cause);
  friend bool operator==(const Lost&, const Lost&) = default;
};

using Ending = std::variant<Exited, Signalled, TimedOut, Canceled, StartFailed, EnvironmentFailed, ImageFailed,
                            SnapshotFailed, DiskFull, OutOfMemory, GpuError, Preempted, Lost>;

// The stable name of the kind: "exited", "signalled", "timed_out", "canceled", "start_failed",
// "environment_failed", "image_failed", "snapshot_failed", "disk_full", "out_of_memory", "gpu_error", "preempted",
// "lost"
std::string_view kind(const Ending& ending);
std::span<const std::string_view> ending_kinds();  // all, in the order of the variant
// "exited with code 3", "was killed by SIGKILL", "lost: the machine restarted while it ran".
std::string to_words(const Ending& ending);
bool succeeded(const Ending& ending);
// Its kind and numbers alone: a reason may quote the command or what a build printed.
Ending without_reason(Ending ending);
// What `berth run` and `berth wait` exit with: the job's own code, 128 + signal, 124 on a time-out,
// 130 when canceled, 137 when out of memory, 125 when Berth or the machine failed it.
int exit_code(const Ending& ending);

// Why a job may be started again, as users write it after --retry. "failed": exited with a code, or signalled; the
// others are kinds.
inline constexpr std::array<std::string_view, 11> kRetryCauses{
    "failed",    "timed_out",    "lost",          "environment_failed", "image_failed", "snapshot_failed",
    "disk_full", "start_failed", "out_of_memory", "gpu_error",          "preempted"};
// The one of this ending. Empty for success and cancellation, which are never retried.
std::string_view retry_cause(const Ending& ending);
// "failed, timed_out, …", for messages.
std::string all_retry_causes();

}  // namespace berth::model
