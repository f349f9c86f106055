#include "runtime/environment/conda_tool.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "runtime/async/tool.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/spawn.hpp"

namespace berth::environment {
namespace {

using Kind = CondaTool::Kind;
using Version = CondaTool::Version;

// In the order of preference: the first solves fastest and needs no Python of its own.
constexpr std::array kNames{"micromamba", "mamba", "conda"};
constexpr std::array kPrefixes{"/opt/conda/bin", "/opt/miniconda/bin", "/opt/miniforge3/bin", "/opt/mambaforge/bin",
                               "/usr/local/conda/bin"};
constexpr std::array kHomePrefixes{"micromamba/bin", ".local/bin",    "miniforge3/bin", "mambaforge/bin",
                                   "miniconda3/bin", "anaconda3/bin", "micromamba"};
constexpr const char* kInstall =
    "install micromamba (one file) into a directory that all users may read, or name a conda program in the "
    "node's configuration";

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::micromamba:
      return "micromamba";
    case Kind::mamba:
      return "mamba";
    case Kind::conda:
      break;
  }
  return "conda";
}

struct Least {
  Version version;
  const char* reason;
};

Least least(Kind kind) {
  // https://conda-forge.org/news/2022/11/16/moving-to-conda-artifacts/
  if (kind == Kind::conda)
    return {{4, 7, 0}, "older ones cannot read .conda packages, which channels have had alone since 2022"};
  return {{1, 0, 0}, "older ones are from before the end of 2022 and get no corrections any more"};
}

std::string text_of(const Version& version) {
  return std::to_string(version.major) + "." + std::to_string(version.minor) + "." + std::to_string(version.patch);
}

// "2.0.5", "24.1", "2.0.5.rc1"
std::optional<Version> parse_version(std::string_view text) {
  std::array<int, 3> numbers{};
  const char* at = text.data();
  const char* const end = at + text.size();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto read = std::from_chars(at, end, numbers[i]);
    if (read.ec != std::errc() || numbers[i] < 0)
      return i == 0 ? std::nullopt : std::optional<Version>({numbers[0], numbers[1], 0});
    at = read.ptr;
    if (at == end || *at != '.') break;
    ++at;
  }
  return Version{numbers[0], numbers[1], numbers[2]};
}

bool is_program(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 0111) != 0;
}

std::optional<os::Identity> builder(const NodeConda& node) {
  return node.identity ? node.identity : os::identity_of(::geteuid());
}

