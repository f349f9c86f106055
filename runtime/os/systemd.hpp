#pragma once

// What systemd gives a service, through libsystemd (systemd 249 or newer). Where systemd is not there, everything
// here does nothing or tells nothing, unless it says otherwise. All calls block; those over D-Bus for milliseconds.

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/os/fd.hpp"

namespace berth::os {

// Whether systemd is this machine's init, sd_booted(3).
bool systemd_runs();

// Tells the service manager about this service: "READY=1", "STATUS=…", "WATCHDOG=1"; sd_notify(3).
void notify_manager(const std::string& state) noexcept;
// How often the service manager wants WATCHDOG=1 at the latest; nothing when it does not watch.
std::optional<std::chrono::microseconds> watchdog_interval();
// The listening unix socket that this process was activated with. It is handed out once, and belongs to the service
// manager: its file must not be removed.
std::optional<Fd> activated_socket();

// Whether standard error goes to the journal, JOURNAL_STREAM of systemd.exec(5).
bool stderr_is_journal();
// One entry with fields of its own, journal-fields(7). The fields' names are upper-case letters, digits and '_'.
using JournalFields = std::vector<std::pair<std::string, std::string>>;
void write_to_journal(int priority, const std::string& message, const JournalFields& fields) noexcept;

// A transient scope: a control group of the service manager's around processes that it did not start. Delegated, so
// everything below it is the caller's. It ends when no process is left in it.
struct Scope {
  std::string name;         // "berth-jobs.scope"
  std::string slice;        // "berth.slice"
  std::string description;
  std::string stop_after;   // the service that must have stopped, at shutdown, before its processes are
};
// The control group of the scope, as a path within the hierarchy ("/berth.slice/berth-jobs.scope"); nothing when it is
// not active. Throws Code::unavailable when the service manager cannot be asked.
std::optional<std::string> control_group_of(const Scope& scope);
// Starts it around the process, and waits until the process is in it: its control group. Throws Code::conflict while
// an earlier one of the same name is still there, Code::unavailable when it cannot be had.
std::string start_scope(const Scope& scope, pid_t process);

// Whether the machine is being shut down or restarted. False where it cannot be found out.
bool machine_stops() noexcept;

}  // namespace berth::os
