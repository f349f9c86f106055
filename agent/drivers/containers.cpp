#include "agent/drivers/containers.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <thread>

#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/docker/arguments.hpp"
#include "runtime/environment/image_records.hpp"
#include "runtime/gpu/visibility.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/mount.hpp"
#include "runtime/os/process.hpp"
#include "runtime/os/random.hpp"
#include "runtime/shim/apart.hpp"

namespace berth::drivers {
namespace {

using Json = nlohmann::json;

constexpr const char* kShimInside = "/.berth-shim";
constexpr const char* kJobLabel = "io.berth.job";
constexpr std::uint64_t kSecretsSize = 16U << 20;  // more than all of a job's; only what is used counts
constexpr const char* kRecordSuffix = ".json";
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

// --- what is Berth's

std::string Containers::record_file(const model::JobId& job, int launch) const {
  return os::join(options_.records, job + "-" + std::to_string(launch) + kRecordSuffix);
}

std::optional<Containers::Record> Containers::record_of(const model::JobId& job, int launch) const {
  const auto text = os::read_file_if_exists(record_file(job, launch));
  const auto json = text ? json_or_null(*text) : Json();
  if (!json.is_object()) return std::nullopt;
  return Record{json.value("name", ""), json.value("id", ""), json.value("out_of_memory", false)};
}

void Containers::write(const model::JobId& job, int launch, const Record& record, os::Durable durable) const {
  os::write_file(record_file(job, launch),
                 Json{{"name", record.name}, {"id", record.id}, {"out_of_memory", record.out_of_memory}}.dump(), 0600,
                 durable);
}

// On disk before anything is made: whenever the agent dies, the next one finds it by its name.
Containers::Record Containers::begin(const model::JobId& job, int launch) const {
  os::make_directories(options_.records, 0700);
  Record record{"berth-" + job + "-" + std::to_string(launch) + "-" + os::random_hex(16), ""};
  write(job, launch, record, os::Durable::yes);
  return record;
}

std::vector<Containers::Launched> Containers::recorded() const {
  std::vector<Launched> all;
  for (auto& name : os::names_in(options_.records)) {
    if (!name.ends_with(kRecordSuffix)) continue;
    name.erase(name.size() - std::string_view(kRecordSuffix).size());
    const auto dash = name.rfind('-');
    if (dash == std::string::npos) continue;
    if (const int launch = std::atoi(name.c_str() + dash + 1); launch > 0)
      all.push_back({model::JobId(name.substr(0, dash)), launch});
  }
  return all;
}

void Containers::tidy() const {
  const auto own = ".tmp." + std::to_string(::getpid()) + ".";
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(options_.records, absent)) {
    const auto name = entry.path().filename().string();
    if (!name.ends_with(kRecordSuffix) && name.find(own) == std::string::npos) os::remove_file(entry.path().string());
  }
}

// Agents before this one named them so and wrote nothing down: for a job that was running when it took over. What runs
// the supervisor in the launch's directory is no stranger's.
std::optional<Containers::Record> Containers::of_older_agent(const model::JobId& job, int launch) const {
  const auto agent = objects::sha256(options_.state_dir).hex().substr(0, 8);
  const auto name = "berth-" + agent + "-" + job + "-" + std::to_string(launch);
  const auto container = engine_.find_container(name);
  if (!container || !container->running) return std::nullopt;
  const Record record{name, container->id};
  os::make_directories(options_.records, 0700);
  write(job, launch, record, os::Durable::yes);
  return record;
}

docker::Labels Containers::labels_of(const model::JobId& job) const {
  return {{environment::kStateLabel, options_.state_dir}, {kJobLabel, job.value()}};
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
  // Some runtimes put the mode aside, and give it that of the directory below: so it must be the user's
  if (plan.tmp) {
    auto& tmp = spec.tmpfs[plan.tmp->path] = "mode=1777,size=" + std::to_string(plan.tmp->size.bytes());
    if (plan.identity)
      tmp += ",uid=" + std::to_string(plan.identity->uid) + ",gid=" + std::to_string(plan.identity->gid);
  }
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
  remove(job, launch);  // of an agent that died before it had recorded what it was about to do
  shim::write_launch(directory, inside(plan));
  shim::set_apart(directory);
  auto record = begin(job, launch);
  os::Defused bound(directory);  // the engine's binds carry no flags of their own, but have those of their source
  try {
    if (site.overlay)
      engine_.create_overlay_volume(record.name, site.overlay->lower, site.overlay->upper, site.overlay->work,
                                    labels_of(job));
    record.id = engine_.create_container(spec_of(record.name, job, directory, plan, site, image));
    write(job, launch, record, os::Durable::no);
    return start(record.id, directory);
  } catch (const Cancelled&) {  // the engine may go on with it; the next agent clears it away
    bound.keep();
    throw;
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

// What cannot be removed now stays on record, and is swept when the engine is back.
void Containers::abandon(const model::JobId& job, int launch) const noexcept {
  try {
    remove(job, launch);
  } catch (const std::exception&) {
  }
}

std::optional<os::Fd> Containers::supervisor(const model::JobId& job, int launch) const {
  auto record = record_of(job, launch);
  if (!record) record = of_older_agent(job, launch);
  const auto container = record ? find(*record) : std::nullopt;
  if (!container || !container->running) return std::nullopt;
  return pidfd_of(*container);
}

std::optional<docker::Container> Containers::find(const Record& record) const {
  return engine_.find_container(record.id.empty() ? record.name : record.id);
}

Containers::Remains Containers::remove(const model::JobId& job, int launch) const {
  auto record = record_of(job, launch);
  Remains remains;
  if (!record) return remains;
  auto container = find(*record);
  // What the kernel did is known only once the engine has seen the end, moments after the supervisor has written it.
  for (int looks = 0; looks < kMostLooks && container && container->running; ++looks) {
    std::this_thread::sleep_for(kLookPause);
    container = find(*record);
  }
  if (container) {
    // The engine alone knows, and forgets it with the container: an agent that ends here leaves it to the next one.
    if (container->out_of_memory && !record->out_of_memory) {
      record->out_of_memory = true;
      write(job, launch, *record, os::Durable::no);
    }
    engine_.remove_container(container->id);
  }
  remains.out_of_memory = record->out_of_memory;
  engine_.remove_volume(record->name);
  os::remove_file(record_file(job, launch));
  return remains;
}

}  // namespace berth::drivers
