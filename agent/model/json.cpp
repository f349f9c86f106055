#include "agent/model/json.hpp"

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>

#include "agent/model/json_reader.hpp"
#include "agent/model/request_json.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"

namespace berth::model {
namespace {

using nlohmann::json;
using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr JsonBounds kBounds{.bytes = 64U << 20, .values = 2'000'000, .depth = 32};  // for the agent's lists

std::int64_t to_ms(microseconds duration) { return duration_cast<milliseconds>(duration).count(); }

json to_json(const Removal& removal) { return {{"time", to_rfc3339(removal.time)}, {"why", removal.why}}; }

std::optional<Removal> removal_from(JsonReader& fields, const char* key) {
  const auto* value = fields.find(key);
  if (value == nullptr) return std::nullopt;
  JsonReader removal(*value, key);
  return Removal{removal.required_instant("time"), removal.text("why")};
}

constexpr std::size_t kLongestReason = 300;  // in an outline

Ending with_bounded_reason(Ending ending, Reasons reasons) {
  if (reasons == Reasons::no) return without_reason(std::move(ending));
  std::visit(
      [](auto& each) {
        if constexpr (requires { each.reason; }) each.reason = shortened(std::move(each.reason), kLongestReason);
      },
      ending);
  return ending;
}

// An outline tells of the last attempt what the job as a whole shows.
std::vector<Attempt> attempt_of_outline(JsonReader& fields) {
  Attempt attempt;
  attempt.number = fields.whole<int>("attempt", 0);
  if (attempt.number == 0) return {};
  attempt.started = fields.instant("started");
  attempt.duration = fields.duration("duration_ms");
  if (attempt.started && attempt.duration) attempt.ended = *attempt.started + *attempt.duration;
  return {std::move(attempt)};
}

// Stored text that is JSON itself is shown as such.
json embedded(const std::string& text) {
  if (text.empty()) return nullptr;
  auto value = json_or_null(text);
  return value.is_null() ? json(text) : value;
}

}  // namespace

json to_json(const Resources& resources) {
  json object{{"cpu_milli", resources.cpu_milli},
              {"memory_bytes", resources.memory.bytes()},
              {"gpus", resources.gpus},
              {"slots", resources.slots}};
  if (resources.gpu_memory.bytes() > 0) object["gpu_memory_bytes"] = resources.gpu_memory.bytes();
  return object;
}

json to_json(const Ending& ending) {
  json object{{"kind", kind(ending)}};
  std::visit(
      [&](const auto& e) {
        using E = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<E, Exited>) {
          object["code"] = e.code;
        } else if constexpr (std::is_same_v<E, Signalled>) {
          object["signal"] = e.signal;
          const char* name = ::sigabbrev_np(e.signal);
          object["signal_name"] = name != nullptr ? json(std::string("SIG") + name) : json(nullptr);
        } else if constexpr (std::is_same_v<E, TimedOut>) {
          object["limit_ms"] = e.limit.count();
        } else if constexpr (std::is_same_v<E, Canceled>) {
          object["by"] = e.by;
        } else if constexpr (std::is_same_v<E, OutOfMemory>) {
          object["limit_bytes"] = e.limit.bytes();
          object["peak_bytes"] = e.peak.bytes();
        } else if constexpr (std::is_same_v<E, GpuError>) {
          object["gpu"] = e.gpu;
          object["uuid"] = e.uuid;
          object["xid"] = e.xid == 0 ? json(nullptr) : json(e.xid);
          object["reason"] = e.reason;
        } else if constexpr (std::is_same_v<E, Preempted>) {
          object["cause"] = e.cause == Preempted::Cause::drain ? "drain" : "shutdown";
        } else if constexpr (std::is_same_v<E, Lost>) {
          object["cause"] = e.cause == Lost::Cause::reboot            ? "reboot"
                            : e.cause == Lost::Cause::container_ended ? "container_ended"
                            : e.cause == Lost::Cause::engine_stopped  ? "engine_stopped"
                            : e.cause == Lost::Cause::records_changed ? "records_changed"
                                                                      : "shim_killed";
        } else {
          object["reason"] = e.reason;
          if constexpr (std::is_same_v<E, StartFailed>) object["exit_code"] = e.exit_code;
        }
      },
      ending);
  return object;
}

