#pragma once

// What the handlers work with.

#include <string>

#include "agent/api/access.hpp"
#include "agent/api/log_changes.hpp"
#include "agent/api/node.hpp"
#include "agent/disk/manager.hpp"
#include "agent/disk/quota.hpp"
#include "agent/drivers/job_directories.hpp"
#include "agent/jobs/jobs.hpp"
#include "agent/store/store.hpp"
#include "runtime/async/lanes.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/async/shares.hpp"
#include "runtime/http/router.hpp"
#include "runtime/objects/store.hpp"

namespace berth::api {

struct Services {
  jobs::Jobs& jobs;
  drivers::JobDirectories& directories;
  disk::Manager& disk;
  disk::Quota& quota;
  environment::Environments& environments;
  store::Store& store;
  objects::Store& objects;
  async::Watcher& watcher;
  async::Pool& pool;
  const Clock& clock;
  Access access;
  Node node;
  std::string incoming;   // a directory for uploads in progress
  ByteSize max_upload{};  // of one pack
  WatchAllowance log_watches{};
  WatchAllowance event_waits{};  // of readers who are told when to look for events
  async::Shares shares{2};  // of each user's work on the pool's threads
  async::Lanes transfers{{2, 4}};  // packs stored and made

  // The job that a path names, by id, prefix or @last (of who asks): what columns tell of it (store::look_up), which is
  // enough to know whose it is and how it stands. Code::not_found, Code::conflict when ambiguous.
  model::Job resolve(const model::Principal& who, const http::Request& request) const;
};

// The whole table; `services` outlives it. agent/api/openapi.yaml describes it, and a test holds the two together.
http::Router make_router(Services& services);

// A route as its handler sees it: with who asks, which is served here. What outlives the handler, a stream, takes
// copies.
using Handler = async::Task<http::Response> (*)(Services& services, const model::Principal& who,
                                                http::Request& request);
void add_route(http::Router& router, Services& services, std::string method, std::string pattern, Handler handler);

// One file each.
void add_job_routes(http::Router& router, Services& services);
void add_event_routes(http::Router& router, Services& services);
void add_log_routes(http::Router& router, Services& services);
void add_snapshot_routes(http::Router& router, Services& services);
void add_environment_routes(http::Router& router, Services& services);
void add_gpu_routes(http::Router& router, Services& services);
void add_node_routes(http::Router& router, Services& services);

}  // namespace berth::api
