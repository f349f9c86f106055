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

// Whether a running agent takes a change of it.
enum class When { at_once, restart };

struct Key {
  std::function<void(Config& config, const Entry& entry)> set;
  std::function<void(Config& to, const Config& from)> copy;
  When when = When::restart;
};

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

// A field of the configuration, given by a function from it, and how it is read.
template <class Field, class Read>
Key key(Field field, Read read, When when) {
  return {[=](Config& config, const Entry& entry) { field(config) = std::invoke(read, entry); },
          [=](Config& to, const Config& from) { field(to) = field(from); }, when};
}

const std::map<std::string, Key>& keys() {
  static const std::map<std::string, Key> kKeys{
      {"state_dir", key([](auto& c) -> auto& { return c.state_dir; }, &Entry::absolute_path, When::restart)},
      {"socket", key([](auto& c) -> auto& { return c.socket; }, &Entry::absolute_path, When::restart)},
      {"group", key([](auto& c) -> auto& { return c.group; }, &Entry::text, When::restart)},
      {"cpus", key([](auto& c) -> auto& { return c.cpu_milli; }, cpu_milli, When::at_once)},
      {"memory", key([](auto& c) -> auto& { return c.memory; }, &Entry::size, When::at_once)},
      {"max_parallel", key([](auto& c) -> auto& { return c.max_parallel; }, max_parallel, When::at_once)},
      {"log_cap", key([](auto& c) -> auto& { return c.log_cap; }, &Entry::size, When::at_once)},
      {"backfill_patience", key([](auto& c) -> auto& { return c.backfill_patience; }, &Entry::duration, When::at_once)},
      {"outage_patience", key([](auto& c) -> auto& { return c.outage_patience; }, &Entry::duration, When::at_once)},
      {"stop_grace", key([](auto& c) -> auto& { return c.stop_grace; }, &Entry::duration, When::at_once)},
      {"default_memory", key([](auto& c) -> auto& { return c.default_memory; }, &Entry::size, When::at_once)},
      {"default_pids", key([](auto& c) -> auto& { return c.default_pids; }, pids, When::at_once)},
      {"default_tmp", key([](auto& c) -> auto& { return c.default_tmp; }, tmp_size, When::at_once)},
      {"shm_size", key([](auto& c) -> auto& { return c.shm_size; }, tmp_size, When::at_once)},
      {"network", key([](auto& c) -> auto& { return c.network; }, &Entry::boolean, When::at_once)},
      {"core_dumps", key([](auto& c) -> auto& { return c.core_dumps; }, &Entry::boolean, When::at_once)},
      {"on_idle", key([](auto& c) -> auto& { return c.on_idle; }, command, When::restart)},
      {"idle_after", key([](auto& c) -> auto& { return c.idle_after; }, &Entry::duration, When::restart)},
      {"max_upload", key([](auto& c) -> auto& { return c.max_upload; }, &Entry::size, When::at_once)},
      {"max_outputs", key([](auto& c) -> auto& { return c.max_outputs; }, &Entry::size, When::restart)},
      {"max_output_files", key([](auto& c) -> auto& { return c.max_output_files; }, output_files, When::restart)},
      {"outputs_timeout", key([](auto& c) -> auto& { return c.outputs_timeout; }, &Entry::duration, When::restart)},
      {"reserved_space", key([](auto& c) -> auto& { return c.reserved_space; }, &Entry::size, When::restart)},
      {"disk_budget", key([](auto& c) -> auto& { return c.disk.budget; }, disk_share, When::at_once)},
      {"image_budget", key([](auto& c) -> auto& { return c.disk.image_budget; }, disk_share, When::at_once)},
      {"jobs_per_user", key([](auto& c) -> auto& { return c.users.jobs; }, jobs_per_user, When::at_once)},
      {"storage_per_user", key([](auto& c) -> auto& { return c.users.storage; }, disk_share, When::at_once)},
      {"disk_high", key([](auto& c) -> auto& { return c.disk.high; }, percent, When::at_once)},
      {"disk_low", key([](auto& c) -> auto& { return c.disk.low; }, percent, When::at_once)},
      {"keep_at_least", key([](auto& c) -> auto& { return c.disk.keep_at_least; }, &Entry::duration, When::at_once)},
      {"keep_logs", key([](auto& c) -> auto& { return c.disk.keep_logs; }, &Entry::duration, When::at_once)},
      {"keep_outputs", key([](auto& c) -> auto& { return c.disk.keep_outputs; }, &Entry::duration, When::at_once)},
      {"keep_jobs", key([](auto& c) -> auto& { return c.disk.keep_jobs; }, &Entry::duration, When::at_once)},
      {"builds_at_once",
       key([](auto& c) -> auto& { return c.environments.builds_at_once; }, builds_at_once, When::restart)},
      {"build_timeout",
       key([](auto& c) -> auto& { return c.environments.build_timeout; }, &Entry::duration, When::restart)},
      {"build_memory", key([](auto& c) -> auto& { return c.environments.build_memory; }, &Entry::size, When::restart)},
      {"build_cpus", key([](auto& c) -> auto& { return c.environments.build_cpu_milli; }, cpu_milli, When::restart)},
      {"build_uids", key([](auto& c) -> auto& { return c.environments.build_users; }, user_range, When::restart)},
      {"share_environments",
       key([](auto& c) -> auto& { return c.environments.shared; }, &Entry::boolean, When::restart)},
      {"conda", key([](auto& c) -> auto& { return c.environments.conda; }, &Entry::text, When::restart)},
      {"conda_channels", key([](auto& c) -> auto& { return c.environments.conda_channels; }, texts, When::restart)},
      {"conda_mirrors", key([](auto& c) -> auto& { return c.environments.conda_mirrors; }, text_map, When::restart)},
      {"conda_options", key([](auto& c) -> auto& { return c.environments.conda_options; }, texts, When::restart)},
      {"uv", key([](auto& c) -> auto& { return c.environments.uv; }, path_or_nothing, When::restart)},
      {"pip_index", key([](auto& c) -> auto& { return c.environments.pip_index; }, &Entry::text, When::restart)},
      {"pip_extra_indexes",
       key([](auto& c) -> auto& { return c.environments.pip_extra_indexes; }, texts, When::restart)},
      {"find_links", key([](auto& c) -> auto& { return c.environments.find_links; }, texts, When::restart)},
      {"docker_socket",
       key([](auto& c) -> auto& { return c.environments.docker_socket; }, &Entry::absolute_path, When::restart)},
      {"docker_config",
       key([](auto& c) -> auto& { return c.environments.docker_config; }, &Entry::absolute_path, When::restart)},
      {"image_cpu", key([](auto& c) -> auto& { return c.environments.image_cpu; }, &Entry::text, When::restart)},
      {"images_gpu", key([](auto& c) -> auto& { return c.environments.images_gpu; }, text_map, When::restart)},
      {"image_pull", key([](auto& c) -> auto& { return c.environments.image_pull; }, pull_policy, When::restart)},
      {"insecure_registries",
       key([](auto& c) -> auto& { return c.environments.insecure_registries; }, texts, When::restart)},
      {"offline", key([](auto& c) -> auto& { return c.environments.offline; }, &Entry::boolean, When::restart)},
      {"build_environment",
       key([](auto& c) -> auto& { return c.environments.build_environment; }, text_map, When::restart)},
      {"gpus",
       {[](Config& c, const Entry& e) { gpus(c.gpus, e); },
        [](Config& to, const Config& from) {
          to.gpus.managed = from.gpus.managed;
          to.gpus.offered = from.gpus.offered;
        },
        When::restart}},
      {"nvml", key([](auto& c) -> auto& { return c.gpus.library; }, &Entry::text, When::restart)},
      {"gpu_sample", key([](auto& c) -> auto& { return c.gpus.sample; }, gpu_sample, When::restart)},
      {"cgroup", key([](auto& c) -> auto& { return c.cgroup; }, &Entry::absolute_path, When::restart)},
      {"path", key([](auto& c) -> auto& { return c.path; }, &Entry::text, When::restart)},
      {"max_connections", key([](auto& c) -> auto& { return c.max_connections; }, connections, When::restart)},
      {"max_connections_per_user",
       key([](auto& c) -> auto& { return c.max_connections_per_user; }, connections, When::restart)},
      {"others_may_read", key([](auto& c) -> auto& { return c.others_may_read; }, &Entry::boolean, When::at_once)},
      {"log_level", key([](auto& c) -> auto& { return c.log_level; }, log_level, When::at_once)},
  };
  return kKeys;
}

std::string known_keys() {
  std::string names;
  for (const auto& [name, key] : keys()) names += (names.empty() ? "" : ", ") + name;
  return names;
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
    const auto known = keys().find(key);
    if (known == keys().end())
      throw Error(Code::invalid, where + "unknown key '" + printable(key) + "'", "known keys: " + known_keys());
    if (!seen.emplace(key, pair.first.Mark().line + 1).second)
      throw Error(Code::invalid, where + "'" + key + "' is set twice");
    known->second.set(config, Entry{name, key, pair.second});
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

Change change(const Config& running, const Config& wanted) {
  Change change{running, {}, {}};
  for (const auto& [name, key] : keys()) {
    auto with = running;
    key.copy(with, wanted);
    if (with == running) continue;
    if (key.when == When::at_once) key.copy(change.config, wanted);
    (key.when == When::at_once ? change.taken : change.waiting).push_back(name);
  }
  return change;
}

std::vector<std::string> keys_taken_at_once() {
  std::vector<std::string> names;
  for (const auto& [name, key] : keys())
    if (key.when == When::at_once) names.push_back(name);
  return names;
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
