#pragma once

// A node whose jobs are started by nobody: what lasts over a restart of its agent, and agents upon it, one after the
// other. All of it is real but the drivers, in a directory of its own.

#include <unistd.h>

#include <functional>
#include <memory>

#include "agent/jobs/jobs.hpp"
#include "runtime/async/cleanup.hpp"
#include "runtime/async/run.hpp"
#include "runtime/os/file.hpp"
#include "tests/fakes/driver.hpp"

namespace berth::fakes {

class Node {
 public:
  Node() {
    auto made = std::make_unique<Driver>(directories);
    driver = made.get();
    drivers.host = std::move(made);
    drivers.container = std::make_unique<Driver>(directories);
    gpus.managed = false;
    gpus.jobs_directory = directory / "jobs";
    gpus.boot_id = os::boot_id();
  }

  // The parts of one that runs.
  struct Agent {
    store::Store& store;
    async::Watcher& watcher;
    environment::Environments& environments;
    disk::Manager& disk;
    disk::Quota& quota;
    gpus::Gpus& gpus;
    jobs::Jobs& jobs;
  };
  using Body = std::function<async::Task<>(Agent&)>;
  void run(const Body& body) { async::run(live(*this, body), std::chrono::seconds(20)); }

  os::TempDir directory{"berth", in_memory()};  // nothing in it waits for a disk
  async::Pool pool;
  objects::Store objects{directory / "objects"};
  snapshot::Checkouts checkouts{directory / "checkouts"};
  drivers::JobDirectories directories{{directory / "jobs"}, objects, checkouts};
  disk::Reserve reserve{directory / "reserve", ByteSize(1)};
  drivers::Drivers drivers;
  Driver* driver;  // of the host
  gpus::Settings gpus;  // none
  model::Resources capacity{2000, 1_GiB, 0, 2};

  jobs::Settings settings() const {
    jobs::Settings settings;
    settings.boot_id = os::boot_id();
    settings.secrets_key = {"", directory / "secrets.key"};
    settings.capacity = capacity;
    settings.defaults.path = "/usr/bin:/bin";
    return settings;
  }

 private:
  static std::string in_memory() { return ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ""; }

  static async::Task<> live(Node& node, const Body& body) {
    const auto executor = co_await async::this_coro::executor;
    store::Store store(node.directory / "berth.db", system_clock(), node.pool);
    async::Watcher watcher(executor, nullptr);
    environment::Environments environments;
    gpus::Gpus devices(executor, node.gpus, store, system_clock(), Log());
    disk::Manager::Disk parts{node.directory.path(), store, node.objects, node.directories, node.reserve, {}, {}};
    parts.image_disk = [] { return disk::ImageDisk(); };
    disk::Limits limits;
    limits.high = 100;
    disk::Manager disk(executor, limits, std::move(parts), system_clock(), Log());
    disk::Quota quota(executor, {}, node.directory.path(), false, store);
    const jobs::Parts parts_of_jobs{store, node.directories, node.drivers, environments, disk,
                                    quota, devices,          watcher,      node.pool,    system_clock()};
    jobs::Jobs jobs(executor, node.settings(), parts_of_jobs, Log());
    Agent agent{store, watcher, environments, disk, quota, devices, jobs};
    const auto act = [](Agent& all, const Body& what) -> async::Task<> {
      co_await all.jobs.recover();
      co_await what(all);
    };
    const auto end = [](Agent& all) -> async::Task<> {
      co_await all.jobs.stop();
      co_await all.disk.stop();
      co_await all.gpus.stop();
      co_await all.watcher.stop();
    };
    co_await async::with_cleanup(act(agent, body), end(agent));
  }
};

}  // namespace berth::fakes
