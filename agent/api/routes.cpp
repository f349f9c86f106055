#include "agent/api/services.hpp"

namespace berth::api {

model::Job Services::resolve(const http::Request& request) const {
  auto job = store.look_up(request.parameter("id"), access.submitter(request.peer));
  jobs.complete(job);
  return job;
}

http::Router make_router(Services& services) {
  http::Router router;
  add_node_routes(router, services);
  add_job_routes(router, services);
  add_event_routes(router, services);
  add_log_routes(router, services);
  add_snapshot_routes(router, services);
  add_environment_routes(router, services);
  add_gpu_routes(router, services);
  return router;
}

}  // namespace berth::api
