#include "runtime/shim/contract.hpp"

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/json_fields.hpp"

// The files by their fields, in the order in which they are written. What is left out while there is nothing in it came
// with a later minor version, or is seldom there.

namespace berth::os {

void describe(Fields& fields, Identity& identity) {
  fields.field("uid", identity.uid, {.required = true});
  fields.field("gid", identity.gid, {.required = true});
  fields.field("groups", identity.groups);
  fields.field("name", identity.name);
  fields.field("home", identity.home);
  fields.field("shell", identity.shell);
}

void describe(Fields& fields, Overlay& overlay) {
  fields.field("lower", overlay.lower, {.required = true});
  fields.field("upper", overlay.upper, {.required = true});
  fields.field("work", overlay.work, {.required = true});
  fields.field("target", overlay.target, {.required = true});
}

void describe(Fields& fields, ProcessId& process) {
  fields.field("pid", process.pid, {.required = true});
  fields.field("start_ticks", process.start_ticks, {.required = true});
}

void describe(Fields& fields, Limits& limits) {
  fields.field("cpu_weight", limits.cpu_weight);
  fields.field("memory", limits.memory, {.left_out = true});
  fields.field("cpu_milli", limits.cpu_milli, {.left_out = true});
  fields.field("pids", limits.pids, {.left_out = true});
}

void describe(Fields& fields, Sandbox& sandbox) {
  fields.field("writable", sandbox.writable, {.required = true});
  fields.field("readable", sandbox.readable, {.required = true});
  fields.field("hidden", sandbox.hidden, {.required = true});
  fields.field("tmp", sandbox.tmp);
  fields.field("shared_memory", sandbox.shared_memory);
}

}  // namespace berth::os

