#include "agent/cli/misconfiguration.hpp"

#include <filesystem>

#include "runtime/async/tool.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/spawn.hpp"

namespace berth::cli {
namespace {

constexpr const char* kConfiguration = "/etc/berth/berthd.yaml";
constexpr std::string_view kSpeaker = "berthd: ";
constexpr std::chrono::seconds kPatience{5};

}  // namespace

Installation this_installation() {
  std::error_code absent;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", absent).string();
  return {os::join(os::parent_of(self), "berthd"), kConfiguration};
}

std::optional<std::string> mistake_in_configuration(const Installation& installation) {
  if (!os::exists(installation.configuration)) return std::nullopt;
  os::SpawnOptions options;
  options.arguments = {installation.agent, "--check-config", installation.configuration};
  options.environment = {"LC_ALL=C.UTF-8"};
  options.working_directory = "/";
  try {
    const auto finished = async::run_tool_here(std::move(options), {kPatience, 1U << 16});
    const auto said = finished.errors.substr(0, finished.errors.find('\n'));
    // Whoever may not read the file does not know; neither does a program that was killed.
    if (finished.exit.signalled || !said.starts_with(std::string(kSpeaker) + installation.configuration))
      return std::nullopt;
    return said.substr(kSpeaker.size());
  } catch (const Error&) {  // it is not installed
    return std::nullopt;
  }
}

}  // namespace berth::cli