Ending ending_from_json(const json& value) {
  JsonReader fields(value, "ending");
  const auto kind = fields.text("kind");
  if (kind == "exited") return Exited{fields.whole<int>("code", 0)};
  if (kind == "signalled") return Signalled{fields.whole<int>("signal", 0)};
  if (kind == "timed_out") return TimedOut{fields.duration("limit_ms").value_or(milliseconds(0))};
  if (kind == "canceled") return Canceled{fields.text("by")};
  if (kind == "start_failed") return StartFailed{fields.whole<int>("exit_code", 127), fields.text("reason")};
  if (kind == "environment_failed") return EnvironmentFailed{fields.text("reason")};
  if (kind == "image_failed") return ImageFailed{fields.text("reason")};
  if (kind == "snapshot_failed") return SnapshotFailed{fields.text("reason")};
  if (kind == "disk_full") return DiskFull{fields.text("reason")};
  if (kind == "out_of_memory")
    return OutOfMemory{ByteSize(fields.whole<std::uint64_t>("limit_bytes", 0)),
                       ByteSize(fields.whole<std::uint64_t>("peak_bytes", 0))};
  if (kind == "gpu_error")
    return GpuError{fields.text("gpu"), fields.text("uuid"), fields.whole<unsigned>("xid", 0), fields.text("reason")};
  if (kind == "preempted")
    return Preempted{fields.text("cause") == "shutdown" ? Preempted::Cause::shutdown : Preempted::Cause::drain};
  if (kind == "lost") {
    const auto cause = fields.text("cause");
    return Lost{cause == "shim_killed"       ? Lost::Cause::shim_killed
                : cause == "container_ended" ? Lost::Cause::container_ended
                : cause == "engine_stopped"  ? Lost::Cause::engine_stopped
                : cause == "records_changed" ? Lost::Cause::records_changed
                                             : Lost::Cause::reboot};
  }
  fields.refuse("kind", "is not a known kind of ending");
}

json to_json(const EnvironmentChanges& changes) {
  return {{"files", changes.files},
          {"added", changes.added},
          {"removed", changes.removed},
          {"shared", changes.shared},
          {"unknown", changes.unknown.empty() ? json(nullptr) : json(changes.unknown)}};
}

EnvironmentChanges environment_changes_from_json(const json& value) {
  JsonReader fields(value, "environment changes");
  EnvironmentChanges changes;
  changes.files = fields.whole<std::uint64_t>("files", 0);
  changes.added = fields.texts("added");
  changes.removed = fields.texts("removed");
  changes.shared = fields.flag("shared", false);
  changes.unknown = fields.text("unknown");
  return changes;
}

json to_json(const LeftOut& left_out) {
  auto first = json::array();
  for (const auto& [path, why] : left_out.first) first.push_back({{"path", path}, {"why", why}});
  return {{"count", left_out.count}, {"first", std::move(first)}};
}

LeftOut left_out_from_json(const json& value) {
  JsonReader fields(value, "outputs left out");
  LeftOut left_out;
  left_out.count = fields.whole<std::uint64_t>("count", 0);
  const auto* first = fields.find("first");
  if (first == nullptr) return left_out;
  if (!first->is_array()) fields.refuse("first", "must be a list");
  for (const auto& item : *first) {
    JsonReader each(item, "output left out");
    left_out.first.push_back({each.text("path"), each.text("why")});
  }
  return left_out;
}

