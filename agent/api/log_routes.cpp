#include <fcntl.h>

#include "agent/api/log_stream.hpp"
#include "agent/api/masked_log.hpp"
#include "agent/api/query.hpp"
#include "agent/api/services.hpp"
#include "agent/wire/content.hpp"
#include "runtime/async/attempt.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/logs/reader.hpp"
#include "runtime/os/file.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::api {
namespace {

using http::Request;
using http::Response;
using model::Principal;

struct LogPlace {
  std::string log;
  std::string index;
  int attempt = 0;      // of the job's own output
  int launch = 0;       // of the job's own output
  bool latest = true;   // of the job's own output: what it writes from now on goes here
};

// An attempt with its launch.
struct Launched {
  int attempt = 0;
  int launch = 0;
};

Launched latest_launch(const model::Job& job) {
  if (job.attempts.empty()) return {};
  return {job.attempts.back().number, job.attempts.back().launch};
}

// Of the attempt asked for; the latest for none given; zeros before the first. Of a live job the attempt after the last
// is one that may come.
Launched launch_of(const Services& services, const model::Job& job, std::optional<std::int64_t> attempt) {
  const auto latest = latest_launch(job);
  if (!attempt) return latest;
  for (const auto& candidate : job.attempts)
    if (candidate.number == *attempt) return {candidate.number, candidate.launch};
  const Launched next{latest.attempt + 1, latest.launch + 1};
  if (*attempt == next.attempt && !services.jobs.is_final(job.sequence)) return next;
  throw Error(Code::not_found, job.id + " has no attempt " + std::to_string(*attempt),
              "it has had " + std::to_string(job.attempts.size()));
}

LogPlace place_of(const Services& services, const Request& request, const model::Job& job) {
  const auto stream = request.query_value("stream").value_or("job");
  if (stream == "job") {
    const auto attempt = whole_number(request, "attempt");
    const auto [number, launch] = launch_of(services, job, attempt);
    const auto directory = services.directories.directory(job.id, launch);
    return {os::join(directory, shim::kLogFile), os::join(directory, shim::kLogIndexFile), number, launch,
            launch >= latest_launch(job).launch};
  }
  if (stream != "build" && stream != "agent")
    throw Error(Code::invalid, "query parameter 'stream' must be job, build or agent");
  const auto path = services.directories.side_log(job.id, stream);
  return {path, path + ".index", 0, 0, false};
}

struct Start {
  std::uint64_t offset = 0;
  bool gave_up = false;  // what was asked for lies further back
};

// Searching a long log takes time, which is the pool's.
async::Task<Start> start_of(Services& services, const Principal& who, const Request& request, const LogPlace place) {
  if (const auto offset = whole_number(request, "offset")) co_return Start{static_cast<std::uint64_t>(*offset), false};
  const auto lines = whole_number(request, "tail");
  const auto since = request.query_value("since");
  const auto time = since ? parse_rfc3339(*since) : std::nullopt;
  if (since && !time) throw Error(Code::invalid, "query parameter 'since' must be a time such as 2026-03-14T15:09:26Z");
  if ((!lines && !time) || !os::exists(place.log)) co_return Start{};
  auto search = [&] {
    logs::LogReader reader(place.log, place.index);
    const auto offset = lines ? reader.tail(static_cast<std::uint64_t>(*lines)) : reader.since(*time);
    return Start{offset, reader.gave_up()};
  };
  const auto share = co_await services.shares.take(who.limit_key());
  co_return co_await async::offload(services.pool, search);
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

// Nothing where its owner wants all of it.
async::Task<std::shared_ptr<const logs::Mask>> mask_for(Services& services, const Principal& who, Request& request,
                                                        const model::Job& job) {
  if (request.query_value("masked") && !flag(request, "masked")) {
    services.access.require_control(who, job);
    co_return nullptr;
  }
  const auto share = co_await services.shares.take(who.limit_key());
  auto mask = co_await async::attempt(services.jobs.mask_of(job.sequence, who));
  if (mask) co_return std::move(*mask);
  auto error = mask.error();
  error.add_context("hiding them in its log; its owner reads it as it is with `berth logs --no-mask`");
  throw error;
}

// What reads the log as it is wanted; nothing where there is none.
LogWriter writer_of(Services& services, const Principal& who, const Request& request, const model::Job& job,
                    const LogPlace& place, std::uint64_t offset) {
  if (flag(request, "follow") && place.latest && !services.jobs.is_final(job.sequence)) {
    Following what;
    what.job = job.sequence;
    what.id = job.id;
    what.reader = who.limit_key();
    what.launch = place.launch;
    what.offset = offset;
    if (const auto attempt = whole_number(request, "attempt")) what.attempt = static_cast<int>(*attempt);
    return [&services, what](LogSink& out) { return follow_log(out, services, what); };
  }
  if (!os::exists(place.log)) return nullptr;
  return [place, offset](LogSink& out) { return send_log(out, place.log, place.index, place.attempt, offset); };
}

async::Task<Response> read_log(Services& services, const Principal& who, Request& request) {
  const auto job = services.resolve(who, request);
  services.access.require_content(who, job);
  const auto place = place_of(services, request, job);
  const auto start = co_await start_of(services, who, request, place);
  const auto form = log_form(request);
  auto writer = writer_of(services, who, request, job, place, start.offset);
  if (!writer) {
    refuse_removed(job, place);
    co_return no_log_response(form).set("Berth-Log-Offset", "0");
  }
  auto mask = co_await mask_for(services, who, request, job);
  if (mask && !mask->empty()) {
    auto before = log_before(place.log, start.offset, *mask);
    const MaskingLane lane{services.jobs.masks().lanes(), who.limit_key()};
    writer = masked(std::move(writer), std::move(mask), std::move(before), lane);
  }
  auto response = log_response(form, std::move(writer));
  response.set("Berth-Log-Offset", std::to_string(start.offset));
  if (start.gave_up)
    response.set("Berth-Log-Note",
                 "only the last " + to_text(ByteSize(logs::LogReader::kFarthestBack)) + " were searched");
  co_return response;
}

async::Task<Response> read_index(Services& services, const Principal& who, Request& request) {
  const auto job = services.resolve(who, request);
  services.access.require_content(who, job);
  const auto place = place_of(services, request, job);
  if (!os::exists(place.log)) refuse_removed(job, place);
  auto read = [&] {
    wire::LogIndex index;
    for (const auto& mark : logs::IndexReader(place.index).marks())
      index.entries.push_back({static_cast<std::int64_t>(mark.size), to_unix_micros(mark.time)});
    return text_of(index);
  };
  const auto share = co_await services.shares.take(who.limit_key());
  auto index = co_await async::offload(services.pool, read);
  co_return Response::json(std::move(index));
}

}  // namespace

void add_log_routes(http::Router& router, Services& services) {
  add_route(router, services, "GET", "/v1/jobs/{id}/log", read_log);
  add_route(router, services, "GET", "/v1/jobs/{id}/log/index", read_index);
}

}  // namespace berth::api
