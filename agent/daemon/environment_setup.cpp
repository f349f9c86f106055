#include "agent/daemon/environment_setup.hpp"

#include <unistd.h>

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/conda_recipe.hpp"
#include "runtime/environment/conda_tool.hpp"
#include "runtime/environment/host_provider.hpp"
#include "runtime/environment/image_choice.hpp"
#include "runtime/environment/image_provider.hpp"
#include "runtime/environment/user_managed.hpp"
#include "runtime/environment/venv.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/machine.hpp"
#include "runtime/os/sandbox.hpp"

namespace berth::daemon {
namespace {

using Variables = std::vector<std::pair<std::string, std::string>>;

constexpr const char* kBuilder = "berth";
constexpr const char* kNobody = "nobody";
constexpr const char* kNoGroup = "nogroup";
constexpr std::uint32_t kBuildPids = 4096;  // on a machine that gives a job as many

Variables variables_of(const EnvironmentConfig& config) {
  return {config.build_environment.begin(), config.build_environment.end()};
}

environment::NodePython node_python(const Config& config) {
  const auto& asked = config.environments;
  environment::NodePython node;
  node.uv = asked.uv;
  node.index_url = asked.pip_index;
  node.extra_index_urls = asked.pip_extra_indexes;
  node.find_links = asked.find_links;
  node.offline = asked.offline;
  node.path = config.path;
  node.variables = variables_of(asked);
  return node;
}

environment::NodeConda node_conda(const Config& config, std::optional<os::Identity> identity) {
  const auto& asked = config.environments;
  environment::NodeConda node;
  node.tool = asked.conda;
  node.path = config.path;
  node.identity = std::move(identity);
  node.channels = asked.conda_channels;
  node.mirrors = asked.conda_mirrors;
  node.options = asked.conda_options;
  node.offline = asked.offline;
  node.index_url = asked.pip_index;
  node.extra_index_urls = asked.pip_extra_indexes;
  node.find_links = asked.find_links;
  node.variables = variables_of(asked);
  return node;
}

// For builds without a limit of their own: what is left is enough for the node to go on.
std::uint64_t most_of_memory() { return os::machine_memory() / 4 * 3; }

std::vector<gpu::BaseImage> gpu_images(const EnvironmentConfig& config) {
  std::vector<gpu::BaseImage> images;
  for (const auto& [cuda, image] : config.images_gpu) {
    const auto version = gpu::parse_version(cuda);
    if (!version)
      throw Error(Code::invalid, "images_gpu: '" + printable(cuda) + "' is no CUDA version", "write it as \"12.8\"");
    images.push_back({*version, image});
  }
  return images;
}

}  // namespace

std::optional<os::Identity> build_identity(bool machine_agent) {
  if (!machine_agent || ::geteuid() != 0) return std::nullopt;
  auto identity = os::identity_of(std::string(kBuilder));
  if (!identity) identity = os::identity_of(std::string(kNobody));
  if (!identity) return std::nullopt;
  // Not the builder's own group: that one opens the agent's socket.
  const auto group = os::group_id(kNoGroup);
  identity->gid = group.value_or(identity->gid);
  identity->groups = {identity->gid};
  return identity;
}

environment::BuildSettings build_settings(const Config& config, const std::string& shim_program,
                                          const std::string& cgroup_base, std::optional<os::Identity> identity) {
  const auto& asked = config.environments;
  environment::BuildSettings settings;
  settings.directory = os::join(config.state_dir, "environments");
  settings.shim_program = shim_program;
  settings.identity = std::move(identity);
  settings.cgroup_base = cgroup_base;
  settings.limits.memory = asked.build_memory ? asked.build_memory->bytes() : most_of_memory();
  settings.limits.cpu_milli = asked.build_cpu_milli;
  settings.limits.pids = std::min(kBuildPids, os::usual_pids());
  settings.time_limit = asked.build_timeout;
  settings.at_once = asked.builds_at_once;
  settings.path = config.path;
  settings.hidden = config.state_dir;
  if (settings.identity) settings.users = asked.build_users;
  const auto user =
      settings.users ? std::optional(environment::build_identity_of(settings.users->first)) : std::nullopt;
  settings.why_no_sandbox = os::why_no_sandbox(user, config.state_dir);
  settings.sandbox = settings.why_no_sandbox.empty();
  return settings;
}

environment::ImageSettings image_settings(const Config& config, std::function<gpu::Machine()> machine) {
  const auto& asked = config.environments;
  environment::ImageSettings settings;
  settings.socket = asked.docker_socket;
  settings.directory = os::join(config.state_dir, "images");
  settings.state = config.state_dir;
  settings.cpu_image = asked.image_cpu;
  settings.gpu_images = gpu_images(asked);
  settings.machine = std::move(machine);
  settings.pull = asked.image_pull == "always"  ? environment::PullPolicy::always
                  : asked.image_pull == "never" ? environment::PullPolicy::never
                                                : environment::PullPolicy::missing;
  settings.docker_config = asked.docker_config;
  settings.insecure_registries = asked.insecure_registries;
  settings.at_once = asked.builds_at_once;
  settings.time_limit = asked.build_timeout;
  settings.build_memory = asked.build_memory ? asked.build_memory->bytes() : most_of_memory();
  settings.build_cpu_milli = asked.build_cpu_milli.value_or(0);
  settings.conda = node_conda(config, std::nullopt);
  if (asked.conda.find("micromamba") != std::string::npos) settings.micromamba = asked.conda;
  return settings;
}

environment::Providers environment_providers(const Config& config, std::optional<os::Identity> identity,
                                             environment::Builds& builds, environment::Images& images,
                                             const environment::ImageSettings& image_settings) {
  environment::HostOptions options;
  options.shared = config.environments.shared;
  options.check_cuda = [image_settings](const std::vector<gpu::CudaRequirement>& wanted) {
    environment::check_cuda(wanted, image_settings);
  };
  environment::Providers providers;
  const auto on_host = [&](std::unique_ptr<environment::Recipes> recipes) {
    providers.add(std::make_unique<environment::HostProvider>(builds, options, std::move(recipes)));
  };
  providers.add(std::make_unique<environment::MachineProvider>());
  providers.add(std::make_unique<environment::UserManagedProvider>());
  providers.add(std::make_unique<environment::ImageProvider>(images));
  on_host(std::make_unique<environment::Condas>(node_conda(config, identity)));
  on_host(std::make_unique<environment::Venvs>(node_python(config), identity));
  return providers;
}

}  // namespace berth::daemon