json to_json(const Attempt& attempt) {
  return {{"number", attempt.number},
          {"launch", attempt.launch},
          {"started", or_null(attempt.started, to_rfc3339)},
          {"ended", or_null(attempt.ended, to_rfc3339)},
          {"duration_ms", or_null(attempt.duration, to_ms)},
          {"ending", or_null(attempt.ending, [](const Ending& ending) { return to_json(ending); })},
          {"ending_words", or_null(attempt.ending, [](const Ending& ending) { return to_words(ending); })},
          {"user_cpu_ms", to_ms(attempt.usage.user_cpu)},
          {"system_cpu_ms", to_ms(attempt.usage.system_cpu)},
          {"peak_memory_bytes", attempt.usage.peak_memory.bytes()},
          {"io_read_bytes", attempt.usage.io_read.bytes()},
          {"io_written_bytes", attempt.usage.io_written.bytes()},
          {"gpus", attempt.gpus},
          {"gpu_time_ms", to_ms(attempt.usage.gpu_time)},
          {"gpu_peak_memory_bytes", attempt.usage.gpu_peak_memory.bytes()},
          {"environment_changes",
           or_null(attempt.environment_changes, [](const EnvironmentChanges& changes) { return to_json(changes); })},
          {"outputs", or_null(attempt.outputs, to_hex)},
          {"outputs_bytes", attempt.outputs_size.bytes()},
          {"outputs_left_out", attempt.outputs_left_out.count > 0 ? to_json(attempt.outputs_left_out) : json(nullptr)}};
}

Attempt attempt_from_json(const json& value) {
  JsonReader fields(value, "attempt");
  Attempt attempt;
  attempt.number = fields.whole<int>("number", 1);
  attempt.launch = fields.whole<int>("launch", 0);
  attempt.started = fields.instant("started");
  attempt.ended = fields.instant("ended");
  attempt.duration = fields.duration("duration_ms");
  if (const auto* ending = fields.find("ending")) attempt.ending = ending_from_json(*ending);
  attempt.usage.user_cpu = fields.duration("user_cpu_ms").value_or(milliseconds(0));
  attempt.usage.system_cpu = fields.duration("system_cpu_ms").value_or(milliseconds(0));
  attempt.usage.peak_memory = ByteSize(fields.whole<std::uint64_t>("peak_memory_bytes", 0));
  attempt.usage.io_read = ByteSize(fields.whole<std::uint64_t>("io_read_bytes", 0));
  attempt.usage.io_written = ByteSize(fields.whole<std::uint64_t>("io_written_bytes", 0));
  attempt.gpus = fields.texts("gpus");
  attempt.usage.gpu_time = milliseconds(fields.whole<std::int64_t>("gpu_time_ms", 0));
  attempt.usage.gpu_peak_memory = ByteSize(fields.whole<std::uint64_t>("gpu_peak_memory_bytes", 0));
  if (const auto* changes = fields.find("environment_changes"))
    attempt.environment_changes = environment_changes_from_json(*changes);
  attempt.outputs = fields.digest("outputs");
  attempt.outputs_size = ByteSize(fields.whole<std::uint64_t>("outputs_bytes", 0));
  if (const auto* left_out = fields.find("outputs_left_out"); left_out != nullptr && !left_out->is_null())
    attempt.outputs_left_out = left_out_from_json(*left_out);
  return attempt;
}

json to_json(const Job& job) {
  json object = json::object();
  write_request(object, job.request);
  const Attempt current = job.attempts.empty() ? Attempt{} : job.attempts.back();
  object["id"] = job.id;
  object["sequence"] = job.sequence;
  object["uid"] = job.uid;
  object["user"] = job.user;
  object["state"] = name(job.state);
  object["priority"] = job.priority;
  object["held"] = job.held;
  object["requested_priority"] = job.request.priority;
  object["requested_held"] = job.request.held;
  object["submitted"] = to_rfc3339(job.submitted);
  object["started"] = or_null(current.started, to_rfc3339);
  object["finished"] = or_null(job.finished, to_rfc3339);
  object["duration_ms"] = or_null(current.duration, to_ms);
  object["attempts"] = json::array();
  for (const auto& attempt : job.attempts) object["attempts"].push_back(to_json(attempt));
  object["ending"] = or_null(job.ending, [](const Ending& ending) { return to_json(ending); });
  object["ending_words"] = or_null(job.ending, [](const Ending& ending) { return to_words(ending); });
  object["exit_code"] = or_null(job.ending, exit_code);
  object["environment_record"] = embedded(job.environment_record);
  object["environment_digest"] = or_null(job.environment, to_hex);
  object["canceled_by"] = job.canceled_by;
  const auto removal = [](const Removal& removed) { return to_json(removed); };
  object["log_removed"] = or_null(job.log_removed, removal);
  object["outputs_removed"] = or_null(job.outputs_removed, removal);
  return object;
}

