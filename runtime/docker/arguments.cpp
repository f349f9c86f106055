#include "runtime/docker/arguments.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <string_view>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::docker {
namespace {

using Apply = std::function<void(ContainerSpec&, const std::string& value)>;

constexpr double kLeastCpus = 0.01;  // the engine's least; what it rounds to nothing would be no limit at all

[[noreturn]] void malformed(const std::string& option, const std::string& value, const std::string& wanted) {
  throw Error(Code::invalid, "docker_args: " + option + " " + printable(value) + ": " + wanted);
}

ByteSize size_of(const std::string& option, const std::string& value) {
  const auto size = parse_byte_size(value);
  if (!size || size->bytes() == 0) malformed(option, value, "a size such as 8g or 512m");
  return *size;
}

template <class Number>
Number number_of(const std::string& option, std::string_view value) {
  Number number{};
  const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (failure != std::errc() || end != value.data() + value.size()) malformed(option, std::string(value), "a number");
  return number;
}

template <class T>
void lower(std::optional<T>& limit, T value) {
  limit = limit ? std::min(*limit, value) : value;
}

void choose(std::string& member, const std::string& option, const std::string& value,
            const std::vector<std::string>& choices) {
  if (std::ranges::find(choices, value) == choices.end()) {
    std::string words;
    for (const auto& choice : choices) words += (words.empty() ? "" : ", ") + choice;
    throw Error(Code::denied, "docker_args: " + option + "=" + printable(value) + " is not allowed",
                "allowed: " + words);
  }
  member = value;
}

void add_environment(ContainerSpec& spec, const std::string& value) {
  const auto equals = value.find('=');
  if (equals == 0 || equals == std::string::npos)
    malformed("--env", value, "NAME=VALUE is wanted; the agent's own environment is not passed on");
  spec.environment.push_back(value);
}

void add_ulimit(ContainerSpec& spec, const std::string& value) {
  static const std::vector<std::string> kKnown = {"core",    "cpu",        "data",   "fsize", "locks",
                                                  "memlock", "msgqueue",   "nofile", "nproc", "rss",
                                                  "rtprio",  "sigpending", "stack"};
  const auto equals = value.find('=');
  const auto name = value.substr(0, equals);
  if (equals == std::string::npos || std::ranges::find(kKnown, name) == kKnown.end())
    malformed("--ulimit", value, "nofile=1024:2048 or the like is wanted");
  const auto limits = value.substr(equals + 1);
  const auto colon = limits.find(':');
  const auto soft = number_of<std::int64_t>("--ulimit", limits.substr(0, colon));
  const auto hard = colon == std::string::npos ? soft : number_of<std::int64_t>("--ulimit", limits.substr(colon + 1));
  // Others' jobs have CPUs by their share only as long as nobody runs in real time.
  if (name == "rtprio" && (soft != 0 || hard != 0))
    throw Error(Code::denied, "docker_args: --ulimit rtprio=" + printable(limits) + " is not allowed",
                "real-time priority would take the CPUs from everybody else's jobs");
  spec.ulimits.push_back({name, soft, hard});
}

void add_label(ContainerSpec& spec, const std::string& value) {
  const auto equals = value.find('=');
  const auto name = value.substr(0, equals);
  if (name.empty() || name.starts_with("io.berth."))
    throw Error(Code::denied, "docker_args: the label " + printable(value) + " is not allowed",
                "labels that begin with io.berth. are the agent's own");
  spec.labels[name] = equals == std::string::npos ? "" : value.substr(equals + 1);
}

void add_tmpfs(ContainerSpec& spec, const std::string& value) {
  const auto colon = value.find(':');
  const auto target = value.substr(0, colon);
  if (!target.starts_with('/') || target == "/") malformed("--tmpfs", value, "an absolute path is wanted");
  spec.tmpfs[target] = colon == std::string::npos ? "" : value.substr(colon + 1);
}

void set_cpus(ContainerSpec& spec, const std::string& value) {
  const auto cpus = number_of<double>("--cpus", value);
  if (!(cpus >= kLeastCpus) || !std::isfinite(cpus)) malformed("--cpus", value, "a number of at least 0.01 is wanted");
  lower(spec.cpus, cpus);
}

void set_pids(ContainerSpec& spec, const std::string& value) {
  const auto pids = number_of<std::int64_t>("--pids-limit", value);
  if (pids > 0) lower(spec.pids, pids);  // 0 and -1: no limit asked for, so the job's own stays
}

const std::map<std::string, Apply, std::less<>>& allowed() {
  static const std::map<std::string, Apply, std::less<>> table = {
      {"--shm-size", [](auto& spec, auto& value) { spec.shm_size = size_of("--shm-size", value); }},
      {"--memory", [](auto& spec, auto& value) { lower(spec.memory, size_of("--memory", value)); }},
      {"--cpus", set_cpus},
      {"--pids-limit", set_pids},
      {"--cpuset-cpus", [](auto& spec, auto& value) { spec.cpuset = value; }},
      {"--ipc",
       [](auto& spec, auto& value) {
         choose(spec.ipc, "--ipc", value, {"host", "none", "private", "shareable"});
       }},
      {"--network",
       [](auto& spec, auto& value) {
         choose(spec.network, "--network", value, {"bridge", "host", "none"});
       }},
      {"--ulimit", add_ulimit},
      {"--env", add_environment},
      {"--label", add_label},
      {"--tmpfs", add_tmpfs},
      {"--hostname", [](auto& spec, auto& value) { spec.hostname = value; }},
      {"--add-host", [](auto& spec, auto& value) { spec.extra_hosts.push_back(value); }},
      {"--dns", [](auto& spec, auto& value) { spec.dns.push_back(value); }},
      {"--cap-drop", [](auto&, auto&) {}},  // all are dropped already
  };
  return table;
}

// Options without a value.
const std::map<std::string, Apply, std::less<>>& allowed_switches() {
  static const std::map<std::string, Apply, std::less<>> table = {
      {"--read-only", [](auto& spec, auto&) { spec.read_only_root = true; }},
      {"--init", [](auto&, auto&) {}},  // the job's supervisor is one
      {"--rm", [](auto&, auto&) {}},    // as always
  };
  return table;
}

const std::map<std::string, std::string, std::less<>>& reasons() {
  static const std::string kMounts = "a container sees the job's own directories only";
  static const std::string kPowers = "a container has no more rights than its job has without one";
  static const std::string kUseInputs = ": use inputs, or the data directories of the agent's configuration";
  static const std::map<std::string, std::string, std::less<>> table = {
      {"--privileged", kPowers},
      {"--cap-add", kPowers},
      {"--security-opt", kPowers},
      {"--userns", kPowers},
      {"--group-add", kPowers},
      {"--cgroupns", kPowers},
      {"--cgroup-parent", kPowers},
      {"--device", "devices are handed out by the agent: ask for GPUs with the job's resources"},
      {"--gpus", "GPUs are handed out by the agent: ask for them with the job's resources"},
      {"--runtime", "the agent chooses the runtime"},
      {"--volume", kMounts + kUseInputs},
      {"--mount", kMounts + kUseInputs},
      {"--volumes-from", kMounts + kUseInputs},
      {"--env-file", "the agent reads no file on a job's behalf: use --env"},
      {"--pid", "the job's supervisor must be the container's first process"},
      {"--uts", kPowers},
      {"--user", "a job runs as its submitter"},
      {"--entrypoint", "the job's command is what runs"},
      {"--workdir", "the working directory is the job's: use its working directory"},
      {"--name", "the agent names its containers"},
      {"--restart", "the agent repeats jobs: use the job's retries"},
      {"--detach", "the agent follows every job"},
      {"--tty", "a job has no terminal"},
      {"--interactive", "a job has no terminal"},
      {"--publish", "ports are not published: use --network=host"},
      {"--publish-all", "ports are not published: use --network=host"},
      {"--oom-kill-disable", "a job that is out of memory must be stopped"},
      {"--sysctl", kPowers},
  };
  return table;
}

std::string long_name(const std::string& option) {
  static const std::map<std::string, std::string, std::less<>> kShort = {
      {"-e", "--env"},         {"-m", "--memory"},  {"-h", "--hostname"},    {"-l", "--label"},  {"--net", "--network"},
      {"-v", "--volume"},      {"-u", "--user"},    {"-w", "--workdir"},     {"-d", "--detach"}, {"-t", "--tty"},
      {"-i", "--interactive"}, {"-p", "--publish"}, {"-P", "--publish-all"}, {"-it", "--tty"},   {"-ti", "--tty"}};
  const auto found = kShort.find(option);
  return found == kShort.end() ? option : found->second;
}

std::string all_allowed() {
  std::string names;
  for (const auto& [name, apply] : allowed()) names += (names.empty() ? "" : ", ") + name;
  for (const auto& [name, apply] : allowed_switches()) names += ", " + name;
  return names;
}

[[noreturn]] void refuse(const std::string& option) {
  const auto known = reasons().find(option);
  const auto reason = known == reasons().end() ? "" : ": " + known->second;
  throw Error(Code::denied, "docker_args: " + printable(option) + " is not allowed" + reason,
              "allowed: " + all_allowed());
}

struct Option {
  std::string name;
  std::optional<std::string> value;  // where it was joined to the name
};

// "--a=b", "--a", "-eA=1", "-e"
Option parse_option(const std::string& word) {
  if (!word.starts_with('-') || word == "-" || word == "--")
    throw Error(Code::invalid, "docker_args: " + printable(word) + " is no option",
                "only options belong there: the image and the command are the job's own");
  const auto equals = word.find('=');
  const bool is_long = word.starts_with("--");
  if (!is_long && word.size() > 2 && long_name(word) == word) {
    auto name = long_name(word.substr(0, 2));
    return {std::move(name), word.substr(word[2] == '=' ? 3 : 2)};
  }
  if (equals == std::string::npos) return {long_name(word), std::nullopt};
  return {long_name(word.substr(0, equals)), word.substr(equals + 1)};
}

}  // namespace

