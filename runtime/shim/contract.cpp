#include "runtime/shim/contract.hpp"

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/hex.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"

namespace berth::shim {
namespace {

using Json = nlohmann::ordered_json;

Error malformed(std::string_view what) {
  return Error(Code::corrupt, "the field " + std::string(what) + " is malformed");
}

// A string of any bytes: JSON text where it can be one, else {"hex": "…"}.
Json bytes_json(const std::string& bytes) {
  if (is_utf8(bytes)) return bytes;
  return {{"hex", to_hex(bytes)}};
}

std::string bytes_from(const Json& json) {
  if (!json.is_object()) return json.get<std::string>();
  auto bytes = from_hex(json.at("hex").get<std::string>());
  if (!bytes) throw malformed("hex");
  return std::move(*bytes);
}

Json list_json(const std::vector<std::string>& list) {
  auto json = Json::array();
  for (const auto& item : list) json.push_back(bytes_json(item));
  return json;
}

std::vector<std::string> list_from(const Json& json) {
  if (!json.is_array()) throw Error(Code::corrupt, "a list of strings is something else");
  std::vector<std::string> list;
  for (const auto& item : json) list.push_back(bytes_from(item));
  return list;
}

template <class T>
void read(const Json& json, const char* name, T& value) {
  if (const auto field = json.find(name); field != json.end()) field->get_to(value);
}
void read(const Json& json, const char* name, ByteSize& value) {
  if (const auto field = json.find(name); field != json.end()) value = ByteSize(field->get<std::uint64_t>());
}
template <class Rep, class Period>
void read(const Json& json, const char* name, std::chrono::duration<Rep, Period>& value) {
  if (const auto field = json.find(name); field != json.end())
    value = std::chrono::duration<Rep, Period>(field->get<Rep>());
}
void read(const Json& json, const char* name, Instant& value) {
  const auto field = json.find(name);
  if (field == json.end()) return;
  const auto parsed = parse_rfc3339(field->get_ref<const std::string&>());
  if (!parsed) throw malformed(name);
  value = *parsed;
}
void read_bytes(const Json& json, const char* name, std::string& value) {
  if (const auto field = json.find(name); field != json.end()) value = bytes_from(*field);
}

Json version_json(Version version) { return {{"major", version.major}, {"minor", version.minor}}; }

Version version_from(const Json& json) {
  Version version;
  const auto& field = json.at("version");
  read(field, "major", version.major);
  read(field, "minor", version.minor);
  if (version.major > kVersion.major)
    throw Error(Code::unsupported,
                "it is of contract version " + std::to_string(version.major) + ", and this program knows only " +
                    std::to_string(kVersion.major),
                "install matching versions of the agent and berth-shim");
  return version;
}

Json identity_json(const os::Identity& identity) {
  return {{"uid", identity.uid},
          {"gid", identity.gid},
          {"groups", identity.groups},
          {"name", bytes_json(identity.name)},
          {"home", bytes_json(identity.home)},
          {"shell", bytes_json(identity.shell)}};
}

os::Identity identity_from(const Json& json) {
  os::Identity identity;
  json.at("uid").get_to(identity.uid);
  json.at("gid").get_to(identity.gid);
  read(json, "groups", identity.groups);
  read_bytes(json, "name", identity.name);
  read_bytes(json, "home", identity.home);
  read_bytes(json, "shell", identity.shell);
  return identity;
}

Json overlay_json(const os::Overlay& overlay) {
  return {{"lower", list_json(overlay.lower)},
          {"upper", bytes_json(overlay.upper)},
          {"work", bytes_json(overlay.work)},
          {"target", bytes_json(overlay.target)}};
}

os::Overlay overlay_from(const Json& json) {
  return {list_from(json.at("lower")), bytes_from(json.at("upper")), bytes_from(json.at("work")),
          bytes_from(json.at("target"))};
}

Json process_json(const os::ProcessId& process) { return {{"pid", process.pid}, {"start_ticks", process.start_ticks}}; }

os::ProcessId process_from(const Json& json) {
  return {json.at("pid").get<pid_t>(), json.at("start_ticks").get<std::uint64_t>()};
}

Json outcome_json(const Outcome& outcome) {
  if (const auto* not_started = std::get_if<NotStarted>(&outcome))
    return {{"not_started", {{"exit_code", not_started->exit_code}, {"reason", bytes_json(not_started->reason)}}}};
  const auto& exit = std::get<os::Exit>(outcome);
  return {{exit.signalled ? "signalled" : "exited", exit.status}};
}

Outcome outcome_from(const Json& json) {
  if (const auto field = json.find("exited"); field != json.end()) return os::Exit{false, field->get<int>()};
  if (const auto field = json.find("signalled"); field != json.end()) return os::Exit{true, field->get<int>()};
  NotStarted not_started;
  const auto& field = json.at("not_started");
  read(field, "exit_code", not_started.exit_code);
  read_bytes(field, "reason", not_started.reason);
  return not_started;
}

Json limits_json(const os::Limits& limits) {
  Json json{{"cpu_weight", limits.cpu_weight}};
  if (limits.memory) json["memory"] = *limits.memory;
  if (limits.cpu_milli) json["cpu_milli"] = *limits.cpu_milli;
  if (limits.pids) json["pids"] = *limits.pids;
  return json;
}

os::Limits limits_from(const Json& json) {
  os::Limits limits;
  read(json, "cpu_weight", limits.cpu_weight);
  if (json.contains("memory")) read(json, "memory", limits.memory.emplace());
  if (json.contains("cpu_milli")) read(json, "cpu_milli", limits.cpu_milli.emplace());
  if (json.contains("pids")) read(json, "pids", limits.pids.emplace());
  return limits;
}

// {"195": [0, 255]}
Json devices_json(const os::DeviceRules& devices) {
  auto json = Json::object();
  for (const auto& [major_number, minor_numbers] : devices) json[std::to_string(major_number)] = minor_numbers;
  return json;
}

os::DeviceRules devices_from(const Json& json) {
  os::DeviceRules devices;
  for (const auto& [key, minor_numbers] : json.items()) {
    unsigned major_number = 0;
    const auto [end, failure] = std::from_chars(key.data(), key.data() + key.size(), major_number);
    if (failure != std::errc() || end != key.data() + key.size()) throw malformed("device_rules");
    devices[major_number] = minor_numbers.get<std::set<unsigned>>();
  }
  return devices;
}

Tmp tmp_from(const Json& json) {
  Tmp tmp;
  read_bytes(json, "path", tmp.path);
  read(json, "size", tmp.size);
  return tmp;
}

SecretPlace secret_place_from(const Json& json) {
  SecretPlace place;
  read_bytes(json, "directory", place.directory);
  read(json, "mounted", place.mounted);
  return place;
}

Json protection_json(const Protection& protection) {
  Json json{{"read_only", list_json(protection.read_only)}, {"writable", list_json(protection.writable)}};
  if (protection.environment) json["environment"] = overlay_json(*protection.environment);
  json["environment_owned"] = protection.environment_owned;
  return json;
}

Protection protection_from(const Json& json) {
  Protection protection;
  protection.read_only = list_from(json.at("read_only"));
  protection.writable = list_from(json.at("writable"));
  if (json.contains("environment")) protection.environment = overlay_from(json["environment"]);
  read(json, "environment_owned", protection.environment_owned);
  return protection;
}

Json sandbox_json(const os::Sandbox& sandbox) {
  return {{"writable", list_json(sandbox.writable)},
          {"readable", list_json(sandbox.readable)},
          {"hidden", list_json(sandbox.hidden)},
          {"tmp", bytes_json(sandbox.tmp)},
          {"shared_memory", sandbox.shared_memory}};
}

os::Sandbox sandbox_from(const Json& json) {
  os::Sandbox sandbox;
  sandbox.writable = list_from(json.at("writable"));
  sandbox.readable = list_from(json.at("readable"));
  sandbox.hidden = list_from(json.at("hidden"));
  read_bytes(json, "tmp", sandbox.tmp);
  read(json, "shared_memory", sandbox.shared_memory);
  return sandbox;
}

std::string text_of(const Json& json) { return json.dump(2) + "\n"; }

// Parses and converts; whatever is wrong with the text is Code::corrupt.
template <class Convert>
auto from_text(std::string_view text, Convert convert) {
  try {
    return convert(read_ordered_json(text));
  } catch (const Json::exception& error) {
    throw Error(Code::corrupt, std::string("not what it should be: ") + error.what());
  } catch (const Error& error) {
    if (error.code() == Code::unsupported) throw;
    throw Error(Code::corrupt, "not what it should be: " + error.message());
  }
}

}  // namespace

std::string to_text(const Launch& launch) {
  Json json{{"version", version_json(launch.version)},
            {"job_id", launch.job_id},
            {"boot_id", launch.boot_id},
            {"command", list_json(launch.command)},
            {"environment", list_json(launch.environment)},
            {"working_directory", bytes_json(launch.working_directory)}};
  if (launch.identity) json["identity"] = identity_json(*launch.identity);
  if (launch.overlay) json["overlay"] = overlay_json(*launch.overlay);
  if (!launch.cgroup.empty()) json["cgroup"] = bytes_json(launch.cgroup);
  json["limits"] = limits_json(launch.limits);
  if (!launch.devices.empty()) json["device_rules"] = devices_json(launch.devices);
  if (launch.tmp) json["tmp"] = {{"path", bytes_json(launch.tmp->path)}, {"size", launch.tmp->size.bytes()}};
  if (launch.sandbox) json["sandbox"] = sandbox_json(*launch.sandbox);
  json["network"] = launch.network;
  if (launch.nice != 0) json["nice"] = launch.nice;
  if (launch.goes_first) json["goes_first"] = true;
  json["core_dumps"] = launch.core_dumps;
  if (launch.protection) json["protection"] = protection_json(*launch.protection);
  if (launch.timeout) json["timeout_ms"] = launch.timeout->count();
  json["stop_signal"] = launch.stop_signal;
  json["stop_grace_ms"] = launch.stop_grace.count();
  json["log_cap"] = launch.log_cap.bytes();
  if (launch.secret_place)
    json["secrets"] = {{"directory", bytes_json(launch.secret_place->directory)},
                       {"mounted", launch.secret_place->mounted}};
  return text_of(json);
}

Launch launch_from_text(std::string_view text) {
  return from_text(text, [](const Json& json) {
    Launch launch;
    launch.version = version_from(json);
    read(json, "job_id", launch.job_id);
    read(json, "boot_id", launch.boot_id);
    launch.command = list_from(json.at("command"));
    launch.environment = list_from(json.at("environment"));
    read_bytes(json, "working_directory", launch.working_directory);
    if (json.contains("identity")) launch.identity = identity_from(json["identity"]);
    if (json.contains("overlay")) launch.overlay = overlay_from(json["overlay"]);
    read_bytes(json, "cgroup", launch.cgroup);
    if (json.contains("limits")) launch.limits = limits_from(json["limits"]);
    if (json.contains("device_rules")) launch.devices = devices_from(json["device_rules"]);
    if (json.contains("tmp")) launch.tmp = tmp_from(json["tmp"]);
    if (json.contains("sandbox")) launch.sandbox = sandbox_from(json["sandbox"]);
    read(json, "network", launch.network);
    read(json, "nice", launch.nice);
    read(json, "goes_first", launch.goes_first);
    read(json, "core_dumps", launch.core_dumps);
    if (json.contains("protection")) launch.protection = protection_from(json["protection"]);
    if (json.contains("timeout_ms")) read(json, "timeout_ms", launch.timeout.emplace());
    read(json, "stop_signal", launch.stop_signal);
    read(json, "stop_grace_ms", launch.stop_grace);
    read(json, "log_cap", launch.log_cap);
    if (json.contains("secrets")) launch.secret_place = secret_place_from(json["secrets"]);
    if (launch.command.empty()) throw malformed("command");
    return launch;
  });
}

std::string to_text(const Secrets& secrets) {
  auto files = Json::object();
  for (const auto& [name, content] : secrets.files) files[name] = bytes_json(content);
  return text_of({{"environment", list_json(secrets.environment)},
                  {"command", list_json(secrets.command)},
                  {"files", std::move(files)}});
}

Secrets secrets_from_text(std::string_view text) {
  return from_text(text, [](const Json& json) {
    Secrets secrets;
    secrets.environment = list_from(json.at("environment"));
    secrets.command = list_from(json.at("command"));
    for (const auto& [name, content] : json.at("files").items()) secrets.files[name] = bytes_from(content);
    return secrets;
  });
}

std::string to_text(const Started& started) {
  return text_of({{"version", version_json(started.version)},
                  {"boot_id", started.boot_id},
                  {"shim", process_json(started.shim)},
                  {"job", process_json(started.job)},
                  {"cgroup", bytes_json(started.cgroup)},
                  {"time", to_rfc3339(started.time)}});
}

Started started_from_text(std::string_view text) {
  return from_text(text, [](const Json& json) {
    Started started;
    started.version = version_from(json);
    read(json, "boot_id", started.boot_id);
    started.shim = process_from(json.at("shim"));
    started.job = process_from(json.at("job"));
    read_bytes(json, "cgroup", started.cgroup);
    read(json, "time", started.time);
    return started;
  });
}

std::string to_text(const Stop& stop) {
  return text_of({{"version", version_json(stop.version)},
                  {"signal", stop.signal},
                  {"grace_ms", stop.grace.count()},
                  {"reason", bytes_json(stop.reason)}});
}

Stop stop_from_text(std::string_view text) {
  return from_text(text, [](const Json& json) {
    Stop stop;
    stop.version = version_from(json);
    read(json, "signal", stop.signal);
    read(json, "grace_ms", stop.grace);
    read_bytes(json, "reason", stop.reason);
    return stop;
  });
}

std::string to_text(const Ended& ended) {
  return text_of({{"version", version_json(ended.version)},
                  {"outcome", outcome_json(ended.outcome)},
                  {"stopped_because", bytes_json(ended.stopped_because)},
                  {"started", to_rfc3339(ended.started)},
                  {"ended", to_rfc3339(ended.ended)},
                  {"duration_us", ended.duration.count()},
                  {"user_cpu_us", ended.user_cpu.count()},
                  {"system_cpu_us", ended.system_cpu.count()},
                  {"peak_memory", ended.peak_memory.bytes()},
                  {"io_read", ended.io_read.bytes()},
                  {"io_written", ended.io_written.bytes()},
                  {"out_of_memory_kills", ended.out_of_memory_kills},
                  {"log_bytes", ended.log_bytes},
                  {"remarks", list_json(ended.remarks)}});
}

Ended ended_from_text(std::string_view text) {
  return from_text(text, [](const Json& json) {
    Ended ended;
    ended.version = version_from(json);
    ended.outcome = outcome_from(json.at("outcome"));
    read_bytes(json, "stopped_because", ended.stopped_because);
    read(json, "started", ended.started);
    read(json, "ended", ended.ended);
    read(json, "duration_us", ended.duration);
    read(json, "user_cpu_us", ended.user_cpu);
    read(json, "system_cpu_us", ended.system_cpu);
    read(json, "peak_memory", ended.peak_memory);
    read(json, "io_read", ended.io_read);
    read(json, "io_written", ended.io_written);
    read(json, "out_of_memory_kills", ended.out_of_memory_kills);
    read(json, "log_bytes", ended.log_bytes);
    if (json.contains("remarks")) ended.remarks = list_from(json["remarks"]);
    return ended;
  });
}

}  // namespace berth::shim
