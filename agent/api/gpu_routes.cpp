#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/api/gpu_view.hpp"
#include "agent/api/services.hpp"
#include "agent/wire/json_text.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/identity.hpp"

namespace berth::api {
namespace {

using http::Request;
using http::Response;
using model::Principal;

constexpr std::size_t kLongestReason = 200;

// As they are at this moment: a driver that was installed since the last look is found.
async::Task<Response> list(Services& services, const Principal& /*who*/, Request& /*request*/) {
  auto& gpus = services.jobs.gpus();
  co_await gpus.look_in_time();
  co_return Response::json(text_of(told(gpus.ledger())));
}

std::string reason_from(std::string_view body) {
  if (body.empty()) return {};
  const auto drain = message_from<wire::GpuDrain>(wire::parse_json(body), "draining a GPU", Unknown::refused);
  if (drain.reason.size() > kLongestReason)
    throw Error(Code::invalid, "'reason' must be a text of at most " + std::to_string(kLongestReason) + " bytes");
  return printable(drain.reason);
}

// The GPU and its instances that were meant, as they are now.
Response answer(Services& services, const std::string& uuid) {
  const auto& ledger = services.jobs.gpus().ledger();
  wire::Gpus meant;
  for (const auto& gpu : ledger.gpus())
    if (gpu.uuid == uuid || (gpu.mig && gpu.mig->parent == uuid)) meant.gpus.push_back(told(gpu, ledger));
  meant.nvidia = nvidia_told(ledger);
  return Response::json(text_of(meant));
}

async::Task<Response> drain(Services& services, const Principal& who, Request& request) {
  services.access.require_node(who);
  const auto text = co_await request.read_body(ByteSize(1 << 16));
  gpus::Record::Drained said;
  said.by = co_await services.jobs.name_of(who);
  said.reason = reason_from(text);
  const auto uuid = co_await services.jobs.gpus().drain(std::string(request.parameter("gpu")), std::move(said));
  co_return answer(services, uuid);
}

async::Task<Response> resume(Services& services, const Principal& who, Request& request) {
  services.access.require_node(who);
  const auto uuid = co_await services.jobs.gpus().resume(std::string(request.parameter("gpu")));
  co_return answer(services, uuid);
}

}  // namespace

void add_gpu_routes(http::Router& router, Services& services) {
  add_route(router, services, "GET", "/v1/gpus", list);
  for (const auto* name : {"drain", "withhold"})  // its older name
    add_route(router, services, "POST", std::string("/v1/gpus/{gpu}/") + name, drain);
  for (const auto* name : {"resume", "forgive"})
    add_route(router, services, "POST", std::string("/v1/gpus/{gpu}/") + name, resume);
}

}  // namespace berth::api
