#include "agent/daemon/config.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/file.hpp"

namespace berth::daemon {
namespace {

// One value of the file, with its place for errors.
struct Entry {
  const std::string& file;
  const std::string& key;
  YAML::Node value;

  [[noreturn]] void fail(const std::string& wanted) const {
    const auto given = value.IsScalar() ? ", not '" + printable(value.Scalar()) + "'" : "";
    throw Error(Code::invalid,
                file + ":" + std::to_string(value.Mark().line + 1) + ": '" + key + "' must be " + wanted + given);
  }

  std::string text() const {
    if (!value.IsScalar()) fail("text");
    return value.Scalar();
  }
  std::string absolute_path() const {
    auto path = text();
    if (path.empty() || path.front() != '/') fail("an absolute path");
    return path;
  }
  ByteSize size() const {
    const auto parsed = parse_byte_size(text());
    if (!parsed) fail("a size such as 512MiB or 2g");
    return *parsed;
  }
  std::chrono::milliseconds duration() const {
    const auto parsed = parse_duration(text());
    if (!parsed) fail("a duration such as 30s or 5m");
    return *parsed;
  }
  double number(double least, double most, const std::string& wanted) const {
    double parsed = 0;
    if (!value.IsScalar() || !YAML::convert<double>::decode(value, parsed) || !(parsed >= least && parsed <= most))
      fail(wanted);
    return parsed;
  }
  bool boolean() const {
    bool parsed = false;
    if (!value.IsScalar() || !YAML::convert<bool>::decode(value, parsed)) fail("true or false");
    return parsed;
  }
};

using Setter = std::function<void(Config&, const Entry&)>;

std::uint32_t cpu_milli(const Entry& entry) {
  return static_cast<std::uint32_t>(
      std::llround(entry.number(0.001, 1'000'000, "a number of CPUs above 0, such as 4 or 3.5") * 1000));
}

std::uint16_t max_parallel(const Entry& entry) {
  const auto number = entry.number(1, 65'535, "a whole number from 1 to 65535");
  if (number != std::floor(number)) entry.fail("a whole number from 1 to 65535");
  return static_cast<std::uint16_t>(number);
}

std::uint32_t pids(const Entry& entry) {
  const auto number = entry.number(1, 4 << 20, "a whole number from 1 to 4194304");
  if (number != std::floor(number)) entry.fail("a whole number from 1 to 4194304");
  return static_cast<std::uint32_t>(number);
}

std::uint64_t output_files(const Entry& entry) {
  const auto number = entry.number(1, 4'000'000, "a whole number from 1 to 4000000");
  if (number != std::floor(number)) entry.fail("a whole number from 1 to 4000000");
  return static_cast<std::uint64_t>(number);
}

ByteSize tmp_size(const Entry& entry) {
  const auto size = entry.size();
  if (size < 64_KiB) entry.fail("a size of at least 64KiB");
  return size;
}

std::vector<std::string> command(const Entry& entry) {
  const auto wanted = "a list: an absolute path and its arguments, such as [/usr/bin/systemctl, poweroff]";
  if (!entry.value.IsSequence() || entry.value.size() == 0) entry.fail(wanted);
  std::vector<std::string> words;
  for (const auto& word : entry.value) {
    if (!word.IsScalar()) entry.fail(wanted);
    words.push_back(word.Scalar());
  }
  if (words.front().empty() || words.front().front() != '/') entry.fail(wanted);
  return words;
}

std::vector<std::string> texts(const Entry& entry) {
  const auto wanted = "a list of texts, such as [conda-forge, bioconda]";
  if (!entry.value.IsSequence()) entry.fail(wanted);
  std::vector<std::string> all;
  for (const auto& text : entry.value) {
    if (!text.IsScalar()) entry.fail(wanted);
    all.push_back(text.Scalar());
  }
  return all;
}

std::map<std::string, std::string> text_map(const Entry& entry) {
  const auto wanted = "lines of 'name: value' below it";
  if (!entry.value.IsMap()) entry.fail(wanted);
  std::map<std::string, std::string> all;
  for (const auto& pair : entry.value) {
    if (!pair.first.IsScalar() || !pair.second.IsScalar()) entry.fail(wanted);
    all.insert_or_assign(pair.first.Scalar(), pair.second.Scalar());
  }
  return all;
}

void gpus(GpuConfig& config, const Entry& entry) {
  const auto wanted = "none, auto, or a list of UUIDs or numbers, such as [0, 1]";
  const auto word = entry.value.IsScalar() ? entry.value.Scalar() : "";
  if (!entry.value.IsSequence() && word != "none" && word != "auto") entry.fail(wanted);
  config.managed = word != "none";
  config.offered.reset();
  if (entry.value.IsSequence()) config.offered = texts(entry);
}

std::chrono::milliseconds gpu_sample(const Entry& entry) {
  const auto parsed = parse_duration(entry.text());
  if (!parsed || *parsed < std::chrono::milliseconds(100)) entry.fail("a duration of at least 100ms, such as 5s");
  return *parsed;
}

std::string pull_policy(const Entry& entry) {
  const auto policy = entry.text();
  if (policy != "missing" && policy != "always" && policy != "never") entry.fail("missing, always or never");
  return policy;
}

std::size_t builds_at_once(const Entry& entry) {
  const auto number = entry.number(1, 64, "a whole number from 1 to 64");
  if (number != std::floor(number)) entry.fail("a whole number from 1 to 64");
  return static_cast<std::size_t>(number);
}

std::size_t connections(const Entry& entry) {
  const auto number = entry.number(8, 65536, "a whole number from 8 to 65536");
  if (number != std::floor(number)) entry.fail("a whole number from 8 to 65536");
  return static_cast<std::size_t>(number);
}

environment::UserRange user_range(const Entry& entry) {
  const auto wanted = "a range of at least 16 user ids that nobody has, such as 1900000000-1900004095";
  const auto text = entry.text();
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  const auto dash = std::min(text.find('-'), text.size());
  const auto* end = text.data() + text.size();
  const auto one = std::from_chars(text.data(), text.data() + dash, first);
  const auto two = std::from_chars(text.data() + std::min(dash + 1, text.size()), end, last);
  const bool read = one.ec == std::errc() && one.ptr == text.data() + dash && two.ec == std::errc() && two.ptr == end;
  if (!read || first < 1000 || last < first + 15 || last > 0xfffffff0) entry.fail(wanted);
  return {static_cast<uid_t>(first), static_cast<uid_t>(last - first + 1)};
}

std::string path_or_nothing(const Entry& entry) {
  const auto path = entry.text();
  if (!path.empty() && path.front() != '/') entry.fail("an absolute path, or '' for none");
  return path;
}

// "90%" or "90 %"; nothing for other text.
std::optional<unsigned> parse_percent(const std::string& text) {
  unsigned number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (failure != std::errc() || (rest != "%" && rest != " %") || number < 1 || number > 100) return std::nullopt;
  return number;
}

unsigned percent(const Entry& entry) {
  const auto parsed = parse_percent(entry.text());
  if (!parsed) entry.fail("a share of the disk from 1% to 100%");
  return *parsed;
}

disk::Share disk_share(const Entry& entry) {
  if (const auto parsed = parse_percent(entry.text())) return {ByteSize(), *parsed};
  const auto size = parse_byte_size(entry.text());
  if (!size || size->bytes() == 0) entry.fail("a size such as 200GiB, or a share of the disk such as 50%");
  return {*size, 0};
}

std::size_t jobs_per_user(const Entry& entry) {
  const auto number = entry.number(1, 1e9, "a whole number from 1");
  if (number != std::floor(number)) entry.fail("a whole number from 1");
  return static_cast<std::size_t>(number);
}

LogLevel log_level(const Entry& entry) {
  static const std::map<std::string, LogLevel> kLevels{
      {"debug", LogLevel::debug}, {"info", LogLevel::info}, {"warn", LogLevel::warn}, {"error", LogLevel::error}};
  const auto level = kLevels.find(entry.text());
  if (level == kLevels.end()) entry.fail("one of debug, info, warn, error");
  return level->second;
}

const std::map<std::string, Setter>& setters() {
  static const std::map<std::string, Setter> kSetters{
      {"state_dir", [](Config& c, const Entry& e) { c.state_dir = e.absolute_path(); }},
      {"socket", [](Config& c, const Entry& e) { c.socket = e.absolute_path(); }},
      {"group", [](Config& c, const Entry& e) { c.group = e.text(); }},
      {"cpus", [](Config& c, const Entry& e) { c.cpu_milli = cpu_milli(e); }},
      {"memory", [](Config& c, const Entry& e) { c.memory = e.size(); }},
      {"max_parallel", [](Config& c, const Entry& e) { c.max_parallel = max_parallel(e); }},
      {"log_cap", [](Config& c, const Entry& e) { c.log_cap = e.size(); }},
      {"backfill_patience", [](Config& c, const Entry& e) { c.backfill_patience = e.duration(); }},
      {"outage_patience", [](Config& c, const Entry& e) { c.outage_patience = e.duration(); }},
      {"stop_grace", [](Config& c, const Entry& e) { c.stop_grace = e.duration(); }},
      {"default_memory", [](Config& c, const Entry& e) { c.default_memory = e.size(); }},
      {"default_pids", [](Config& c, const Entry& e) { c.default_pids = pids(e); }},
      {"default_tmp", [](Config& c, const Entry& e) { c.default_tmp = tmp_size(e); }},
      {"shm_size", [](Config& c, const Entry& e) { c.shm_size = tmp_size(e); }},
      {"network", [](Config& c, const Entry& e) { c.network = e.boolean(); }},
      {"core_dumps", [](Config& c, const Entry& e) { c.core_dumps = e.boolean(); }},
      {"on_idle", [](Config& c, const Entry& e) { c.on_idle = command(e); }},
      {"idle_after", [](Config& c, const Entry& e) { c.idle_after = e.duration(); }},
      {"max_upload", [](Config& c, const Entry& e) { c.max_upload = e.size(); }},
      {"max_outputs", [](Config& c, const Entry& e) { c.max_outputs = e.size(); }},
      {"max_output_files", [](Config& c, const Entry& e) { c.max_output_files = output_files(e); }},
      {"outputs_timeout", [](Config& c, const Entry& e) { c.outputs_timeout = e.duration(); }},
      {"reserved_space", [](Config& c, const Entry& e) { c.reserved_space = e.size(); }},
      {"disk_budget", [](Config& c, const Entry& e) { c.disk.budget = disk_share(e); }},
      {"image_budget", [](Config& c, const Entry& e) { c.disk.image_budget = disk_share(e); }},
      {"jobs_per_user", [](Config& c, const Entry& e) { c.users.jobs = jobs_per_user(e); }},
      {"storage_per_user", [](Config& c, const Entry& e) { c.users.storage = disk_share(e); }},
      {"disk_high", [](Config& c, const Entry& e) { c.disk.high = percent(e); }},
      {"disk_low", [](Config& c, const Entry& e) { c.disk.low = percent(e); }},
      {"keep_at_least", [](Config& c, const Entry& e) { c.disk.keep_at_least = e.duration(); }},
      {"keep_logs", [](Config& c, const Entry& e) { c.disk.keep_logs = e.duration(); }},
      {"keep_outputs", [](Config& c, const Entry& e) { c.disk.keep_outputs = e.duration(); }},
      {"keep_jobs", [](Config& c, const Entry& e) { c.disk.keep_jobs = e.duration(); }},
      {"builds_at_once", [](Config& c, const Entry& e) { c.environments.builds_at_once = builds_at_once(e); }},
      {"build_timeout", [](Config& c, const Entry& e) { c.environments.build_timeout = e.duration(); }},
      {"build_memory", [](Config& c, const Entry& e) { c.environments.build_memory = e.size(); }},
      {"build_cpus", [](Config& c, const Entry& e) { c.environments.build_cpu_milli = cpu_milli(e); }},
      {"build_uids", [](Config& c, const Entry& e) { c.environments.build_users = user_range(e); }},
      {"share_environments", [](Config& c, const Entry& e) { c.environments.shared = e.boolean(); }},
      {"conda", [](Config& c, const Entry& e) { c.environments.conda = e.text(); }},
      {"conda_channels", [](Config& c, const Entry& e) { c.environments.conda_channels = texts(e); }},
      {"conda_mirrors", [](Config& c, const Entry& e) { c.environments.conda_mirrors = text_map(e); }},
      {"conda_options", [](Config& c, const Entry& e) { c.environments.conda_options = texts(e); }},
      {"uv", [](Config& c, const Entry& e) { c.environments.uv = path_or_nothing(e); }},
      {"pip_index", [](Config& c, const Entry& e) { c.environments.pip_index = e.text(); }},
      {"pip_extra_indexes", [](Config& c, const Entry& e) { c.environments.pip_extra_indexes = texts(e); }},
      {"find_links", [](Config& c, const Entry& e) { c.environments.find_links = texts(e); }},
      {"docker_socket", [](Config& c, const Entry& e) { c.environments.docker_socket = e.absolute_path(); }},
      {"docker_config", [](Config& c, const Entry& e) { c.environments.docker_config = e.absolute_path(); }},
      {"image_cpu", [](Config& c, const Entry& e) { c.environments.image_cpu = e.text(); }},
      {"images_gpu", [](Config& c, const Entry& e) { c.environments.images_gpu = text_map(e); }},
      {"image_pull", [](Config& c, const Entry& e) { c.environments.image_pull = pull_policy(e); }},
      {"insecure_registries", [](Config& c, const Entry& e) { c.environments.insecure_registries = texts(e); }},
      {"offline", [](Config& c, const Entry& e) { c.environments.offline = e.boolean(); }},
      {"build_environment", [](Config& c, const Entry& e) { c.environments.build_environment = text_map(e); }},
      {"gpus", [](Config& c, const Entry& e) { gpus(c.gpus, e); }},
      {"nvml", [](Config& c, const Entry& e) { c.gpus.library = e.text(); }},
      {"gpu_sample", [](Config& c, const Entry& e) { c.gpus.sample = gpu_sample(e); }},
      {"cgroup", [](Config& c, const Entry& e) { c.cgroup = e.absolute_path(); }},
      {"path", [](Config& c, const Entry& e) { c.path = e.text(); }},
      {"max_connections", [](Config& c, const Entry& e) { c.max_connections = connections(e); }},
      {"max_connections_per_user", [](Config& c, const Entry& e) { c.max_connections_per_user = connections(e); }},
      {"others_may_read", [](Config& c, const Entry& e) { c.others_may_read = e.boolean(); }},
      {"log_level", [](Config& c, const Entry& e) { c.log_level = log_level(e); }},
  };
  return kSetters;
}

std::string known_keys() {
  std::string keys;
  for (const auto& [key, setter] : setters()) keys += (keys.empty() ? "" : ", ") + key;
  return keys;
}

std::string environment_or(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

YAML::Node parse_yaml(const std::string& text, const std::string& name) {
  try {
    return YAML::Load(text);
  } catch (const YAML::Exception& error) {
    throw Error(Code::invalid, name + ":" + std::to_string(error.mark.line + 1) + ": " + error.msg);
  }
}

}  // namespace

Config parse_config(const std::string& text, const std::string& name, Config config) {
  const auto root = parse_yaml(text, name);
  if (root.IsNull()) return config;
  if (!root.IsMap()) throw Error(Code::invalid, name + ":1: must be lines of 'key: value'");
  std::map<std::string, int> seen;  // the lines
  for (const auto& pair : root) {
    const auto key = pair.first.IsScalar() ? pair.first.Scalar() : std::string();
    const auto where = name + ":" + std::to_string(pair.first.Mark().line + 1) + ": ";
    const auto setter = setters().find(key);
    if (setter == setters().end())
      throw Error(Code::invalid, where + "unknown key '" + printable(key) + "'", "known keys: " + known_keys());
    if (!seen.emplace(key, pair.first.Mark().line + 1).second)
      throw Error(Code::invalid, where + "'" + key + "' is set twice");
    setter->second(config, Entry{name, key, pair.second});
  }
  if (config.disk.low > config.disk.high) {
    const auto line = std::max(seen["disk_low"], seen["disk_high"]);
    throw Error(Code::invalid,
                name + ":" + std::to_string(line) + ": disk_low (" + std::to_string(config.disk.low) +
                    "%) must not be above disk_high (" + std::to_string(config.disk.high) + "%)",
                "cleaning starts at disk_high and goes on down to disk_low");
  }
  return config;
}

Config load_config(const std::string& file, Config defaults) {
  return parse_config(os::read_file(file, 1U << 20), file, std::move(defaults));
}

Config user_defaults() {
  Config config;
  const auto home = environment_or("HOME", "/");
  config.state_dir = environment_or("XDG_STATE_HOME", os::join(home, ".local/state")) + "/berth";
  config.path = os::join(home, ".local/bin") + ":" + config.path;
  return config;
}

Config system_defaults() {
  Config config;
  config.state_dir = "/var/lib/berth";
  config.socket = "/run/berth/berth.sock";
  config.group = "berth";
  return config;
}

}  // namespace berth::daemon
