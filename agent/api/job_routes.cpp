#include <malloc.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/api/query.hpp"
#include "agent/api/services.hpp"
#include "agent/api/view.hpp"
#include "agent/wire/job.hpp"
#include "agent/wire/json_list.hpp"
#include "agent/wire/json_text.hpp"
#include "agent/wire/secrets.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/os/identity.hpp"

namespace berth::api {
namespace {

using http::Request;
using http::Response;
using model::Principal;
using nlohmann::json;

constexpr ByteSize kLargestSubmission = 32_MiB;
constexpr ByteSize kLargestRequest = 8_MiB;  // of one job
constexpr std::size_t kMostValues = 1'000'000;  // of the JSON of all jobs of a submission, and of one
constexpr std::size_t kMostValuesOfOne = 50'000;
constexpr std::size_t kMostJobs = 10'000;       // in one submission or list
constexpr std::size_t kParsedOnLoop = 64U << 10;  // larger bodies are parsed on the pool
constexpr std::size_t kManyJobs = 100;
constexpr std::size_t kPage = 1000;             // jobs of a list, unless said otherwise
constexpr std::size_t kRows = 50;               // of a list that are worked on at once
constexpr std::size_t kExplained = 200;         // jobs of a list whose waiting is told

// Reading and writing a large record takes as long as many small ones: that is the pool's, in its user's turn.
async::Task<Response> large_response(Services& services, const Principal who, const store::Sequence sequence) {
  const auto share = co_await services.shares.take(who.limit_key());
  auto job = co_await services.store.read(sequence);
  if (!job) throw Error(Code::not_found, "the job was forgotten meanwhile");
  services.jobs.complete(*job);
  const auto shown = shown_to(who, services.access, services.jobs, std::move(*job));
  auto write = [&] { return dumped(shown); };
  auto text = co_await async::offload(services.pool, write);
  co_return Response::json(std::move(text));
}

async::Task<Response> job_response(Services& services, const Principal who, const store::Sequence sequence) {
  if (services.store.request_bytes(sequence) > kParsedOnLoop)
    co_return co_await large_response(services, who, sequence);
  auto job = co_await services.store.read(sequence);
  if (!job) throw Error(Code::not_found, "the job was forgotten meanwhile");
  services.jobs.complete(*job);
  co_return Response::json(dumped(shown_to(who, services.access, services.jobs, std::move(*job))));
}

// What somebody may see of a job whose columns are here.
async::Task<Response> show(Services& services, const Principal& who, Request& request) {
  const auto job = services.resolve(who, request);
  if (services.access.sight(who, job) == Access::Sight::outline)
    co_return Response::json(dumped(shown_to(who, services.access, services.jobs, job)));
  co_return co_await job_response(services, who, job.sequence);
}

// Gives freed memory back to the machine when it goes out of scope.
class TrimAfter {
 public:
  explicit TrimAfter(bool wanted) : wanted_(wanted) {}
  TrimAfter(const TrimAfter&) = delete;
  TrimAfter& operator=(const TrimAfter&) = delete;
  ~TrimAfter() {
    if (wanted_) ::malloc_trim(0);
  }

 private:
  bool wanted_;
};

struct Submission {
  std::vector<model::JobRequest> requests;
  jobs::SubmittedSecrets secrets;  // of the requests before the first with some there need be none

