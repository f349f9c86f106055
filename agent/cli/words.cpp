#include "agent/cli/words.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"
#include "runtime/os/process.hpp"

namespace berth::cli {
namespace {

struct Unit {
  std::int64_t from;  // the shortest duration told in it, in seconds
  std::int64_t length;
  const char* name;
};
constexpr std::array<Unit, 5> kUnits{{{1'209'600, 604'800, "week"},
                                      {172'800, 86'400, "day"},
                                      {3600, 3600, "hour"},
                                      {60, 60, "minute"},
                                      {1, 1, "second"}}};

struct BriefEnding {
  std::string operator()(const model::Exited& ending) const { return "exit code " + std::to_string(ending.code); }
  std::string operator()(const model::Signalled& ending) const { return os::signal_name(ending.signal); }
  std::string operator()(const model::TimedOut&) const { return "time limit"; }
  std::string operator()(const model::Canceled&) const { return "canceled"; }
  std::string operator()(const model::StartFailed&) const { return "not started"; }
  std::string operator()(const model::EnvironmentFailed&) const { return "environment"; }
  std::string operator()(const model::ImageFailed&) const { return "image"; }
  std::string operator()(const model::SnapshotFailed&) const { return "code"; }
  std::string operator()(const model::DiskFull&) const { return "disk full"; }
  std::string operator()(const model::OutOfMemory&) const { return "out of memory"; }
  std::string operator()(const model::GpuError& ending) const { return ending.gpu + " failed"; }
  std::string operator()(const model::Preempted& ending) const {
    return ending.cause == model::Preempted::Cause::drain ? "node drained" : "machine shut down";
  }
  std::string operator()(const model::Lost&) const { return "lost"; }
};

std::string state_name(const model::Job& job) {
  auto text = job.state == model::State::cancel_requested ? std::string("Canceling") : std::string(name(job.state));
  return job.held && !model::is_final(job.state) ? text + " (held)" : text;
}

std::string canceled_by(const model::Job& job) {
  const auto* canceled = job.ending ? std::get_if<model::Canceled>(&*job.ending) : nullptr;
  return canceled == nullptr ? "" : canceled->by;
}

bool failed(const model::Job& job) { return job.state == model::State::failed; }

std::optional<Instant> parse_local(const std::string& text) {
  std::tm parts{};
  for (const char* format :
       {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d"}) {
    parts = {};
    const char* end = ::strptime(text.c_str(), format, &parts);
    if (end == nullptr || *end != '\0') continue;
    parts.tm_isdst = -1;
    return Instant(std::chrono::seconds(std::mktime(&parts)));
  }
  return std::nullopt;
}

}  // namespace

std::string brief_duration(std::chrono::microseconds duration) {
  const auto seconds = std::max<std::int64_t>(duration.count() / 1'000'000, 1);
  for (const auto& unit : kUnits) {
    if (seconds < unit.from) continue;
    const auto number = seconds / unit.length;
    return std::to_string(number) + " " + unit.name + (number == 1 ? "" : "s");
  }
  return "1 second";
}

std::string ago(Instant then, Instant now) {
  if (now - then < std::chrono::seconds(1)) return "just now";
  return brief_duration(now - then) + " ago";
}

std::string state_text(const model::Job& job) {
  auto text = state_name(job);
  if (job.ending && failed(job)) text += ": " + printable(to_words(*job.ending));
  const auto by = canceled_by(job);
  return by.empty() ? text : text + " by " + printable(by);
}

std::string brief_state_text(const model::Job& job) {
  auto text = state_name(job);
  if (job.ending && failed(job)) text += ": " + std::visit(BriefEnding(), *job.ending);
  const auto by = canceled_by(job);
  return by.empty() || by == job.user ? text : text + " by " + printable(by);
}

Style state_style(const model::Job& job) {
  switch (job.state) {
    case model::State::running:
    case model::State::finalizing:
      return Style::blue;
    case model::State::completed:
      return Style::green;
    case model::State::failed:
      return Style::red;
    case model::State::canceled:
    case model::State::cancel_requested:
      return Style::yellow;
    case model::State::preparing:
    case model::State::queued:
      break;
  }
  return Style::plain;
}

std::optional<std::chrono::microseconds> run_time(const model::Job& job, Instant now) {
  if (job.attempts.empty()) return std::nullopt;
  const auto& last = job.attempts.back();
  if (last.duration) return last.duration;
  if (!last.started) return std::nullopt;
  return std::max(last.ended.value_or(now) - *last.started, std::chrono::microseconds(0));
}

Instant parse_since(const std::string& text, Instant now) {
  if (const auto back = parse_duration(text)) return now - *back;
  if (const auto exact = parse_rfc3339(text)) return *exact;
  if (const auto local = parse_local(text)) return *local;
  throw Error(Code::invalid, "--since: '" + printable(text) + "' is no time",
              "write how long ago (10m, 2h30m) or when (2026-03-14 15:09, 2026-03-14T15:09:26Z)");
}

}  // namespace berth::cli