namespace berth::shim {
namespace {

using Json = nlohmann::ordered_json;

Error malformed(std::string_view what) {
  return Error(Code::corrupt, "the field " + std::string(what) + " is malformed");
}

unsigned number_of_device(const std::string& key) {
  unsigned number = 0;
  const auto [end, failure] = std::from_chars(key.data(), key.data() + key.size(), number);
  if (failure != std::errc() || end != key.data() + key.size()) throw malformed("device_rules");
  return number;
}

// {"195": [0, 255]}
void describe_devices(Fields& fields, os::DeviceRules& devices) {
  std::map<std::string, std::vector<unsigned>> rules;
  for (const auto& [major_number, minor_numbers] : devices)
    rules[std::to_string(major_number)] = {minor_numbers.begin(), minor_numbers.end()};
  fields.field("device_rules", rules, {.left_out = true});
  if (!fields.reads()) return;
  for (const auto& [key, minor_numbers] : rules)
    devices[number_of_device(key)] = {minor_numbers.begin(), minor_numbers.end()};
}

std::string file_text(AnyMessage message) { return ordered_json_of(message, Texts::bytes).dump(2) + "\n"; }

// Whatever is wrong with the text is Code::corrupt.
template <class T>
T from_text(std::string_view text, const char* what) {
  try {
    T message;
    read_fields(read_ordered_json(text), any_message(message), what, Texts::bytes);
    return message;
  } catch (const Error& error) {
    if (error.code() == Code::unsupported) throw;
    throw Error(Code::corrupt, "not what it should be: " + error.message());
  }
}

}  // namespace

void describe(Fields& fields, Version& version) {
  fields.field("major", version.major);
  fields.field("minor", version.minor);
  if (fields.reads() && version.major > kVersion.major)
    throw Error(Code::unsupported,
                "it is of contract version " + std::to_string(version.major) + ", and this program knows only " +
                    std::to_string(kVersion.major),
                "install matching versions of the agent and berth-shim");
}

void describe(Fields& fields, Tmp& tmp) {
  fields.field("path", tmp.path);
  fields.field("size", tmp.size);
}

void describe(Fields& fields, SecretPlace& place) {
  fields.field("directory", place.directory);
  fields.field("mounted", place.mounted);
}

void describe(Fields& fields, Protection& protection) {
  fields.field("read_only", protection.read_only, {.required = true});
  fields.field("writable", protection.writable, {.required = true});
  fields.field("environment", protection.environment, {.left_out = true});
  fields.field("environment_owned", protection.environment_owned);
}

void describe(Fields& fields, NotStarted& not_started) {
  fields.field("exit_code", not_started.exit_code);
  fields.field("reason", not_started.reason);
}

// One of {"exited": 3}, {"signalled": 9} and {"not_started": {…}}.
void describe(Fields& fields, Outcome& outcome) {
  std::optional<int> exited;
  std::optional<int> signalled;
  std::optional<NotStarted> not_started;
  if (const auto* exit = std::get_if<os::Exit>(&outcome))
    (exit->signalled ? signalled : exited) = exit->status;
  else
    not_started = std::get<NotStarted>(outcome);
  if (fields.reads()) not_started.reset();
  fields.field("not_started", not_started, {.left_out = true});
  fields.field("exited", exited, {.left_out = true});
  fields.field("signalled", signalled, {.left_out = true});
  if (!fields.reads()) return;
  if (exited)
    outcome = os::Exit{false, *exited};
  else if (signalled)
    outcome = os::Exit{true, *signalled};
  else if (not_started)
    outcome = std::move(*not_started);
  else
    throw malformed("outcome");
}

void describe(Fields& fields, Launch& launch) {
  fields.field("version", launch.version, {.required = true});
  fields.field("job_id", launch.job_id);
  fields.field("boot_id", launch.boot_id);
  fields.field("command", launch.command, {.required = true});
  fields.field("environment", launch.environment, {.required = true});
  fields.field("working_directory", launch.working_directory);
  fields.field("identity", launch.identity, {.left_out = true});
  fields.field("overlay", launch.overlay, {.left_out = true});
  fields.field("cgroup", launch.cgroup, {.left_out = true});
  fields.field("limits", launch.limits);
  describe_devices(fields, launch.devices);
  fields.field("tmp", launch.tmp, {.left_out = true});
  fields.field("sandbox", launch.sandbox, {.left_out = true});
  fields.field("network", launch.network);
  fields.field("nice", launch.nice, {.left_out = true});
  fields.field("goes_first", launch.goes_first, {.left_out = true});
  fields.field("core_dumps", launch.core_dumps);
  fields.field("protection", launch.protection, {.left_out = true});
  fields.field("timeout_ms", launch.timeout, {.left_out = true});
  fields.field("stop_signal", launch.stop_signal);
  fields.field("stop_grace_ms", launch.stop_grace);
  fields.field("log_cap", launch.log_cap);
  fields.field("secrets", launch.secret_place, {.left_out = true});
}

void describe(Fields& fields, Secrets& secrets) {
  fields.field("environment", secrets.environment, {.required = true});
  fields.field("command", secrets.command, {.required = true});
  fields.field("files", secrets.files, {.required = true});
}

void describe(Fields& fields, Started& started) {
  fields.field("version", started.version, {.required = true});
  fields.field("boot_id", started.boot_id);
  fields.field("shim", started.shim, {.required = true});
  fields.field("job", started.job, {.required = true});
  fields.field("cgroup", started.cgroup);
  fields.field("time", started.time);
}

void describe(Fields& fields, Stop& stop) {
  fields.field("version", stop.version, {.required = true});
  fields.field("signal", stop.signal);
  fields.field("grace_ms", stop.grace);
  fields.field("reason", stop.reason);
}

void describe(Fields& fields, Ended& ended) {
  fields.field("version", ended.version, {.required = true});
  fields.field("outcome", ended.outcome, {.required = true});
  fields.field("stopped_because", ended.stopped_because);
  fields.field("started", ended.started);
  fields.field("ended", ended.ended);
  fields.field("duration_us", ended.duration);
  fields.field("user_cpu_us", ended.user_cpu);
  fields.field("system_cpu_us", ended.system_cpu);
  fields.field("peak_memory", ended.peak_memory);
  fields.field("io_read", ended.io_read);
  fields.field("io_written", ended.io_written);
  fields.field("out_of_memory_kills", ended.out_of_memory_kills);
  fields.field("log_bytes", ended.log_bytes);
  fields.field("remarks", ended.remarks);
}

// Writing changes nothing; a description is for both directions.
std::string to_text(const Launch& launch) { return file_text(any_message(const_cast<Launch&>(launch))); }

Launch launch_from_text(std::string_view text) {
  auto launch = from_text<Launch>(text, "launch");
  if (launch.command.empty()) throw malformed("command");
  return launch;
}

std::string to_text(const Secrets& secrets) { return file_text(any_message(const_cast<Secrets&>(secrets))); }

Secrets secrets_from_text(std::string_view text) { return from_text<Secrets>(text, "secrets"); }

// Neither text has a zero byte in it.
std::string to_handover(const Launch& launch) {
  auto text = to_text(launch);
  if (!launch.secret_place) return text;
  text += '\0';
  text += to_text(launch.secrets);
  return text;
}

Launch launch_from_handover(std::string_view text) {
  const auto end = text.find('\0');
  auto launch = launch_from_text(text.substr(0, end));
  if (!launch.secret_place) return launch;
  if (end == text.npos) throw Error(Code::not_found, "the job's secrets are not there");
  try {
    launch.secrets = secrets_from_text(text.substr(end + 1));
  } catch (const Error&) {  // which may tell of them
    throw Error(Code::corrupt, "the job's secrets cannot be read");
  }
  return launch;
}

std::string to_text(const Started& started) { return file_text(any_message(const_cast<Started&>(started))); }

Started started_from_text(std::string_view text) { return from_text<Started>(text, "start"); }

std::string to_text(const Stop& stop) { return file_text(any_message(const_cast<Stop&>(stop))); }

Stop stop_from_text(std::string_view text) { return from_text<Stop>(text, "stop"); }

std::string to_text(const Ended& ended) { return file_text(any_message(const_cast<Ended&>(ended))); }

Ended ended_from_text(std::string_view text) { return from_text<Ended>(text, "ending"); }

}  // namespace berth::shim