json outline_json(const Job& job, Reasons reasons) {
  const Attempt current = job.attempts.empty() ? Attempt{} : job.attempts.back();
  const auto ending = job.ending ? std::optional(with_bounded_reason(*job.ending, reasons)) : std::nullopt;
  const auto removal = [](const Removal& removed) { return to_json(removed); };
  return {{"id", job.id},
          {"sequence", job.sequence},
          {"outline", true},
          {"uid", job.uid},
          {"user", job.user},
          {"name", job.request.display_name},
          {"state", name(job.state)},
          {"priority", job.priority},
          {"held", job.held},
          {"resources", to_json(job.request.resources)},
          {"timeout_ms", or_null(job.request.timeout, [](milliseconds limit) { return limit.count(); })},
          {"submitted", to_rfc3339(job.submitted)},
          {"attempt", job.attempts.empty() ? 0 : current.number},
          {"started", or_null(current.started, to_rfc3339)},
          {"finished", or_null(job.finished, to_rfc3339)},
          {"duration_ms", or_null(current.duration, to_ms)},
          {"ending", or_null(ending, [](const Ending& each) { return to_json(each); })},
          {"ending_words", or_null(ending, [](const Ending& each) { return to_words(each); })},
          {"exit_code", or_null(job.ending, exit_code)},
          {"canceled_by", job.canceled_by},
          {"log_removed", or_null(job.log_removed, removal)},
          {"outputs_removed", or_null(job.outputs_removed, removal)}};
}

json to_json(const Event& event) {
  const auto or_nothing = [](const std::string& text) { return text.empty() ? json(nullptr) : json(text); };
  return {{"sequence", event.sequence},
          {"time", to_rfc3339(event.time)},
          {"job", event.job},
          {"uid", event.uid},
          {"user", event.user},
          {"what", name(event.what)},
          {"words", to_words(event)},
          {"state", name(event.state)},
          {"by", or_nothing(event.by)},
          {"attempt", event.attempt},
          {"priority", or_null(event.priority, [](int priority) { return priority; })},
          {"ending", or_null(event.ending, [](const Ending& ending) { return to_json(ending); })},
          {"why", or_nothing(event.why)}};
}

// What a newer agent adds to a job is ignored, at the top level.
Job job_from_json(const json& value) {
  JsonReader fields(value, "job");
  Job job;
  job.request = read_request(fields);
  job.id = fields.text("id");
  job.sequence = fields.whole<std::int64_t>("sequence", 0);
  job.uid = fields.whole<uid_t>("uid", 0);
  job.user = fields.text("user");
  const auto state = parse_state(fields.text("state"));
  if (!state) fields.refuse("state", "is not a known state");
  job.state = *state;
  job.priority = job.request.priority;
  job.held = job.request.held;
  job.request.priority = fields.whole<int>("requested_priority", job.priority);
  job.request.held = fields.flag("requested_held", job.held);
  job.submitted = fields.required_instant("submitted");
  job.finished = fields.instant("finished");
  if (const auto* attempts = fields.find("attempts")) {
    if (!attempts->is_array()) fields.refuse("attempts", "must be a list");
    for (const auto& attempt : *attempts) job.attempts.push_back(attempt_from_json(attempt));
  } else {
    job.attempts = attempt_of_outline(fields);
  }
  if (const auto* ending = fields.find("ending")) job.ending = ending_from_json(*ending);
  job.environment = fields.digest("environment_digest");
  if (const auto* record = fields.find("environment_record"))
    job.environment_record = record->is_string() ? record->get<std::string>() : record->dump();
  job.canceled_by = fields.text("canceled_by");
  job.log_removed = removal_from(fields, "log_removed");
  job.outputs_removed = removal_from(fields, "outputs_removed");
  return job;
}

json parse_json(std::string_view text) {
  JsonBudget budget;
  return parse_json(text, budget);
}

json parse_json(std::string_view text, JsonBudget& budget) { return read_json(text, kBounds, budget.values); }

}  // namespace berth::model
