#include "agent/jobs/containers.hpp"

#include <sys/eventfd.h>

#include <thread>

#include "runtime/base/error.hpp"
#include "runtime/docker/arguments.hpp"
#include "runtime/gpu/visibility.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/process.hpp"

namespace berth::jobs {
namespace {

constexpr const char* kShimInside = "/.berth-shim";
constexpr const char* kStateLabel = "io.berth.state";
constexpr const char* kJobLabel = "io.berth.job";
constexpr std::uint64_t kSecretsSize = 16U << 20;  // more than all of a job's; only what is used counts
constexpr int kMostLooks = 100;
constexpr auto kLookPause = std::chrono::milliseconds(20);

// For a container that has ended already.
os::Fd readable_now() { return os::Fd(::eventfd(1, EFD_CLOEXEC)); }

os::Fd pidfd_of(const docker::Container& container) {
  const auto process = os::process_id(container.pid);
  auto pidfd = process ? os::open_pidfd(*process) : std::nullopt;
  return pidfd ? std::move(*pidfd) : readable_now();
}

// What the supervisor does on the host, the engine does here: mounts, limits, network. It gives the tree to the user,
// for Podman makes a volume that of the container's user, who is root.
shim::Launch inside(shim::Launch plan) {
  if (plan.overlay) plan.overlay->lower.clear();
  plan.cgroup.clear();
  plan.limits = {};
  plan.tmp.reset();
  plan.network = true;
  if (plan.secret_place) plan.secret_place->mounted = true;
  plan.protection.reset();
  return plan;
}

}  // namespace

Containers::Containers(ContainerOptions options) : options_(std::move(options)), engine_(options_.socket) {}

// Names are the engine's, which several agents may use.
std::string Containers::name_of(const model::JobId& job, int launch) const {
  const auto agent = objects::sha256(options_.state_dir).hex().substr(0, 8);
  return "berth-" + agent + "-" + job + "-" + std::to_string(launch);
}

docker::Labels Containers::labels_of(const model::JobId& job) const {
  return {{kStateLabel, options_.state_dir}, {kJobLabel, job}};
}

docker::ContainerSpec Containers::spec_of(const std::string& name, const model::JobId& job,
                                          const std::string& directory, const shim::Launch& plan, const Site& site,
                                          const std::string& image) const {
  docker::ContainerSpec spec;
  spec.name = name;
  spec.image = image;
  spec.entrypoint = {kShimInside, directory};
  spec.binds = {{options_.shim_program, kShimInside, true}, {directory, directory, false}};
  if (site.overlay) spec.volumes = {{name, site.tree, false}};
  if (plan.tmp) spec.tmpfs[plan.tmp->path] = "mode=1777,size=" + std::to_string(plan.tmp->size.bytes());
  if (plan.secret_place && !plan.secret_place->directory.empty())
    spec.tmpfs[plan.secret_place->directory] = "mode=0755,size=" + std::to_string(kSecretsSize);
  if (plan.limits.memory) spec.memory = ByteSize(*plan.limits.memory);
  if (plan.limits.cpu_milli) spec.cpus = *plan.limits.cpu_milli / 1000.0;
  if (plan.limits.pids) spec.pids = static_cast<std::int64_t>(*plan.limits.pids) + 1;  // the supervisor counts too
  spec.shm_size = site.shm_size;
  spec.gpus = site.gpus;
  spec.labels = labels_of(job);
  spec = docker::with_arguments(std::move(spec), site.docker_args);
  if (!plan.network) spec.network = "none";  // whatever its arguments say
  // The job's variables are its supervisor's to give. NVIDIA's runtime hands out GPUs by these, where the image or the
  // arguments would ask for all.
  spec.environment.clear();
  for (const auto& [variable, value] : gpu::visibility_variables(site.gpus))
    spec.environment.push_back(variable + "=" + value);
  return spec;
}

shim::Supervisor Containers::launch(const model::JobId& job, int launch, const std::string& directory,
                                    const shim::Launch& plan, const Site& site, const std::string& image) const {
  const auto name = name_of(job, launch);
  remove(job, launch);  // of an agent that died before it had recorded what it was about to do
  shim::write_launch(directory, inside(plan));
  if (site.overlay)
    engine_.create_overlay_volume(name, site.overlay->lower, site.overlay->upper, site.overlay->work, labels_of(job));
  try {
    const auto id = engine_.create_container(spec_of(name, job, directory, plan, site, image));
    return start(id, directory);
  } catch (Error& error) {
    abandon(job, launch);
    error.add_context("starting a container of the image " + image);
    throw;
  }
}

// An engine that goes away while it starts a container may have started it: then the launch directory knows more.
shim::Supervisor Containers::start(const std::string& id, const std::string& directory) const {
  try {
    engine_.start(id);
    const auto container = engine_.container(id);
    return {container.pid, pidfd_of(container)};
  } catch (const Error& error) {
    const bool unheard = error.code() == Code::unavailable || error.code() == Code::timeout;
    if (!unheard && !os::exists(os::join(directory, shim::kStartedFile))) throw;
    return {0, readable_now()};
  }
}

// The next agent sweeps what cannot be removed now.
void Containers::abandon(const model::JobId& job, int launch) const noexcept {
  try {
    remove(job, launch);
  } catch (const std::exception&) {
  }
}

std::optional<os::Fd> Containers::supervisor(const model::JobId& job, int launch) const {
  const auto container = engine_.find_container(name_of(job, launch));
  if (!container || !container->running) return std::nullopt;
  return pidfd_of(*container);
}

Containers::Remains Containers::remove(const model::JobId& job, int launch) const {
  const auto name = name_of(job, launch);
  Remains remains;
  auto container = engine_.find_container(name);
  // What the kernel did is known only once the engine has seen the end, moments after the supervisor has written it.
  for (int looks = 0; looks < kMostLooks && container && container->running; ++looks) {
    std::this_thread::sleep_for(kLookPause);
    container = engine_.find_container(name);
  }
  if (container) {
    remains.out_of_memory = container->out_of_memory;
    engine_.remove_container(container->id);
  }
  engine_.remove_volume(name);
  return remains;
}

std::vector<Containers::Left> Containers::list() const {
  const auto ours = std::string(kStateLabel) + "=" + options_.state_dir;
  std::vector<Left> all;
  for (const auto& container : engine_.list_containers(ours))
    if (const auto job = container.labels.find(kJobLabel); job != container.labels.end())
      all.push_back({job->second, container.id, ""});
  const auto prefix = name_of("", 0).size() - 2;  // without "-0"
  for (const auto& volume : engine_.list_volumes(ours))
    if (const auto end = volume.rfind('-'); end != std::string::npos && end > prefix)
      all.push_back({volume.substr(prefix, end - prefix), "", volume});
  return all;
}

void Containers::remove(const std::vector<Left>& left) const {
  for (const auto& each : left) {
    if (!each.container.empty()) engine_.remove_container(each.container);
    if (!each.volume.empty()) engine_.remove_volume(each.volume);
  }
}

}  // namespace berth::jobs
