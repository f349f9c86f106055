#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "agent/api/log_stream.hpp"
#include "agent/api/masked_log.hpp"
#include "agent/api/query.hpp"
#include "agent/api/services.hpp"
#include "runtime/async/attempt.hpp"
#include "runtime/logs/reader.hpp"
#include "runtime/os/file.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::api {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;

struct LogPlace {
  std::string log;
  std::string index;
  int launch = 0;       // of the job's own output
  bool latest = true;   // of the job's own output: what it writes from now on goes here
};

// The launch of an attempt; the latest launch for none given; 0 before the first.
int launch_of(const model::Job& job, std::optional<std::int64_t> attempt) {
  if (!attempt) return job.attempts.empty() ? 0 : job.attempts.back().launch;
  for (const auto& candidate : job.attempts)
    if (candidate.number == *attempt) return candidate.launch;
  throw Error(Code::not_found, job.id + " has no attempt " + std::to_string(*attempt),
              "it has had " + std::to_string(job.attempts.size()));
}

LogPlace place_of(const Services& services, const Request& request, const model::Job& job) {
  const auto stream = request.query_value("stream").value_or("job");
  if (stream == "job") {
    const auto attempt = whole_number(request, "attempt");
    const int launch = launch_of(job, attempt);
    const auto directory = services.workplaces.directory(job.id, launch);
    return {os::join(directory, shim::kLogFile), os::join(directory, shim::kLogIndexFile), launch,
            launch == launch_of(job, std::nullopt)};
  }
  if (stream != "build" && stream != "agent")
    throw Error(Code::invalid, "query parameter 'stream' must be job, build or agent");
  const auto path = services.workplaces.side_log(job.id, stream);
  return {path, path + ".index", 0, false};
}

std::uint64_t start_offset(const Request& request, const LogPlace& place) {
  if (const auto offset = whole_number(request, "offset")) return static_cast<std::uint64_t>(*offset);
  const auto lines = whole_number(request, "tail");
  const auto since = request.query_value("since");
  const auto time = since ? parse_rfc3339(*since) : std::nullopt;
  if (since && !time)
    throw Error(Code::invalid, "query parameter 'since' must be a time such as 2026-03-14T15:09:26Z");
  if (!os::exists(place.log)) return 0;
  if (lines) return logs::LogReader(place.log, place.index).tail(static_cast<std::uint64_t>(*lines));
  if (time) return logs::LogReader(place.log, place.index).since(*time);
  return 0;
}

// Of what had ended by then; the launch of a later attempt has a log of its own.
void refuse_removed(const model::Job& job, const LogPlace& place) {
  if (!job.log_removed) return;
  for (const auto& attempt : job.attempts)
    if (attempt.launch == place.launch && attempt.ended && *attempt.ended > job.log_removed->time) return;
  throw Error(Code::not_found, "the log of " + job.id + " was removed " + model::to_words(*job.log_removed),
              "its record" + std::string(job.outputs_removed ? " is" : " and its outputs are") + " kept: `berth show " +
                  job.id + "`");
}

// Nothing where nothing is to be hidden, or its owner wants all of it.
async::Task<std::shared_ptr<const logs::Mask>> mask_for(Services& services, Request& request, const model::Job& job) {
  if (request.query_value("masked") && !flag(request, "masked")) {
    services.access.require_control(request.peer, job);
    co_return nullptr;
  }
  auto mask = co_await async::attempt(services.jobs.mask_of(job));
  if (mask) co_return std::move(*mask);
  auto error = mask.error();
  error.add_context("hiding them in its log; its owner reads it as it is with `berth logs --no-mask`");
  throw error;
}

async::Task<Response> read_log(Services& services, Request& request) {
  const auto job = services.resolve(request);
  services.access.require_content(request.peer, job);
  const auto place = place_of(services, request, job);
  const auto offset = start_offset(request, place);
  http::Response::Writer writer;
  if (flag(request, "follow") && place.latest && !services.jobs.is_final(job.sequence)) {
    writer = [&services, job = job.sequence, id = job.id, launch = place.launch, offset](http::Stream& out) {
      return follow_log(out, services.jobs, services.workplaces, services.watcher, job, id, launch, offset);
    };
  } else if (os::exists(place.log)) {
    writer = [place, offset](http::Stream& out) { return send_log(out, place.log, place.index, offset); };
  } else {
    refuse_removed(job, place);
    co_return Response::text("").set("Berth-Log-Offset", "0");
  }
  auto mask = co_await mask_for(services, request, job);
  if (mask) {
    auto before = log_before(place.log, offset, *mask);
    writer = masked(std::move(writer), std::move(mask), std::move(before), services.pool);
  }
  auto response = Response::stream("text/plain; charset=utf-8", std::move(writer));
  response.set("Berth-Log-Offset", std::to_string(offset));
  co_return response;
}

async::Task<Response> read_index(Services& services, Request& request) {
  const auto job = services.resolve(request);
  services.access.require_content(request.peer, job);
  const auto place = place_of(services, request, job);
  if (!os::exists(place.log)) refuse_removed(job, place);
  json entries = json::array();
  for (const auto& mark : logs::IndexReader(place.index).marks())
    entries.push_back({mark.size, to_unix_micros(mark.time)});
  co_return Response::json(json{{"entries", std::move(entries)}}.dump());
}

}  // namespace

void add_log_routes(http::Router& router, Services& services) {
  router.add("GET", "/v1/jobs/{id}/log", [&](Request& request) { return read_log(services, request); });
  router.add("GET", "/v1/jobs/{id}/log/index", [&](Request& request) { return read_index(services, request); });
}

}  // namespace berth::api
