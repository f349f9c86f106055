#pragma once

// The services of a node, for routes: all of them real but what starts processes, in a directory of its own.

#include <functional>
#include <memory>
#include <string>

#include "agent/api/services.hpp"
#include "runtime/async/cleanup.hpp"
#include "runtime/async/run.hpp"
#include "runtime/os/file.hpp"
#include "tests/fakes/driver.hpp"

namespace berth::api::test {

// Who owns this test owns the agent.
inline http::LocalPeer own_peer() { return {::getpid(), ::geteuid(), ::getegid()}; }

class Node {
 public:
  Node() {
    os::make_directories(directory / "incoming");
    drivers.host = std::make_unique<fakes::Driver>(directories);
    drivers.container = std::make_unique<fakes::Driver>(directories);
  }

  using Body = std::function<async::Task<>(Services&, const http::Router&)>;
  void run(const Body& body) { async::run(serve(*this, body), std::chrono::seconds(20)); }

  os::TempDir directory;

 private:
  static async::Task<> serve(Node& node, const Body& body) {
    const auto executor = co_await async::this_coro::executor;
    store::Store store(node.directory / "berth.db", system_clock(), node.pool);
    async::Watcher watcher(executor, nullptr);
    environment::Environments environments;
    gpus::Settings none;
    none.managed = false;
    gpus::Gpus gpus(executor, none, store, system_clock(), Log());
    disk::Manager::Disk parts{node.directory.path(), store, node.objects, node.directories, node.reserve, {}, {}};
    parts.image_disk = [] { return disk::ImageDisk(); };
    disk::Manager disk(executor, {}, std::move(parts), system_clock(), Log());
    disk::Quota quota(executor, {}, node.directory.path(), false, store);
    const jobs::Parts parts_of_jobs{store, node.directories, node.drivers, environments,  disk, quota,
                                    gpus,  watcher,          node.pool,    system_clock()};
    jobs::Jobs jobs(executor, node.settings(), parts_of_jobs, Log());
    api::Node facts;
    facts.name = "node";
    facts.state_dir = node.directory.path();
    Services services{jobs,
                      node.directories,
                      disk,
                      quota,
                      environments,
                      store,
                      node.objects,
                      watcher,
                      node.pool,
                      system_clock(),
                      Access(::geteuid(), false, false),
                      facts,
                      node.directory / "incoming",
                      1_GiB};
    const auto router = make_router(services);
    const auto act = [](jobs::Jobs& of, Services& all, const http::Router& routes, const Body& what) -> async::Task<> {
      co_await of.recover();
      co_await what(all, routes);
    };
    const auto end = [](jobs::Jobs& of, disk::Manager& manager, gpus::Gpus& devices,
                        async::Watcher& watching) -> async::Task<> {
      co_await of.stop();
      co_await manager.stop();
      co_await devices.stop();
      co_await watching.stop();
    };
    co_await async::with_cleanup(act(jobs, services, router, body), end(jobs, disk, gpus, watcher));
  }

  jobs::Settings settings() const {
    jobs::Settings settings;
    settings.boot_id = os::boot_id();
    settings.secrets_key = {"", directory / "secrets.key"};
    settings.capacity.slots = 2;
    settings.capacity.cpu_milli = 2000;
    settings.capacity.memory = 1_GiB;
    settings.defaults.path = "/usr/bin:/bin";
    return settings;
  }

  async::Pool pool;
  objects::Store objects{directory / "objects"};
  snapshot::Checkouts checkouts{directory / "checkouts"};
  drivers::JobDirectories directories{{directory / "jobs"}, objects, checkouts};
  disk::Reserve reserve{directory / "reserve", ByteSize(1)};
  drivers::Drivers drivers;
};

// What the route of this path answers, as the server would ask it.
inline async::Task<http::Response> answer_of(const http::Router& router, std::string method, std::string path,
                                             http::Peer peer, std::string content = {}) {
  http::MemoryBody body(std::move(content));
  http::Request request(body);
  request.method = method;
  const auto target = http::parse_target(path);
  request.path = target.path;
  request.query = target.query;
  request.peer = std::move(peer);
  auto match = router.find(method, target.segments);
  if (match.handler == nullptr) throw Error(Code::not_found, "no route for " + method + " " + path);
  request.parameters = std::move(match.parameters);
  co_return co_await (*match.handler)(request);
}

}  // namespace berth::api::test