  void add(json request) {
    auto own = wire::take_secrets(request);
    requests.push_back(wire::request_from(request));
    model::validate(requests.back());
    if (own.empty()) return;
    secrets.resize(requests.size());
    secrets.back() = std::move(own);
  }
};

[[noreturn]] void refuse_shape() {
  throw Error(Code::invalid, "a submission must be one job request or {\"jobs\": [requests]}");
}

void refuse_many(std::size_t jobs) {
  if (jobs > kMostJobs)
    throw Error(Code::too_large, "at most " + std::to_string(kMostJobs) + " jobs can be submitted at once");
}

void refuse_large(std::string_view request) {
  if (request.size() > kLargestRequest.bytes())
    throw Error(Code::too_large, "a job request is larger than the " + to_text(kLargestRequest) + " allowed for one");
}

// One request after the other, each forgotten before the next is read.
Submission parse_list(const std::vector<std::string_view>& texts) {
  refuse_many(texts.size());
  Submission submission;
  submission.requests.reserve(texts.size());
  std::size_t left = kMostValues;
  for (const auto text : texts) {
    refuse_large(text);
    wire::JsonBudget budget{std::min(kMostValuesOfOne, left)};
    const auto before = budget.values;
    submission.add(wire::parse_json(text, budget));
    left -= before - budget.values;
  }
  return submission;
}

Submission parse_submission(std::string_view text) {
  if (const auto texts = wire::elements_of(text, "jobs", kMostJobs)) return parse_list(*texts);
  refuse_large(text);
  wire::JsonBudget budget{kMostValuesOfOne};
  auto body = wire::parse_json(text, budget);
  Submission submission;
  if (body.is_object() && body.contains("jobs")) {
    if (body.size() != 1 || !body["jobs"].is_array() || body["jobs"].empty()) refuse_shape();
    refuse_many(body["jobs"].size());
    for (auto& request : body["jobs"]) submission.add(std::move(request));
  } else {
    submission.add(std::move(body));
  }
  return submission;
}

std::string accepted(const std::vector<store::Submitted>& submitted) {
  wire::Submitted answer;
  answer.jobs.reserve(submitted.size());
  for (const auto& one : submitted) answer.jobs.push_back({one.job.id, one.job.sequence, one.job.state, one.existed});
  return text_of(answer);
}

async::Task<Response> submit(Services& services, const Principal& who, Request& request) {
  const auto viewer = services.access.viewer(who);
  const auto uid = viewer.uid;
  auto text = co_await request.read_body(kLargestSubmission);
  Submission submission;
  auto parse = [&] {
    const auto unread = std::move(text);  // gone when this returns
    // What a large one needed, or one that was refused, is many times what stays of it.
    const TrimAfter trim(unread.size() > kParsedOnLoop);
    submission = parse_submission(unread);
  };
  if (text.size() > kParsedOnLoop) {
    const auto share = co_await services.shares.take(who.limit_key());
    co_await async::offload(services.pool, parse);
  } else {
    parse();
  }
  const auto user = co_await services.jobs.user_name(uid);
  std::vector<store::NewJob> jobs;
  jobs.reserve(submission.requests.size());
  for (auto& each : submission.requests) {
    store::NewJob job;
    job.request = std::move(each);
    job.uid = uid;
    job.user = user;
    job.reads_jobs = viewer.reads_jobs;
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
  const auto limit = static_cast<std::size_t>(whole_number(request, "limit").value_or(kPage));
  if (limit == 0 || limit > kMostJobs)
    throw Error(Code::invalid, "query parameter 'limit' must be from 1 to " + std::to_string(kMostJobs));
  return limit;
}

// A few rows at a time: a list costs no more memory than these, lets everybody else in between, and is not computed
// further when its reader has gone.
async::Task<> send_rows(http::Stream& out, Services& services, Principal who, std::vector<store::Sequence> sequences,
                        json next) {
  std::string text = R"({"next":)" + next.dump() + R"(,"jobs":[)";
  std::size_t told = 0;
  for (std::size_t begin = 0; begin < sequences.size(); begin += kRows) {
    const auto first = sequences.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto count = std::min(kRows, sequences.size() - begin);
    std::vector<store::Sequence> some(first, first + static_cast<std::ptrdiff_t>(count));
    std::vector<store::ListedJob> rows;
    {
      const auto share = co_await services.shares.take(who.limit_key());
      rows = co_await services.store.listed(std::move(some));
    }
    for (auto& row : rows) {
      services.jobs.complete(row.job);
      if (told > 0) text += ',';
      const auto explain = told++ < kExplained ? Explain::yes : Explain::no;
      text += dumped(row_for(who, services.access, services.jobs, std::move(row), explain));
    }
    co_await out.write(text);
    text.clear();
  }
  text += "]}";
  co_await out.write(text);
}

Response rows(Services& services, const Principal& who, std::vector<store::Sequence> sequences, json next) {
  auto send = [&services, who, sequences = std::move(sequences), next = std::move(next)](http::Stream& out) {
    return send_rows(out, services, who, sequences, next);
  };
  return Response::stream("application/json", std::move(send));
}

// The live jobs as the queue has them, from its front.
Response list_in_queue_order(Services& services, const Principal& who, const Request& request) {
  for (const auto* other : {"all", "before", "mine"})
    if (request.query_value(other))
      throw Error(Code::invalid, std::string("query parameter '") + other + "' does not go with order=queue");
  return rows(services, who, services.jobs.in_order(limit_of(request)), nullptr);
}

async::Task<Response> list(Services& services, const Principal& who, Request& request) {
  const auto order = request.query_value("order").value_or("submission");
  if (order == "queue") co_return list_in_queue_order(services, who, request);
  if (order != "submission") throw Error(Code::invalid, "query parameter 'order' must be submission or queue");
  const auto uid = services.access.submitter(who);
  const auto limit = limit_of(request);
  store::Filter filter;
  filter.limit = limit + 1;  // whether there is a next page
  if (const auto before = whole_number(request, "before")) filter.before = store::Sequence(*before);
  if (flag(request, "mine")) filter.uid = uid;
  if (!flag(request, "all"))
    filter.states = {model::State::preparing, model::State::queued, model::State::running, model::State::finalizing,
                     model::State::cancel_requested};
  std::vector<store::Sequence> sequences;
  {
    const auto share = co_await services.shares.take(who.limit_key());
    sequences = co_await services.store.list(std::move(filter));
  }
  json next;
  if (sequences.size() > limit) {
    sequences.resize(limit);
    next = sequences.back().value();
  }
  std::reverse(sequences.begin(), sequences.end());
  co_return rows(services, who, std::move(sequences), std::move(next));
}

async::Task<Response> cancel(Services& services, const Principal& who, Request& request) {
  const auto job = services.resolve(who, request);
  services.access.require_control(who, job);
  auto by = co_await services.jobs.name_of(who);
  co_await services.jobs.cancel(job.sequence, std::move(by));
  co_return co_await job_response(services, who, job.sequence);
}

async::Task<Response> set_held(Services& services, const Principal& who, Request& request, bool held) {
  const auto job = services.resolve(who, request);
  services.access.require_control(who, job);
  auto by = co_await services.jobs.name_of(who);
  co_await services.jobs.set_held(job.sequence, held, std::move(by));
  co_return co_await job_response(services, who, job.sequence);
}

async::Task<Response> hold(Services& services, const Principal& who, Request& request) {
  return set_held(services, who, request, true);
}

async::Task<Response> release(Services& services, const Principal& who, Request& request) {
  return set_held(services, who, request, false);
}

async::Task<Response> set_priority(Services& services, const Principal& who, Request& request) {
  const auto job = services.resolve(who, request);
  services.access.require_control(who, job);
  const auto body = wire::parse_json(co_await request.read_body(ByteSize(1 << 16)));
  const auto change = message_from<wire::PriorityChange>(body, "priority change", Unknown::refused);
  auto by = co_await services.jobs.name_of(who);
  co_await services.jobs.set_priority(job.sequence, change.priority, std::move(by));
  co_return co_await job_response(services, who, job.sequence);
}

async::Task<Response> retry(Services& services, const Principal& who, Request& request) {
  const auto job = services.resolve(who, request);
  services.access.require_control(who, job);
  auto by = co_await services.jobs.name_of(who);
  co_await services.jobs.retry(job.sequence, std::move(by));
  co_return co_await job_response(services, who, job.sequence);
}

async::Task<> send_when_final(http::Stream& out, Services& services, Principal who, store::Sequence sequence,
                              std::optional<std::int64_t> timeout_ms) {
  auto ended = services.jobs.wait_until_final(sequence);
  if (timeout_ms) {
    auto limit = async::sleep_for(std::chrono::milliseconds(*timeout_ms));
    co_await async::run_until(std::move(ended), std::move(limit));
  } else {
    co_await std::move(ended);
  }
  const auto response = co_await job_response(services, who, sequence);
  co_await out.write(response.body());
}

// A stream, so that it ends at once when the client goes away or the agent stops.
async::Task<Response> wait(Services& services, const Principal& who, Request& request) {
  const auto job = services.resolve(who, request);
  const auto timeout = whole_number(request, "timeout_ms");
  const auto answer = [&services, who, sequence = job.sequence, timeout](http::Stream& out) {
    return send_when_final(out, services, who, sequence, timeout);
  };
  co_return Response::stream("application/json", answer);
}

}  // namespace

void add_job_routes(http::Router& router, Services& services) {
  add_route(router, services, "POST", "/v1/jobs", submit);
  add_route(router, services, "GET", "/v1/jobs", list);
  add_route(router, services, "GET", "/v1/jobs/{id}", show);
  add_route(router, services, "POST", "/v1/jobs/{id}/cancel", cancel);
  add_route(router, services, "POST", "/v1/jobs/{id}/hold", hold);
  add_route(router, services, "POST", "/v1/jobs/{id}/release", release);
  add_route(router, services, "POST", "/v1/jobs/{id}/priority", set_priority);
  add_route(router, services, "POST", "/v1/jobs/{id}/retry", retry);
  add_route(router, services, "GET", "/v1/jobs/{id}/wait", wait);
}

}  // namespace berth::api
