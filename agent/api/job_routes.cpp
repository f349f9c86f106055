#include <malloc.h>

#include <nlohmann/json.hpp>

#include "agent/api/query.hpp"
#include "agent/api/services.hpp"
#include "agent/model/json.hpp"
#include "agent/model/secrets.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/os/identity.hpp"

namespace berth::api {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;

constexpr ByteSize kLargestSubmission = 64_MiB;
constexpr std::size_t kMostJobs = 10'000;       // in one submission or list
constexpr std::size_t kParsedOnLoop = 64U << 10;  // larger bodies are parsed on the pool
constexpr std::size_t kManyJobs = 100;
constexpr std::size_t kExplained = 200;         // jobs of a list whose waiting is told

json job_json(const Services& services, const model::Job& job) {
  auto out = model::to_json(job);
  if (const auto waiting = services.jobs.why_waiting(job.sequence)) out["waiting"] = *waiting;
  return out;
}

Response job_response(const Services& services, store::Sequence sequence) {
  auto job = services.store.find(sequence);
  if (!job) throw Error(Code::not_found, "the job was forgotten meanwhile");
  services.jobs.complete(*job);
  return Response::json(job_json(services, *job).dump());
}

struct Submission {
  std::vector<model::JobRequest> requests;
  jobs::SubmittedSecrets secrets;  // of the requests before the first with some there need be none