std::vector<std::string> split_words(const std::string& line) {
  std::vector<std::string> words;
  std::optional<std::string> word;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool escapes = c == '\\' && quote != '\'' && i + 1 < line.size();
    if (escapes) {
      (word ? *word : word.emplace()) += line[++i];
    } else if (quote != 0) {
      if (c == quote)
        quote = 0;
      else
        *word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      if (!word) word.emplace();
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (word) words.push_back(std::move(*word));
      word.reset();
    } else {
      (word ? *word : word.emplace()) += c;
    }
  }
  if (quote != 0) throw Error(Code::invalid, "docker_args: a quotation does not end: " + printable(line));
  if (word) words.push_back(std::move(*word));
  return words;
}

ContainerSpec with_arguments(ContainerSpec spec, const std::vector<std::string>& arguments) {
  std::vector<std::string> words;
  for (const auto& line : arguments) std::ranges::copy(split_words(line), std::back_inserter(words));
  for (std::size_t i = 0; i < words.size(); ++i) {
    auto option = parse_option(words[i]);
    if (const auto found = allowed_switches().find(option.name); found != allowed_switches().end()) {
      if (!option.value || *option.value == "true") found->second(spec, {});
      continue;
    }
    const auto found = allowed().find(option.name);
    if (found == allowed().end()) refuse(option.name);
    if (!option.value && i + 1 == words.size())
      throw Error(Code::invalid, "docker_args: " + option.name + " needs a value");
    found->second(spec, option.value ? *option.value : words[++i]);
  }
  return spec;
}

}  // namespace berth::docker
