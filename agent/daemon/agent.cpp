#include "agent/daemon/agent.hpp"

#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "agent/api/services.hpp"
#include "agent/daemon/environment_setup.hpp"
#include "agent/daemon/idle.hpp"
#include "agent/daemon/job_groups.hpp"
#include "agent/daemon/programs.hpp"
#include "agent/daemon/version.hpp"
#include "agent/disk/caches.hpp"
#include "agent/disk/images.hpp"
#include "agent/disk/remains.hpp"
#include "agent/drivers/container.hpp"
#include "agent/drivers/host.hpp"
#include "runtime/async/attempt.hpp"
#include "runtime/async/cleanup.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/text.hpp"
#include "runtime/http/listen.hpp"
#include "runtime/http/server.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/lock.hpp"
#include "runtime/os/machine.hpp"
#include "runtime/os/mount.hpp"
#include "runtime/os/priority.hpp"
#include "runtime/os/process.hpp"
#include "runtime/os/signals.hpp"
#include "runtime/os/systemd.hpp"

namespace berth::daemon {
namespace {

using namespace std::chrono_literals;

constexpr const char* kIncoming = "incoming";  // below the state directory
constexpr auto kLockPatience = 2000ms;
constexpr auto kLockPause = 20ms;
// Without a cpu controller nothing else tells jobs from the commands that people type.
constexpr int kJobsNiceness = 5;

// Who holds the state directory, as it wrote itself.
std::string holder_of(const std::string& lock_file) {
  auto pid = os::read_file_if_exists(lock_file).value_or("");
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  return pid;
}

// Holds the state directory; told to whom it belongs when that is somebody else.
os::FileLock claim_state(const std::string& directory) {
  const auto path = os::join(directory, "lock");
  auto lock = os::FileLock::try_acquire(path);
  // One that was just killed may need a moment to let go, as may a supervisor that it was about to start.
  for (auto waited = 0ms; !lock && waited < kLockPatience; waited += kLockPause) {
    std::this_thread::sleep_for(kLockPause);
    lock = os::FileLock::try_acquire(path);
  }
  if (!lock) {
    const auto pid = holder_of(path);
    throw Error(Code::conflict,
                "another agent (pid " + (pid.empty() ? "unknown" : printable(pid)) + ") already uses " + directory,
                "stop it first, or give this one another --state directory");
  }
  if (::ftruncate(lock->file().get(), 0) < 0) throw_errno("write", path);
  os::write_all_at(lock->file(), std::to_string(::getpid()) + "\n", 0);
  return std::move(*lock);
}

model::Resources capacity_of(const Config& config) {
  const auto cpus = std::max(1U, std::thread::hardware_concurrency());
  model::Resources capacity;
  capacity.cpu_milli = config.cpu_milli.value_or(cpus * 1000);
  capacity.memory = config.memory.value_or(ByteSize(os::machine_memory()));
  const auto whole_cpus = static_cast<std::uint16_t>(std::clamp(capacity.cpu_milli / 1000, 1U, 65'535U));
  capacity.slots = config.max_parallel.value_or(whole_cpus);
  return capacity;
}

std::string machine_name() {
  std::string name(256, '\0');
  ::gethostname(name.data(), name.size());
  return name.c_str();
}

// Each follower and each running job needs a few descriptors; the soft limit is often 1024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// One heap for all threads, which gives back what it does not need: the agent idles most of its life, and glibc would
// keep an arena per thread and raise its thresholds after the first large request.
void keep_heap_small() {
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TRIM_THRESHOLD, 128 << 10);
  ::mallopt(M_MMAP_THRESHOLD, 128 << 10);
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// With the socket that it implies.
Config complete(Config config) {
  if (config.socket.empty()) config.socket = os::join(config.state_dir, "berth.sock");
  return config;
}

// The parts, in the order in which they need each other.
class Agent {
 public:
  Agent(async::Executor executor, const Options& options, JobGroups& groups, os::Signals& signals)
      : options_(options),
        config_(options.config),
        groups_(groups),
        signals_(signals),
        overlays_(os::overlay_works(config_.state_dir)),
        protections_(protections(config_.state_dir)),
        build_settings_(
            build_settings(config_, options.shim_program, groups.base(), build_identity(options.machine_agent))),
        store_(os::join(config_.state_dir, "berth.db"), system_clock(), pool_),
        objects_(os::join(config_.state_dir, "objects")),
        checkouts_(os::join(config_.state_dir, "checkouts"),
                   ::geteuid() == 0 ? snapshot::OverlayMarks::trusted : snapshot::OverlayMarks::user),
        directories_({os::join(config_.state_dir, "jobs"), overlays_, options.machine_agent, protections_,
                      drivers::shared_places(config_.state_dir), os::join(config_.state_dir, kIncoming),
                      collect_settings(options, groups)},
                     objects_, checkouts_),
        watcher_(executor, [this](std::exception_ptr failure) { report("watching files failed", failure); }),
        builds_(executor, watcher_, build_settings_),
        gpus_(executor, gpu_settings(config_, groups), store_, system_clock(), log_),
        image_settings_(image_settings(config_, [this] { return gpus_.machine(); })),
        images_(executor, image_settings_),
        environments_(
            environment_providers(config_, build_identity(options.machine_agent), builds_, images_, image_settings_),
            {&builds_, &images_}),
        reserve_(os::join(config_.state_dir, "reserve"), config_.reserved_space),
        disk_(executor, config_.disk, disk_parts(), system_clock(), log_),
        quota_(executor, user_limits(config_), config_.state_dir, options.machine_agent, store_),
        drivers_{drivers::host_driver(host_options(options, groups), directories_, pool_),
                 drivers::container_driver(executor, container_options(options), directories_, log_)},
        jobs_(executor, settings(options, groups, protections_),
              {store_, directories_, drivers_, environments_, disk_, quota_, gpus_, watcher_, pool_, system_clock()},
              log_),
        services_{jobs_,
                  directories_,
                  disk_,
                  quota_,
                  environments_,
                  store_,
                  objects_,
                  watcher_,
                  pool_,
                  system_clock(),
                  api::Access(::geteuid(), options.machine_agent, config_.others_may_read),
                  node(options, groups),
                  os::join(config_.state_dir, kIncoming),
                  config_.max_upload},
        router_(api::make_router(services_)),
        nursery_(executor, [this](std::exception_ptr failure) { report("a task of the agent failed", failure); }) {
    os::remove_tree(services_.incoming);
    os::make_directories(services_.incoming, 0700);
  }

  // Until a signal says stop.
  async::Task<> run() { co_await async::with_cleanup(serve(), stop()); }

 private:
  async::Task<> serve() {
    co_await builds_.recover();
    nursery_.spawn(recover_images());  // an engine may hang
    co_await jobs_.recover();
    disk_.start();
    http::Server server(co_await async::this_coro::executor, listen(), router_, limits(),
                        [this](std::exception_ptr failure) { report("a connection failed", failure); });
    log_.info("agent ready", kv("socket", config_.socket), kv("version", kVersion), kv("pid", ::getpid()));
    os::notify_manager("READY=1\nSTATUS=Takes jobs at " + config_.socket);
    nursery_.spawn(keep_watchdog_quiet());
    IdlePolicy idle{config_.on_idle, config_.idle_after};
    nursery_.spawn(watch_idleness(std::move(idle), jobs_, pool_, log_));
    auto serving = server.run();
    auto told = stop_on_signal(server);
    co_await async::run_until(std::move(serving), std::move(told));
    if (!activated_) os::remove_file(config_.socket);
    log_.info(jobs_stopped_ ? "agent stopped, after the jobs" : "agent stopped; jobs run on");
  }

  // Root and whoever the agent belongs to run it: they always get in.
  http::Limits limits() const {
    http::Limits limits;
    limits.connections = config_.max_connections;
    limits.connections_per_source = config_.max_connections_per_user;
    limits.trusted = [agent = ::geteuid()](const http::Peer& peer) {
      const auto* local = std::get_if<http::LocalPeer>(&peer);
      return local != nullptr && (local->uid == 0 || local->uid == agent);
    };
    return limits;
  }

  // Without an engine there is nothing to take over yet.
  async::Task<> recover_images() {
    if (!os::exists(config_.environments.docker_socket)) co_return;
    const auto recovered = co_await async::attempt(images_.recover());
    if (recovered) {  // only now is known what there is
      const auto looked = co_await async::attempt(disk_.make_room());
      if (!looked) log_.warn("new work is refused", kv("error", looked.error().describe()));
      co_return;
    }
    log_.warn("images are not looked after before one is wanted", kv("error", recovered.error().describe()));
  }

  // Proves that this loop turns. Without a watchdog there is nothing to wake up for.
  static async::Task<> keep_watchdog_quiet() {
    const auto interval = os::watchdog_interval();
    while (interval) {
      os::notify_manager("WATCHDOG=1");
      co_await async::sleep_for(*interval / 2);
    }
  }

  async::Task<> stop() {
    co_await nursery_.stop_and_join();
    co_await jobs_.stop();
    co_await gpus_.stop();
    co_await builds_.stop();
    co_await images_.stop();
    co_await disk_.stop();
    co_await watcher_.stop();
    store_.stop();
  }

  void report(const char* event, const std::exception_ptr& failure) const {
    log_.error(event, kv("error", error_from(failure).describe()));
  }

  async::Task<> stop_on_signal(http::Server& server) {
    int signal = SIGHUP;
    while (signal == SIGHUP) {
      co_await async::readable(signals_.fd().get());
      signal = signals_.read();
      if (signal == SIGHUP) reload();
    }
    log_.info("agent stops", kv("signal", os::signal_name(signal)));
    os::notify_manager("STOPPING=1");
    if (services_.node.machine_agent && os::machine_stops()) {
      co_await stop_jobs();
      jobs_stopped_ = true;
    }
    server.stop();
    for (;;) co_await async::sleep_for(std::chrono::hours(1));  // until serve() is done with its connections
  }

  // A mistake is told, and nothing of the file is taken.
  void reload() {
    const auto monotonic =
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch());
    os::notify_manager("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic.count()));
    std::string status = "Takes jobs at " + config_.socket;
    try {
      if (options_.reread) take(change(config_, complete(options_.reread())));
    } catch (const Error& error) {
      log_.error("the configuration is wrong, and the one from before stays", kv("error", error.message()));
      status += "; the configuration was not taken: " + error.message();
    }
    os::notify_manager("READY=1\nSTATUS=" + status);
  }

  void take(const Change& change) {
    if (change.taken.empty() && change.waiting.empty()) return log_.info("configuration is as it was");
    auto options = options_;
    options.config = change.config;
    const auto of_jobs = settings(options, groups_, protections_);  // it may fail: then nothing is taken
    config_ = change.config;
    Log::set_level(config_.log_level);
    jobs_.reconfigure(of_jobs);
    disk_.set_limits(config_.disk);
    quota_.set_limits(user_limits(config_));
    services_.access = api::Access(::geteuid(), options.machine_agent, config_.others_may_read);
    services_.max_upload = config_.max_upload;
    log_.info("configuration taken", kv("changed", joined(change.taken)));
    if (!change.waiting.empty())
      log_.warn("a restart is needed for what else has changed", kv("keys", joined(change.waiting)));
  }

  // The machine is being shut down: jobs get their grace, while the service manager waits.
  async::Task<> stop_jobs() {
    auto stopping = jobs_.preempt_all(model::Preempted::Cause::shutdown);
    auto asking = ask_for_time();
    co_await async::run_until(std::move(stopping), std::move(asking));
  }

  static async::Task<> ask_for_time() {
    for (;;) {
      os::notify_manager("STATUS=Waits for jobs that save their work\nEXTEND_TIMEOUT_USEC=30000000");
      co_await async::sleep_for(std::chrono::seconds(10));
    }
  }

  os::Fd listen() {
    if (auto socket = os::activated_socket()) {
      activated_ = true;
      return std::move(*socket);
    }
    os::make_directories(os::parent_of(config_.socket));
    const auto group = services_.node.machine_agent ? os::group_id(config_.group) : std::nullopt;
    if (services_.node.machine_agent && !group)
      log_.warn("the socket's group does not exist; only root can use the socket", kv("group", config_.group));
    return http::listen_unix(config_.socket, group ? 0660 : 0600, group);
  }

  // Environments may be on another disk.
  static os::Protections protections(const std::string& state_dir) {
    const auto environments = os::join(state_dir, "environments");
    return os::possible_protections(::access(environments.c_str(), W_OK) == 0 ? environments : state_dir, state_dir);
  }

  static drivers::CollectSettings collect_settings(const Options& options, const JobGroups& groups) {
    return {find_collector(options.shim_program), groups.base(), options.config.max_outputs,
            options.config.max_output_files, options.config.outputs_timeout};
  }

  // However few bytes of them a peer takes or sends: two of the largest packs.
  disk::Manager::Disk disk_parts() {
    disk::Manager::Disk disk{config_.state_dir, store_, objects_, directories_, reserve_, {}, {}};
    disk.kinds.push_back(disk::checkouts_of_code(checkouts_));
    disk.kinds.push_back(disk::downloads_of_builds(builds_));
    disk.kinds.push_back(disk::built_environments(builds_));
    disk.kinds.push_back(disk::images_of_engine(images_, config_.state_dir, system_clock()));
    disk.kinds.push_back(disk::unused_uploads(store_));
    disk.kinds.push_back(disk::logs_of_jobs(store_, directories_, system_clock()));
    disk.kinds.push_back(disk::outputs_of_jobs(store_, system_clock()));
    disk.kinds.push_back(disk::records_of_jobs(store_, system_clock()));
    disk.image_disk = [this] { return disk::image_disk(images_, config_.state_dir); };
    return disk;
  }

  static disk::UserLimits user_limits(const Config& config) {
    auto limits = config.users;
    limits.transit = ByteSize(2 * config.max_upload.bytes());
    return limits;
  }

  static gpus::Settings gpu_settings(const Config& config, const JobGroups& groups) {
    gpus::Settings settings;
    settings.managed = config.gpus.managed;
    settings.offered = config.gpus.offered;
    settings.library = config.gpus.library;
    settings.sample = config.gpus.sample;
    settings.cgroup_base = groups.base();
    settings.jobs_directory = os::join(config.state_dir, "jobs");
    settings.boot_id = os::boot_id();
    return settings;
  }

  static drivers::HostOptions host_options(const Options& options, JobGroups& groups) {
    return {options.shim_program, groups.base(), [&groups] { groups.renew(); }, options.machine_agent};
  }
  static drivers::ContainerOptions container_options(const Options& options) {
    const auto& config = options.config;
    return {config.environments.docker_socket, shim_for_containers(options.shim_program), config.state_dir,
            os::join(config.state_dir, "containers")};
  }

  static jobs::Settings settings(const Options& options, JobGroups& groups, const os::Protections& protections) {
    jobs::Settings settings;
    settings.boot_id = os::boot_id();
    settings.cgroup_base = groups.base();
    const char* credentials = std::getenv("CREDENTIALS_DIRECTORY");  // of systemd's LoadCredential=
    settings.secrets_key = {credentials == nullptr ? "" : credentials,
                            os::join(options.config.state_dir, "secrets.key")};
    settings.old_credentials = os::join(options.config.state_dir, "registry-credentials");
    settings.switch_user = options.machine_agent;
    settings.guard_environments = !protections.read_only;
    settings.capacity = capacity_of(options.config);
    settings.patience = options.config.backfill_patience;
    settings.outage_patience = options.config.outage_patience;
    settings.defaults.path = options.config.path;
    settings.defaults.log_cap = options.config.log_cap;
    settings.defaults.stop_grace = options.config.stop_grace;
    settings.defaults.memory = options.config.default_memory;
    settings.defaults.pids = options.config.default_pids.value_or(os::usual_pids());
    settings.defaults.tmp = options.config.default_tmp;
    settings.defaults.shm_size = options.config.shm_size;
    settings.defaults.network = options.config.network;
    settings.defaults.core_dumps = options.config.core_dumps;
    const auto& controllers = groups.controllers();
    if (std::find(controllers.begin(), controllers.end(), "cpu") == controllers.end())
      settings.defaults.nice = kJobsNiceness;
    return settings;
  }

  api::Node node(const Options& options, const JobGroups& groups) const {
    api::Node node;
    node.name = machine_name();
    node.version = kVersion;
    node.state_dir = config_.state_dir;
    node.pid = ::getpid();
    node.started = system_clock().now();
    node.machine_agent = options.machine_agent;
    node.cgroup_base = groups.base();
    node.controllers = groups.controllers();
    node.socket = config_.socket;
    node.group = options.machine_agent ? config_.group : "";
    node.shim_program = find_shim(options.shim_program);
    node.reserved_space = config_.reserved_space;
    node.overlays = overlays_;
    node.environment_changes = drivers::environment_changes_are(protections_, options.machine_agent);
    node.why_no_sandbox = build_settings_.why_no_sandbox;
    node.docker_socket = config_.environments.docker_socket;
    return node;
  }

  const Options& options_;
  Config config_;  // with what was taken since
  JobGroups& groups_;
  os::Signals& signals_;
  Log log_;
  // What the kernel lets this process do is tried in children, which is safe only while there are no threads.
  bool overlays_;
  os::Protections protections_;
  environment::BuildSettings build_settings_;
  async::Pool pool_;
  store::Store store_;
  objects::Store objects_;
  snapshot::Checkouts checkouts_;
  drivers::JobDirectories directories_;
  async::Watcher watcher_;
  environment::Builds builds_;
  gpus::Gpus gpus_;
  environment::ImageSettings image_settings_;
  environment::Images images_;
  environment::Environments environments_;
  disk::Reserve reserve_;
  disk::Manager disk_;
  disk::Quota quota_;
  drivers::Drivers drivers_;
  jobs::Jobs jobs_;
  api::Services services_;
  http::Router router_;
  async::Nursery nursery_;
  bool jobs_stopped_ = false;
  bool activated_ = false;  // the socket belongs to the service manager
};

async::Task<> run_parts(const Options& options, JobGroups& groups, os::Signals& signals) {
  Agent agent(co_await async::this_coro::executor, options, groups, signals);
  co_await agent.run();
}

}  // namespace

void run_agent(Options options) {
  os::Signals signals{SIGTERM, SIGINT, SIGHUP};
  options.config = complete(std::move(options.config));
  const auto& config = options.config;
  // Jobs of other users must reach their trees below it, though not look around.
  os::make_directories(config.state_dir, options.machine_agent ? 0711 : 0700);
  disk::Reserve::release_if_full(os::join(config.state_dir, "reserve"));
  const auto lock = claim_state(config.state_dir);
  ::signal(SIGPIPE, SIG_IGN);
  ::umask(0022);
  raise_descriptor_limit();
  keep_heap_small();
  if (options.machine_agent) os::be_prompt();  // whatever jobs do, who asks is answered
  options.shim_program = find_shim(options.shim_program);
  JobGroups groups(config.cgroup, options.machine_agent, options.shim_program);
  async::run_to_end(run_parts(options, groups, signals));
}

}  // namespace berth::daemon