std::vector<std::string> directories_of(const std::string& path) {
  std::vector<std::string> directories;
  for (std::size_t at = 0; at <= path.size();) {
    const auto end = std::min(path.find(':', at), path.size());
    if (path[at] == '/') directories.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return directories;
}

std::vector<std::string> usual_directories(const NodeConda& node) {
  auto directories = directories_of(node.path);
  directories.insert(directories.end(), kPrefixes.begin(), kPrefixes.end());
  if (const auto who = builder(node); who && !who->home.empty())
    for (const auto* prefix : kHomePrefixes) directories.push_back(os::join(who->home, prefix));
  return directories;
}

// By name first: a micromamba anywhere is preferred to any conda.
std::vector<std::string> candidates(const NodeConda& node) {
  std::vector<std::string> found;
  const auto directories = usual_directories(node);
  const auto look_for = [&](const std::string& name) {
    for (const auto& directory : directories)
      if (auto path = os::join(directory, name); is_program(path)) found.push_back(std::move(path));
  };
  if (node.tool.empty()) {
    for (const auto* name : kNames) look_for(name);
  } else {
    look_for(node.tool);
  }
  return found;
}

os::Finished ask(const std::string& path, std::vector<std::string> arguments, const NodeConda& node,
                 std::chrono::seconds patience) {
  arguments.insert(arguments.begin(), path);
  // Not the builder's home: what he keeps there shall not change the answer.
  const os::TempDir home("berth-conda");
  if (node.identity && ::geteuid() == 0 && ::chown(home.path().c_str(), node.identity->uid, node.identity->gid) != 0)
    throw_errno("give away", home.path());
  os::SpawnOptions options{
      .arguments = std::move(arguments),
      .environment = {"PATH=" + os::parent_of(path) + ":/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=" + home.path(),
                      "MAMBA_ROOT_PREFIX=" + home.path() + "/root", "MAMBA_NO_BANNER=1"},
      .working_directory = "/",
      .identity = node.identity};
  return async::run_tool_here(std::move(options), {patience, 1U << 20});
}

[[noreturn]] void no_tool(const std::string& path, const std::string& why) {
  throw Error(Code::unavailable, "the conda program " + printable(path) + " " + why,
              "run `" + printable(path) + " info --json` by hand, or name another in the node's configuration");
}

os::Finished answer_of(const std::string& path, std::vector<std::string> arguments, const NodeConda& node,
                       std::chrono::seconds patience) {
  try {
    return ask(path, std::move(arguments), node, patience);
  } catch (const Error& failure) {
    const bool late = failure.code() == Code::timeout;
    const auto why = late ? "did not answer within " + std::to_string(patience.count()) + " seconds"
                          : "cannot be started: " + failure.message();
    throw Error(failure.code(), "the conda program " + printable(path) + " " + why,
                "check that the user who builds can run it, or name another in the node's configuration")
        .for_lack_of(failure.lack());
  }
}

CondaTool look_at(const std::string& path, const NodeConda& node, std::chrono::seconds patience) {
  const auto version = answer_of(path, {"--version"}, node, patience);
  const auto info = answer_of(path, {"info", "--json"}, node, patience);
  for (const auto* finished : {&version, &info})
    if (finished->exit.signalled || finished->exit.status != 0)
      no_tool(path, "does not work: " + printable(finished->errors.substr(0, 300)));
  auto tool = recognise_conda_tool(os::name_of(path), version.output, info.output);
  if (!tool) no_tool(path, "does not answer as micromamba, mamba or conda do");
  tool->path = path;
  return *tool;
}

void check_version(const CondaTool& tool) {
  const auto wanted = least(tool.kind);
  if (tool.version >= wanted.version) return;
  throw Error(Code::unsupported,
              tool.name_and_version() + " (" + printable(tool.path) + ") is too old; " + text_of(wanted.version) +
                  " is the oldest that works: " + wanted.reason,
              "update it, or name another in the node's configuration");
}

[[noreturn]] void none_found(const NodeConda& node) {
  if (node.tool.empty())
    throw Error(Code::not_found,
                "no conda program on this machine: neither micromamba, mamba nor conda is on " + node.path +
                    " or in a usual place",
                kInstall);
  throw Error(Code::not_found,
              "the conda program '" + printable(node.tool) + "' of the node's configuration does not exist", kInstall);
}

}  // namespace

std::string CondaTool::name_and_version() const { return std::string(name_of(kind)) + " " + text_of(version); }

// conda has no locks on its package cache: "operations on the package cache are not safe to do in parallel"
// (github.com/conda/conda/issues/8870, 5997, 13037). mamba and micromamba lock its files, but those
// before 2.0 do not wait for each other in every case (github.com/mamba-org/mamba/issues/2035, 1429, 3202).
bool CondaTool::shares_cache() const { return kind != Kind::conda && version.major >= 2; }

std::optional<CondaTool> recognise_conda_tool(const std::string& name, const std::string& version,
                                              const std::string& info) {
  const auto json = json_or_null(info, JsonBounds{.bytes = 4U << 20, .values = 100'000});
  if (!json.is_object()) return std::nullopt;
  CondaTool tool;
  tool.platform = json.value("platform", nlohmann::json()).is_string() ? json["platform"].get<std::string>() : "";
  // "2.0.5" of micromamba and of mamba since 2.0; "mamba 1.4.7\nconda 23.5.0"; "conda 24.1.2".
  std::string_view line(version);
  line = line.substr(0, line.find_first_of("\r\n"));
  tool.kind = name == "mamba" ? Kind::mamba : Kind::micromamba;
  for (const auto kind : {Kind::mamba, Kind::conda}) {
    const auto word = std::string(name_of(kind)) + " ";
    if (!line.starts_with(word)) continue;
    tool.kind = kind;
    line.remove_prefix(word.size());
  }
  const auto parsed = parse_version(line);
  if (!parsed || tool.platform.empty()) return std::nullopt;
  tool.version = *parsed;
  return tool;
}

CondaTool find_conda_tool(const NodeConda& node, std::chrono::seconds patience) {
  const bool by_path = node.tool.starts_with('/');
  const auto found = by_path ? std::vector<std::string>{node.tool} : candidates(node);
  if (found.empty() || (by_path && !is_program(node.tool))) none_found(node);
  std::optional<Error> first;
  for (const auto& path : found) {
    try {
      const auto tool = look_at(path, node, patience);
      check_version(tool);
      return tool;
    } catch (const Error& failure) {
      // One that is broken, too old or closed to the builder does not hide the next.
      if (!first) first = failure;
    }
  }
  throw *first;
}

}  // namespace berth::environment
