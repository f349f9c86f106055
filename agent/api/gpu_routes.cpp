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

constexpr std::size_t kLongestReason = 200;

// As they are at this moment: a driver that was installed since the last look is found.
async::Task<Response> list(Services& services, Request& request) {
  services.access.submitter(request.peer);
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

async::Task<Response> drain(Services& services, Request& request) {
  services.access.require_node(request.peer);
  const auto text = co_await request.read_body(ByteSize(1 << 16));
  gpus::Record::Drained said;
  said.by = co_await services.jobs.user_name(request.peer.uid);
  said.reason = reason_from(text);
  const auto uuid = co_await services.jobs.gpus().drain(std::string(request.parameter("gpu")), std::move(said));
  co_return answer(services, uuid);
}

async::Task<Response> resume(Services& services, Request& request) {
  services.access.require_node(request.peer);
  const auto uuid = co_await services.jobs.gpus().resume(std::string(request.parameter("gpu")));
  co_return answer(services, uuid);
}

}  // namespace

void add_gpu_routes(http::Router& router, Services& services) {
  router.add("GET", "/v1/gpus", [&](Request& request) { return list(services, request); });
  for (const auto* name : {"drain", "withhold"})  // its older name
    router.add("POST", std::string("/v1/gpus/{gpu}/") + name,
               [&](Request& request) { return drain(services, request); });
  for (const auto* name : {"resume", "forgive"})
    router.add("POST", std::string("/v1/gpus/{gpu}/") + name,
               [&](Request& request) { return resume(services, request); });
}

}  // namespace berth::api
