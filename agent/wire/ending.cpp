#include "agent/wire/ending.hpp"

#include <cstring>

namespace berth::model {
namespace {

std::optional<std::string> signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  if (name == nullptr) return std::nullopt;
  return std::string("SIG") + name;
}

constexpr const char* kWhy = "Why, for people.";

}  // namespace

// Of each what is beside its kind. What an earlier version did not write keeps its default.

void describe(Fields& fields, Exited& ending) { fields.field("code", ending.code, "The command's own exit code."); }

void describe(Fields& fields, Signalled& ending) {
  fields.field("signal", ending.signal, "The number of the signal that ended it.");
  fields.shown(
      "signal_name", [&] { return signal_name(ending.signal); }, "Its name, such as SIGKILL.");
}

void describe(Fields& fields, TimedOut& ending) { fields.field("limit_ms", ending.limit, "The job's own time limit."); }

void describe(Fields& fields, Canceled& ending) {
  fields.field("by", ending.by, "The name of the user who canceled it.");
}

void describe(Fields& fields, StartFailed& ending) {
  fields.field("exit_code", ending.exit_code, "As a shell's: 127 not found, 126 not executable.");
  fields.field("reason", ending.reason, kWhy);
}

void describe(Fields& fields, EnvironmentFailed& ending) { fields.field("reason", ending.reason, kWhy); }
void describe(Fields& fields, ImageFailed& ending) { fields.field("reason", ending.reason, kWhy); }
void describe(Fields& fields, SnapshotFailed& ending) { fields.field("reason", ending.reason, kWhy); }
void describe(Fields& fields, DiskFull& ending) { fields.field("reason", ending.reason, kWhy); }

void describe(Fields& fields, OutOfMemory& ending) {
  fields.field("limit_bytes", ending.limit, "Of its memory; 0: it had none, and the machine's memory ran out.");
  fields.field("peak_bytes", ending.peak, "The most it used.");
}

void describe(Fields& fields, GpuError& ending) {
  fields.field("gpu", ending.gpu, "Which, for people: \"GPU 3\".");
  fields.field("uuid", ending.uuid, "Which.");
  fields.field("xid", ending.xid, "NVIDIA's number of the fault; null: the driver gave none.", {.or_null = true});
  fields.field("reason", ending.reason, kWhy);
}

void describe(Fields& fields, Preempted& ending) {
  fields.field("cause", ending.cause, "Why the node asked it to stop.", {.lenient = true});
}

void describe(Fields& fields, Lost& ending) {
  fields.field("cause", ending.cause, "Why nobody saw it end.", {.lenient = true});
}

void describe(Fields& fields, Ending& ending) {
  fields.answered("Ending", "What ended a job or an attempt, told apart by its kind.");
  fields.tagged("kind", ending, ending_kinds());
}

}  // namespace berth::model
