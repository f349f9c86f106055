#include "agent/drivers/protection.hpp"

#include <fcntl.h>

#include <filesystem>

#include "agent/drivers/environment_changes.hpp"
#include "agent/drivers/job_directories.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/file.hpp"

namespace berth::drivers {
namespace {

constexpr const char* kLayer = "environment";  // nobody but the agent may enter it
constexpr const char* kUpper = "upper";
constexpr const char* kWork = "work";
constexpr const char* kLower = "lower";  // a link to the environment

// Agents up to contract 1.3 wrote it into the launch alone.
std::string lower_of(const std::string& place, const std::string& layer) {
  const auto link = os::join(layer, kLower);
  if (os::exists(link)) return std::filesystem::read_symlink(link);
  const auto plan = shim::launch_from_text(os::read_file(os::join(place, shim::kLaunchFile)));
  if (!plan.protection || !plan.protection->environment) throw Error(Code::not_found, "its launch names none");
  return plan.protection->environment->lower.front();
}

}  // namespace

std::vector<std::string> shared_places(const std::string& state_dir) {
  namespace fs = std::filesystem;
  std::error_code failure;
  const auto state = fs::canonical(state_dir, failure);
  if (failure) return {state_dir};
  std::vector<std::string> places{state.string()};
  for (const auto& entry : fs::directory_iterator(state, failure)) {
    if (!entry.is_symlink()) continue;
    const auto leads_to = fs::canonical(entry.path(), failure).string();
    if (!failure && !leads_to.starts_with(state.string() + "/")) places.push_back(leads_to);
  }
  return places;
}

std::string_view environment_changes_are(const os::Protections& possible, bool several_users) {
  if (!possible.read_only) return "shared";
  return several_users ? (possible.owned ? "own" : "refused") : (possible.layers ? "own" : "refused");
}

std::optional<shim::Protection> JobDirectories::protect(const model::JobId& id, int launch, const Site& site,
                                                        const std::string& environment,
                                                        const os::Identity& identity) const {
  if (!options_.protections.read_only) return std::nullopt;
  shim::Protection protection;
  protection.read_only = options_.shared;
  protection.writable = {site.tmp};
  if (!site.tree.empty()) protection.writable.push_back(site.tree);
  protection.environment_owned = options_.several_users && identity.uid != 0;
  const bool layered = protection.environment_owned ? options_.protections.owned : options_.protections.layers;
  if (environment.empty() || !layered) return protection;
  const auto layer = os::join(directory(id, launch), kLayer);
  os::make_directories(layer, 0700);
  const os::Overlay overlay{{environment}, os::join(layer, kUpper), os::join(layer, kWork), environment};
  for (const auto& path : {overlay.upper, overlay.work}) hand_over(path, identity, 0755);
  std::filesystem::create_symlink(environment, os::join(layer, kLower));
  protection.environment = overlay;
  return protection;
}

bool JobDirectories::has_layer(const model::JobId& id, int launch) const {
  return os::exists(os::join(directory(id, launch), kLayer));
}

std::optional<model::EnvironmentChanges> JobDirectories::environment_changes(const model::JobId& id, int launch) const {
  const auto place = directory(id, launch);
  const auto layer = os::join(place, kLayer);
  if (!os::exists(layer)) return std::nullopt;
  try {
    const auto upper = os::open_directory(os::join(layer, kUpper));
    const auto environment = lower_of(place, layer);
    const os::Fd lower(::open(environment.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    return drivers::environment_changes(upper, lower);
  } catch (const std::exception&) {
    model::EnvironmentChanges unknown;
    unknown.unknown = error_from(std::current_exception()).describe();
    return unknown;
  }
}

}  // namespace berth::drivers