  void add(json& request) {
    auto own = model::take_secrets(request);
    requests.push_back(model::request_from_json(request));
    model::validate(requests.back());
    if (own.empty()) return;
    secrets.resize(requests.size());
    secrets.back() = std::move(own);
  }
};

Submission parse_submission(const std::string& text) {
  auto body = model::parse_json(text);
  Submission submission;
  if (!body.is_object() || !body.contains("jobs")) {
    submission.add(body);
  } else {
    if (body.size() != 1 || !body["jobs"].is_array() || body["jobs"].empty())
      throw Error(Code::invalid, "a submission must be one job request or {\"jobs\": [requests]}");
    if (body["jobs"].size() > kMostJobs)
      throw Error(Code::too_large, "at most " + std::to_string(kMostJobs) + " jobs can be submitted at once");
    submission.requests.reserve(body["jobs"].size());
    for (auto& request : body["jobs"]) submission.add(request);
  }
  return submission;
}

std::string accepted(const std::vector<store::Submitted>& submitted) {
  json jobs = json::array();
  for (const auto& [job, existed] : submitted)
    jobs.push_back({{"id", job.id}, {"sequence", job.sequence}, {"state", model::name(job.state)}, {"known", existed}});
  return json{{"jobs", std::move(jobs)}}.dump();
}

async::Task<Response> submit(Services& services, Request& request) {
  const auto uid = services.access.submitter(request.peer);
  const auto text = co_await request.read_body(kLargestSubmission);
  Submission submission;
  auto parse = [&] { submission = parse_submission(text); };
  if (text.size() > kParsedOnLoop)
    co_await async::offload(services.pool, parse);
  else
    parse();
  const auto user = os::user_name(uid);
  std::vector<store::NewJob> jobs;
  jobs.reserve(submission.requests.size());
  for (auto& each : submission.requests) {
    store::NewJob job;
    job.request = std::move(each);
    job.uid = uid;
    job.user = user;
    jobs.push_back(std::move(job));
  }
  submission.requests.clear();
  const bool many = jobs.size() > kManyJobs;
  auto submitted = co_await services.jobs.submit(std::move(jobs), std::move(submission.secrets));
  auto answer = accepted(submitted);
  submitted.clear();
  if (many) ::malloc_trim(0);  // what taking them needed is many times what waiting jobs need
  co_return Response::json(std::move(answer), 201);
}

std::size_t limit_of(const Request& request) {
  const auto limit = static_cast<std::size_t>(whole_number(request, "limit").value_or(1000));
  if (limit == 0 || limit > kMostJobs)
    throw Error(Code::invalid, "query parameter 'limit' must be from 1 to " + std::to_string(kMostJobs));
  return limit;
}

// The live jobs as the queue has them, from its front.
Response list_in_queue_order(Services& services, const Request& request) {
  services.access.submitter(request.peer);
  for (const auto* other : {"all", "before", "mine"})
    if (request.query_value(other))
      throw Error(Code::invalid, std::string("query parameter '") + other + "' does not go with order=queue");
  json out = json::array();
  std::size_t explained = 0;
  for (const auto sequence : services.jobs.in_order(limit_of(request))) {
    auto job = services.store.find(sequence);
    if (!job) continue;
    services.jobs.complete(*job);
    out.push_back(explained++ < kExplained ? job_json(services, *job) : model::to_json(*job));
  }
  return Response::json(json{{"jobs", std::move(out)}}.dump());
}

async::Task<Response> list(Services& services, Request& request) {
  const auto order = request.query_value("order").value_or("submission");
  if (order == "queue") co_return list_in_queue_order(services, request);
  if (order != "submission") throw Error(Code::invalid, "query parameter 'order' must be submission or queue");
  const auto uid = services.access.submitter(request.peer);
  store::Filter filter;
  filter.limit = limit_of(request);
  filter.before = whole_number(request, "before");
  if (flag(request, "mine")) filter.uid = uid;
  if (!flag(request, "all"))
    filter.states = {model::State::preparing, model::State::queued, model::State::running, model::State::finalizing,
                     model::State::cancel_requested};
  auto jobs = co_await services.store.list(std::move(filter));
  json out = json::array();
  std::size_t explained = 0;
  for (auto job = jobs.rbegin(); job != jobs.rend(); ++job) {
    services.jobs.complete(*job);
    out.push_back(explained++ < kExplained ? job_json(services, *job) : model::to_json(*job));
  }
  co_return Response::json(json{{"jobs", std::move(out)}}.dump());
}

async::Task<Response> cancel(Services& services, Request& request) {
  const auto job = services.resolve(request);
  services.access.require_control(request.peer, job);
  co_await services.jobs.cancel(job.sequence, os::user_name(request.peer.uid));
  co_return job_response(services, job.sequence);
}

async::Task<Response> set_held(Services& services, Request& request, bool held) {
  const auto job = services.resolve(request);
  services.access.require_control(request.peer, job);
  co_await services.jobs.set_held(job.sequence, held);
  co_return job_response(services, job.sequence);
}

async::Task<Response> set_priority(Services& services, Request& request) {
  const auto job = services.resolve(request);
  services.access.require_control(request.peer, job);
  const auto body = model::parse_json(co_await request.read_body(ByteSize(1 << 16)));
  if (!body.is_object() || body.size() != 1 || !body.contains("priority") || !body["priority"].is_number_integer())
    throw Error(Code::invalid, "the body must be {\"priority\": N} with a whole number");
  const auto priority = body["priority"].get<std::int64_t>();
  if (priority < model::kMinPriority || priority > model::kMaxPriority)
    throw Error(Code::invalid, "'priority' must be a whole number from " + std::to_string(model::kMinPriority) + " to " +
                                   std::to_string(model::kMaxPriority));
  co_await services.jobs.set_priority(job.sequence, static_cast<int>(priority));
  co_return job_response(services, job.sequence);
}

async::Task<Response> retry(Services& services, Request& request) {
  const auto job = services.resolve(request);
  services.access.require_control(request.peer, job);
  co_await services.jobs.retry(job.sequence);
  co_return job_response(services, job.sequence);
}

async::Task<> send_when_final(http::Stream& out, Services& services, store::Sequence sequence,
                              std::optional<std::int64_t> timeout_ms) {
  auto ended = services.jobs.wait_until_final(sequence);
  if (timeout_ms) {
    auto limit = async::sleep_for(std::chrono::milliseconds(*timeout_ms));
    co_await async::run_until(std::move(ended), std::move(limit));
  } else {
    co_await std::move(ended);
  }
  const auto response = job_response(services, sequence);
  co_await out.write(response.body());
}

// A stream, so that it ends at once when the client goes away or the agent stops.
async::Task<Response> wait(Services& services, Request& request) {
  const auto job = services.resolve(request);
  const auto timeout = whole_number(request, "timeout_ms");
  co_return Response::stream("application/json", [&services, sequence = job.sequence, timeout](http::Stream& out) {
    return send_when_final(out, services, sequence, timeout);
  });
}

}  // namespace

void add_job_routes(http::Router& router, Services& services) {
  router.add("POST", "/v1/jobs", [&](Request& request) { return submit(services, request); });
  router.add("GET", "/v1/jobs", [&](Request& request) { return list(services, request); });
  router.add("GET", "/v1/jobs/{id}", [&](Request& request) -> async::Task<Response> {
    co_return Response::json(job_json(services, services.resolve(request)).dump());
  });
  router.add("POST", "/v1/jobs/{id}/cancel", [&](Request& request) { return cancel(services, request); });
  router.add("POST", "/v1/jobs/{id}/hold", [&](Request& request) { return set_held(services, request, true); });
  router.add("POST", "/v1/jobs/{id}/release", [&](Request& request) { return set_held(services, request, false); });
  router.add("POST", "/v1/jobs/{id}/priority", [&](Request& request) { return set_priority(services, request); });
  router.add("POST", "/v1/jobs/{id}/retry", [&](Request& request) { return retry(services, request); });
  router.add("GET", "/v1/jobs/{id}/wait", [&](Request& request) { return wait(services, request); });
}

}  // namespace berth::api
