#include <nlohmann/json.hpp>

#include "agent/api/disk_view.hpp"
#include "agent/api/doctor.hpp"
#include "agent/api/services.hpp"
#include "agent/api/status.hpp"
#include "agent/api/usage.hpp"
#include "agent/wire/json_text.hpp"
#include "runtime/base/json_fields.hpp"

namespace berth::api {
namespace {

using http::Request;
using http::Response;
using model::Principal;

Response status(const Services& services) {
  const auto now = services.clock.now();
  return Response::json(text_of(status_of(services.node, services.jobs, services.disk.use(), now)));
}

// An empty body is an empty message.
template <class T>
T body_of(std::string_view text, const char* what) {
  return text.empty() ? T{} : message_from<T>(wire::parse_json(text), what, Unknown::refused);
}

async::Task<Response> show_status(Services& services, const Principal& /*who*/, Request& /*request*/) {
  co_return status(services);
}

async::Task<Response> metrics(Services& services, const Principal& /*who*/, Request& /*request*/) {
  auto text = metrics_text(services.node, services.jobs, services.disk.use());
  co_return Response::with_type("text/plain; version=0.0.4", std::move(text));
}

async::Task<Response> drain(Services& services, const Principal& who, Request& request) {
  services.access.require_node(who);
  const auto text = co_await request.read_body(ByteSize(1 << 16));
  const bool stop = body_of<wire::Drain>(text, "draining").stop;
  co_await services.jobs.set_drained(true);
  if (stop) co_await services.jobs.preempt_all(model::Preempted::Cause::drain);
  co_return status(services);
}

async::Task<Response> resume(Services& services, const Principal& who, Request& /*request*/) {
  services.access.require_node(who);
  co_await services.jobs.set_drained(false);
  co_return status(services);
}

async::Task<Response> collect_garbage(Services& services, const Principal& who, Request& request) {
  services.access.require_node(who);
  const auto text = co_await request.read_body(ByteSize(1 << 16));
  const auto asked = body_of<wire::Cleaning>(text, "cleaning");
  disk::Cleaning wanted;
  wanted.asked = true;
  wanted.dry_run = asked.dry_run;
  wanted.free = asked.free;
  const bool dry_run = wanted.dry_run;
  const auto report = co_await services.disk.clean(std::move(wanted));
  co_return Response::json(text_of(told(report, dry_run)));
}

async::Task<Response> usage(Services& services, const Principal& who, Request& /*request*/) {
  std::vector<RunningJob> running;
  for (const auto& [id, launch] : services.jobs.running())
    running.push_back({id, launch, services.directories.directory(id, launch)});
  auto read = [&] { return text_of(usage_of(running, services.clock)); };
  const auto share = co_await services.shares.take(who.limit_key());
  auto answer = co_await async::offload(services.pool, read);
  co_return Response::json(std::move(answer));
}

async::Task<Response> doctor(Services& services, const Principal& who, Request& /*request*/) {
  const auto share = co_await services.shares.take(who.limit_key());
  const auto facts = co_await doctor_facts(services);
  co_return Response::json(text_of(facts));
}

}  // namespace

void add_node_routes(http::Router& router, Services& services) {
  add_route(router, services, "GET", "/v1/status", show_status);
  add_route(router, services, "GET", "/v1/usage", usage);
  add_route(router, services, "GET", "/v1/doctor", doctor);
  add_route(router, services, "GET", "/metrics", metrics);
  add_route(router, services, "POST", "/v1/drain", drain);
  add_route(router, services, "POST", "/v1/resume", resume);
  add_route(router, services, "POST", "/v1/gc", collect_garbage);
}

}  // namespace berth::api
