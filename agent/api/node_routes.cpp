#include <nlohmann/json.hpp>

#include "agent/api/disk_json.hpp"
#include "agent/api/doctor.hpp"
#include "agent/api/services.hpp"
#include "agent/api/status.hpp"
#include "agent/api/usage.hpp"
#include "agent/model/json.hpp"
#include "runtime/base/error.hpp"

namespace berth::api {
namespace {

using http::Request;
using http::Response;
using model::Principal;
using nlohmann::json;

Response status(const Services& services) {
  return Response::json(status_json(services.node, services.jobs, services.disk.use(), services.clock.now()).dump());
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
  const auto body = text.empty() ? json::object() : model::parse_json(text);
  const bool stop = body.is_object() && body.value("stop", json(false)) == json(true);
  co_await services.jobs.set_drained(true);
  if (stop) co_await services.jobs.preempt_all(model::Preempted::Cause::drain);
  co_return status(services);
}

async::Task<Response> resume(Services& services, const Principal& who, Request& /*request*/) {
  services.access.require_node(who);
  co_await services.jobs.set_drained(false);
  co_return status(services);
}

ByteSize free_from(const json& body) {
  if (!body.is_object() || !body.contains("free_bytes")) return {};
  if (!body["free_bytes"].is_number_unsigned())
    throw Error(Code::invalid, "'free_bytes' must be a whole number of bytes");
  return ByteSize(body["free_bytes"].get<std::uint64_t>());
}

async::Task<Response> collect_garbage(Services& services, const Principal& who, Request& request) {
  services.access.require_node(who);
  const auto text = co_await request.read_body(ByteSize(1 << 16));
  const auto body = text.empty() ? json::object() : model::parse_json(text);
  disk::Cleaning wanted;
  wanted.asked = true;
  wanted.dry_run = body.is_object() && body.value("dry_run", json(false)) == json(true);
  wanted.free = free_from(body);
  const bool dry_run = wanted.dry_run;
  const auto report = co_await services.disk.clean(std::move(wanted));
  co_return Response::json(report_json(report, dry_run).dump());
}

async::Task<Response> usage(Services& services, const Principal& who, Request& /*request*/) {
  std::vector<RunningJob> running;
  for (const auto& [id, launch] : services.jobs.running())
    running.push_back({id, launch, services.directories.directory(id, launch)});
  auto read = [&] { return usage_json(running, services.clock); };
  const auto share = co_await services.shares.take(who.limit_key());
  const auto answer = co_await async::offload(services.pool, read);
  co_return Response::json(answer.dump());
}

async::Task<Response> doctor(Services& services, const Principal& who, Request& /*request*/) {
  const auto share = co_await services.shares.take(who.limit_key());
  auto answer = co_await doctor_json(services);
  co_return Response::json(answer.dump());
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
