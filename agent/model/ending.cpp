#include "agent/model/ending.hpp"

#include <cstring>
#include <string>

#include "runtime/base/units.hpp"

namespace berth::model {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

// By the place in the variant, and in the enums.
constexpr std::array<std::string_view, std::variant_size_v<Ending>> kKinds{
    "exited",       "signalled",       "timed_out", "canceled",      "start_failed", "environment_failed",
    "image_failed", "snapshot_failed", "disk_full", "out_of_memory", "gpu_error",    "preempted",
    "lost"};
constexpr std::array<std::string_view, 2> kPreemptedCauses{"drain", "shutdown"};
constexpr std::array<std::string_view, 5> kLostCauses{"reboot", "shim_killed", "container_ended", "engine_stopped",
                                                      "records_changed"};

constexpr int kTimeoutExit = 124;
constexpr int kBerthFailedExit = 125;
constexpr int kCanceledExit = 130;
constexpr int kKilledExit = 137;  // 128 + SIGKILL

std::string signal_in_words(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(signal);
}

std::string with_reason(std::string text, const std::string& reason) {
  return reason.empty() ? text : text + ": " + reason;
}

std::string out_of_memory_in_words(const OutOfMemory& ending) {
  if (ending.limit.bytes() == 0) return "was killed because the machine's memory ran out";
  return "was killed because it used all of its memory limit of " + to_text(ending.limit) +
         (ending.peak.bytes() > 0 ? " (peak " + to_text(ending.peak) + ")" : "");
}

}  // namespace

std::string_view kind(const Ending& ending) { return kKinds[ending.index()]; }

std::span<const std::string_view> ending_kinds() { return kKinds; }

std::span<const std::string_view> names_of(Preempted::Cause) { return kPreemptedCauses; }

std::span<const std::string_view> names_of(Lost::Cause) { return kLostCauses; }

std::string to_words(const Ending& ending) {
  return std::visit(
      Overloaded{
          [](const Exited& e) { return "exited with code " + std::to_string(e.code); },
          [](const Signalled& e) { return "was killed by " + signal_in_words(e.signal); },
          [](const TimedOut& e) { return "ran longer than its limit of " + berth::to_words(e.limit); },
          [](const Canceled& e) { return e.by.empty() ? std::string("was canceled") : "was canceled by " + e.by; },
          [](const StartFailed& e) { return with_reason("could not be started", e.reason); },
          [](const EnvironmentFailed& e) { return with_reason("its environment could not be made", e.reason); },
          [](const ImageFailed& e) { return with_reason("its image could not be made ready", e.reason); },
          [](const SnapshotFailed& e) { return with_reason("its code could not be restored", e.reason); },
          [](const DiskFull& e) { return with_reason("the disk was full", e.reason); },
          [](const OutOfMemory& e) { return out_of_memory_in_words(e); },
          [](const GpuError& e) { return with_reason(e.gpu + " failed", e.reason); },
          [](const Preempted& e) {
            return std::string(e.cause == Preempted::Cause::drain ? "was stopped because the node was drained"
                                                                  : "was stopped because the machine shut down");
          },
          [](const Lost& e) {
            return std::string(e.cause == Lost::Cause::reboot ? "lost: the machine restarted while it ran"
                               : e.cause == Lost::Cause::engine_stopped
                                   ? "lost: the container engine stopped, and its container with it"
                               : e.cause == Lost::Cause::container_ended
                                   ? "lost: its container was stopped from outside, as when the Docker engine restarts"
                               : e.cause == Lost::Cause::records_changed
                                   ? "lost: its records were changed, so that nobody knows how it ended"
                                   : "lost: its supervisor was killed, so nobody saw it end");
          }},
      ending);
}

Ending without_reason(Ending ending) {
  std::visit(
      [](auto& each) {
        if constexpr (requires { each.reason; }) each.reason.clear();
      },
      ending);
  return ending;
}

bool succeeded(const Ending& ending) {
  const auto* exited = std::get_if<Exited>(&ending);
  return exited != nullptr && exited->code == 0;
}

int exit_code(const Ending& ending) {
  return std::visit(
      Overloaded{[](const Exited& e) { return e.code; }, [](const Signalled& e) { return 128 + e.signal; },
                 [](const TimedOut&) { return kTimeoutExit; }, [](const OutOfMemory&) { return kKilledExit; },
                 [](const Canceled&) { return kCanceledExit; }, [](const StartFailed& e) { return e.exit_code; },
                 [](const auto&) { return kBerthFailedExit; }},
      ending);
}

std::string all_retry_causes() {
  std::string text;
  for (const auto cause : kRetryCauses) (text += text.empty() ? "" : ", ") += cause;
  return text;
}

std::string_view retry_cause(const Ending& ending) {
  if (succeeded(ending) || std::holds_alternative<Canceled>(ending)) return {};
  if (std::holds_alternative<Exited>(ending) || std::holds_alternative<Signalled>(ending)) return "failed";
  return kind(ending);
}

}  // namespace berth::model
