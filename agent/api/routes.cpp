#include "agent/api/services.hpp"

namespace berth::api {

model::Job Services::resolve(const model::Principal& who, const http::Request& request) const {
  auto job = store.look_up(request.parameter("id"), access.submitter(who));
  jobs.complete(job);
  return job;
}

void add_route(http::Router& router, Services& services, std::string method, std::string pattern, Handler handler) {
  auto admit = [&services, handler](http::Request& request) -> async::Task<http::Response> {
    const auto who = services.access.principal(request.peer);
    co_return co_await handler(services, who, request);
  };
  router.add(std::move(method), std::move(pattern), admit);
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
