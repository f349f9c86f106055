#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "agent/api/log_stream.hpp"
#include "agent/api/masked_log.hpp"
#include "agent/api/services.hpp"
#include "agent/jobs/environments.hpp"
#include "agent/jobs/governor.hpp"
#include "agent/jobs/secret_masks.hpp"
#include "agent/model/json.hpp"
#include "runtime/async/attempt.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/base/text.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/http/error_json.hpp"
#include "runtime/logs/reader.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/identity.hpp"

namespace berth::api {
namespace {

using environment::Entry;
using http::Request;
using http::Response;
using nlohmann::json;

constexpr std::size_t kLeastDigits = 4;  // of a digest's beginning
constexpr ByteSize kLargestRequest = 8_MiB;
constexpr auto kLookAgain = std::chrono::milliseconds(100);

json entry_json(const Entry& entry) {
  return {{"digest", entry.digest.hex()},
          {"kind", entry.kind},
          {"words", entry.words},
          {"python_version", entry.python_version},
          {"bytes", entry.bytes},
          {"created", to_rfc3339(entry.created)},
          {"last_used", to_rfc3339(entry.last_used)},
          {"in_use", entry.leased}};
}

json build_json(const environment::Waiting::Build& build) {
  return {{"digest", build.digest.hex()},
          {"words", build.words},
          {"running", build.running},
          {"since", to_rfc3339(build.since)}};
}

// By the beginning of its digest.
async::Task<Entry> resolve(Services& services, const std::string wanted) {
  const auto entries = co_await services.environments.list();
  std::vector<Entry> found;
  for (const auto& entry : entries)
    if (entry.digest.hex().starts_with(wanted)) found.push_back(entry);
  if (wanted.size() < kLeastDigits || found.empty())
    throw Error(Code::not_found, "there is no environment '" + printable(wanted) + "'",
                "`berth env ls` lists those there are; at least four digits name one");
  if (found.size() > 1)
    throw Error(Code::conflict,
                "'" + printable(wanted) + "' is ambiguous: " + std::to_string(found.size()) + " environments",
                "write more of it");
  co_return std::move(found.front());
}

async::Task<Response> list(Services& services, Request& request) {
  services.access.submitter(request.peer);
  json environments = json::array();
  const auto entries = co_await services.environments.list();
  for (const auto& entry : entries) environments.push_back(entry_json(entry));
  json building = json::array();
  for (const auto& build : services.environments.building()) building.push_back(build_json(build));
  co_return Response::json(json{{"environments", std::move(environments)}, {"building", std::move(building)}}.dump());
}

async::Task<Response> show(Services& services, Request& request) {
  services.access.submitter(request.peer);
  const auto entry = co_await resolve(services, request.parameter("digest"));
  auto out = entry_json(entry);
  const auto record = co_await services.environments.show(entry.digest);
  out["record"] = json::parse(record, nullptr, false);
  out["lock"] = json::parse(entry.lock, nullptr, false);
  out["jobs"] = co_await services.store.jobs_in(entry.digest);
  co_return Response::json(out.dump());
}

async::Task<Response> read_log(Services& services, Request& request) {
  services.access.submitter(request.peer);
  const auto entry = co_await resolve(services, request.parameter("digest"));
  if (!os::exists(entry.log)) co_return Response::text("");
  const auto index = entry.log + ".index";
  http::Response::Writer writer = [log = entry.log, index](http::Stream& out) { return send_log(out, log, index, 0); };
  auto mask = co_await services.jobs.mask_of(entry.digest);
  if (mask) writer = masked(std::move(writer), std::move(mask), "", services.pool);
  co_return Response::stream("text/plain; charset=utf-8", std::move(writer));
}

async::Task<Response> remove(Services& services, Request& request) {
  services.access.require_node(request.peer);
  const auto entry = co_await resolve(services, request.parameter("digest"));
  co_await services.environments.remove(entry.digest);
  co_return Response::empty();
}

json line_of(const char* key, json value) { return json{{key, std::move(value)}}; }

async::Task<> send_line(http::Stream& out, json line) {
  auto text = line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  co_await out.write(text);
}

// What the build prints, as it comes, for ever.
async::Task<> send_output(http::Stream& out, environment::Waiting& waiting, const logs::Mask& mask) {
  logs::Masking masking(mask);
  std::string from;
  std::uint64_t offset = 0;
  const auto buffer = std::make_unique<std::array<char, 65536>>();
  for (;;) {
    if (const auto& build = waiting.build(); build && build->log != from) {
      from = build->log;
      offset = 0;
    }
    if (!from.empty() && os::exists(from)) {
      logs::LogReader reader(from, from + ".index");
      for (auto piece = reader.read(offset, *buffer); piece.length > 0; piece = reader.read(offset, *buffer)) {
        offset = piece.next;
        auto line = line_of("output", masking.feed(std::string_view(buffer->data(), piece.length)));
        co_await send_line(out, std::move(line));
      }
    }
    co_await async::sleep_for(kLookAgain);
  }
}

async::Task<> send_build(http::Stream& out, Services& services, environment::Spec spec, environment::Context context,
                         std::shared_ptr<const model::JobSecrets> secrets) {
  constexpr std::string_view kNothing;
  co_await out.write(kNothing);
  environment::Waiting waiting;
  std::optional<environment::Leased> leased;
  auto making = [&]() -> async::Task<> {
    leased = co_await services.environments.ensure(std::move(spec), std::move(context), waiting);
  };
  const auto mask = jobs::mask_of(*secrets);
  auto sending = send_output(out, waiting, mask);
  const auto made = co_await async::attempt(async::run_until(making(), std::move(sending)));
  json last;
  if (!made)
    last = json::parse(http::to_json(jobs::masked(made.error(), *secrets)));
  else
    last = line_of("environment", {{"digest", leased->ready.digest.hex()},
                                   {"image", leased->ready.image},
                                   {"record", json::parse(leased->ready.record, nullptr, false)}});
  co_await send_line(out, std::move(last));
}

// What a Dockerfile was sent with.
async::Task<std::shared_ptr<const jobs::BuildDirectory>> context_of(Services& services, const Digest context,
                                                                    uid_t uid) {
  if (!services.store.find_upload(context, uid))
    throw Error(Code::not_found, "snapshot " + context.brief() + " is not here", "send it before the request");
  const auto hold = co_await services.governor.hold();
  auto restore = [&] { return services.workplaces.make_context(context); };
  co_return co_await async::offload(services.pool, restore);
}

// Makes an environment before a job needs it. Its output line by line, then what it came to.
async::Task<Response> build(Services& services, Request& request) {
  const auto uid = services.access.submitter(request.peer);
  const auto text = co_await request.read_body(kLargestRequest);
  const auto body = model::parse_json(text);
  const auto wanted = model::environment_request_from_json(body);
  json request_of_it{{"environment", body}};
  const auto secrets = std::make_shared<const model::JobSecrets>(model::take_secrets(request_of_it));
  environment::Context context;
  context.identity = services.node.machine_agent ? os::identity_of(uid) : std::nullopt;
  co_await services.governor.make_room();
  std::shared_ptr<const jobs::BuildDirectory> directory;
  if (wanted.context) directory = co_await context_of(services, *wanted.context, uid);
  auto spec = jobs::spec_of(wanted, directory);
  co_return Response::stream("application/x-ndjson", [&services, spec, context, secrets](http::Stream& out) {
    return send_build(out, services, spec, context, secrets);
  });
}

}  // namespace

void add_environment_routes(http::Router& router, Services& services) {
  router.add("GET", "/v1/environments", [&](Request& request) { return list(services, request); });
  router.add("POST", "/v1/environments", [&](Request& request) { return build(services, request); });
  router.add("GET", "/v1/environments/{digest}", [&](Request& request) { return show(services, request); });
  router.add("GET", "/v1/environments/{digest}/log", [&](Request& request) { return read_log(services, request); });
  router.add("DELETE", "/v1/environments/{digest}", [&](Request& request) { return remove(services, request); });
}

}  // namespace berth::api
