#include "runtime/os/systemd.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/cgroup.hpp"
#include "runtime/os/file.hpp"

namespace berth::os {
namespace {

constexpr const char* kManager = "org.freedesktop.systemd1";
constexpr const char* kManagerPath = "/org/freedesktop/systemd1";
constexpr const char* kManagerInterface = "org.freedesktop.systemd1.Manager";
constexpr std::uint64_t kCallTimeoutMicros = 10'000'000;
constexpr auto kMovedWithin = std::chrono::seconds(10);

struct FreeText {
  void operator()(char* text) const { std::free(text); }
};
using Text = std::unique_ptr<char, FreeText>;

struct BusError {
  sd_bus_error error{};
  BusError() = default;
  BusError(const BusError&) = delete;
  BusError& operator=(const BusError&) = delete;
  ~BusError() { sd_bus_error_free(&error); }
  bool is(const char* name) const { return sd_bus_error_has_name(&error, name) != 0; }
};

[[noreturn]] void fail(const std::string& what, int result, const BusError& error = {}) {
  const std::string reason = error.error.message != nullptr ? error.error.message : std::strerror(-result);
  const bool exists = error.is("org.freedesktop.systemd1.UnitExists");
  throw Error(exists ? Code::conflict : Code::unavailable, "the service manager cannot " + what + ": " + reason);
}

// A connection to the service manager: over the system bus, or, where there is none (yet), over the socket that
// systemctl uses as root.
class Manager {
 public:
  Manager() {
    int result = sd_bus_open_system(&bus_);
    if (result < 0) result = open_private();
    if (result < 0) fail("be reached over D-Bus", result);
    sd_bus_set_method_call_timeout(bus_, kCallTimeoutMicros);
  }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;
  ~Manager() { sd_bus_flush_close_unref(bus_); }

  std::string state() const { return property(kManagerPath, kManagerInterface, "SystemState"); }

  std::string property(const std::string& path, const char* interface, const char* name) const {
    BusError error;
    char* value = nullptr;
    const int result = sd_bus_get_property_string(bus_, kManager, path.c_str(), interface, name, &error.error, &value);
    const Text owned(value);
    if (result < 0) fail(std::string("tell ") + name, result, error);
    return value;
  }

  void reset_failed(const std::string& unit) const {
    sd_bus_call_method(bus_, kManager, kManagerPath, kManagerInterface, "ResetFailedUnit", nullptr, nullptr, "s",
                       unit.c_str());
  }

  void start_transient(const Scope& scope, pid_t process) const {
    BusError error;
    const int result =
        sd_bus_call_method(bus_, kManager, kManagerPath, kManagerInterface, "StartTransientUnit", &error.error, nullptr,
                           "ssa(sv)a(sa(sv))", scope.name.c_str(), "fail", 7,                    //
                           "Description", "s", scope.description.c_str(),                        //
                           "Slice", "s", scope.slice.c_str(),                                    //
                           "Delegate", "b", 1,                                                   //
                           "TasksMax", "t", UINT64_MAX,  // limits are set below it
                           "Before", "as", 1, scope.stop_after.c_str(),  // stopping goes the other way round
                           "CollectMode", "s", "inactive-or-failed",                             //
                           "PIDs", "au", 1, static_cast<std::uint32_t>(process),                 //
                           0);
    if (result < 0) fail("start " + scope.name, result, error);
  }

 private:
  int open_private() {
    int result = sd_bus_new(&bus_);
    if (result >= 0) result = sd_bus_set_address(bus_, "unix:path=/run/systemd/private");
    return result >= 0 ? sd_bus_start(bus_) : result;
  }
  sd_bus* bus_ = nullptr;
};

std::string path_of(const std::string& unit) {
  char* path = nullptr;
  if (const int result = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit.c_str(), &path); result < 0)
    fail("name " + unit, result);
  const Text owned(path);
  return path;
}

}  // namespace

bool systemd_runs() { return sd_booted() > 0; }

void notify_manager(const std::string& state) noexcept { sd_notify(0, state.c_str()); }

std::optional<std::chrono::microseconds> watchdog_interval() {
  std::uint64_t micros = 0;
  if (sd_watchdog_enabled(0, &micros) <= 0 || micros == 0) return std::nullopt;
  return std::chrono::microseconds(micros);
}

std::optional<Fd> activated_socket() {
  const int count = sd_listen_fds(1);
  std::optional<Fd> found;
  for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; ++fd) {
    Fd owned(fd);
    if (!found && sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0) found = std::move(owned);
  }
  if (found) ::fcntl(found->get(), F_SETFL, ::fcntl(found->get(), F_GETFL) | O_NONBLOCK);
  return found;
}

bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat info {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &info) != 0) return false;
  return std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino) == stream;
}

void write_to_journal(int priority, const std::string& message, const JournalFields& fields) noexcept {
  std::vector<std::string> entries{"MESSAGE=" + message, "PRIORITY=" + std::to_string(priority)};
  for (const auto& [name, value] : fields) entries.push_back(name + "=" + value);
  std::vector<iovec> parts;
  parts.reserve(entries.size());
  for (auto& entry : entries) parts.push_back({entry.data(), entry.size()});
  sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
}

std::optional<std::string> control_group_of(const Scope& scope) {
  const Manager manager;
  const auto path = path_of(scope.name);
  const auto state = manager.property(path, "org.freedesktop.systemd1.Unit", "ActiveState");
  if (state == "failed") manager.reset_failed(scope.name);
  if (state != "active") return std::nullopt;
  auto group = manager.property(path, "org.freedesktop.systemd1.Scope", "ControlGroup");
  return group.empty() ? std::nullopt : std::optional(std::move(group));
}

std::string start_scope(const Scope& scope, pid_t process) {
  Manager().start_transient(scope, process);
  const auto deadline = std::chrono::steady_clock::now() + kMovedWithin;
  for (;;) {
    const auto group = group_of(process);
    if (group && name_of(*group) == scope.name) return *group;
    if (!group || std::chrono::steady_clock::now() > deadline)
      throw Error(Code::unavailable, "the service manager did not put process " + std::to_string(process) + " into " +
                                         scope.name + " of the cgroup2 hierarchy");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

bool machine_stops() noexcept {
  try {
    return systemd_runs() && Manager().state() == "stopping";
  } catch (...) {
    return false;
  }
}

}  // namespace berth::os
