#include "agent/cli/agent.hpp"

#include <charconv>
#include <nlohmann/json.hpp>

#include "agent/cli/connection.hpp"
#include "agent/cli/output.hpp"
#include "agent/wire/content.hpp"
#include "agent/wire/job.hpp"
#include "agent/wire/json_text.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"

namespace berth::cli {
namespace {

using nlohmann::json;

constexpr std::string_view kLast = "@last";

std::string_view name(LogStream stream) {
  switch (stream) {
    case LogStream::build:
      return "build";
    case LogStream::agent:
      return "agent";
    case LogStream::job:
      break;
  }
  return "job";
}

[[noreturn]] void not_understood(const char* what) {
  throw Error(Code::internal, std::string("the agent's answer has no ") + what,
              "berth and berthd are of different versions: use those of one package");
}

const json& member(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key)) not_understood(key);
  return object.at(key);
}

JobRecord record_of(const json& object) {
  auto seen = wire::job_from(object);
  JobRecord record;
  record.job = std::move(seen.job);
  record.waiting = std::move(seen.waiting);
  record.title = std::move(seen.title);
  record.outline = seen.outline;
  return record;
}

// The byte at which the answer starts that has this header.
std::uint64_t start_in(const http::Headers& headers) {
  const auto header = headers.find("Berth-Log-Offset");
  std::uint64_t offset = 0;
  if (!header || std::from_chars(header->data(), header->data() + header->size(), offset).ec != std::errc())
    not_understood("Berth-Log-Offset header");
  return offset;
}

// A log as the agent sends it, in frames. An agent from before there were any sends the text alone, as it may until it
// is started anew after an upgrade. Then bytes are all there is to count, those of a line for a hole too, so that going
// on behind such a line repeats or leaves out some.
class LogAnswer {
 public:
  LogAnswer(int attempt, const Agent::OnFrame& on_frame) : on_frame_(on_frame) { bare_.attempt = attempt; }

  void begin(const http::Headers& headers) {
    framed_ = headers.find("Content-Type") == model::kLogFrames;
    if (!framed_) bare_.end = start_in(headers);
  }

  bool take(std::string_view bytes) {
    if (framed_) return decoder_.feed(bytes, on_frame_);
    bare_.begin = bare_.end;
    bare_.end += bytes.size();
    bare_.text = bytes;
    return on_frame_(bare_);
  }

  void end() const { decoder_.finish(); }

 private:
  const Agent::OnFrame& on_frame_;
  bool framed_ = false;
  model::LogFrameDecoder decoder_;
  model::LogFrame bare_;  // the latest piece of text alone
};

}  // namespace

std::string job_target(const std::string& reference, std::string_view suffix) {
  if (reference != kLast && !model::is_job_id(reference))
    throw Error(Code::invalid, "'" + printable(reference) + "' names no job",
                "give an id such as brave-heron-7k2m, the beginning of one, or @last; `berth ps -a` lists them");
  return "/v1/jobs/" + reference + std::string(suffix);
}

std::string log_target(const std::string& reference, const LogQuery& query) {
  auto target = job_target(reference, "/log");
  char separator = '?';
  const auto add = [&](std::string_view key, std::string_view value) {
    ((((target += separator) += key) += '=') += value);
    separator = '&';
  };
  if (query.stream != LogStream::job) add("stream", name(query.stream));
  if (query.attempt) add("attempt", std::to_string(*query.attempt));
  if (query.offset) add("offset", std::to_string(*query.offset));
  if (query.tail) add("tail", std::to_string(*query.tail));
  if (query.since) add("since", to_rfc3339(*query.since));
  if (query.unmasked) add("masked", "0");
  if (query.follow) add("follow", "1");
  return target;
}

JobRecord record_from_json(std::string text) {
  auto record = record_of(wire::parse_json(text));
  record.json = std::move(text);
  return record;
}

JobList list_from_json(std::string text) {
  JobList list;
  const auto answer = wire::parse_json(text);  // named: the loop refers into it
  for (const auto& object : member(answer, "jobs")) list.jobs.push_back(record_of(object));
  list.json = std::move(text);
  return list;
}

LogIndex index_from_json(std::string_view text) {
  LogIndex index;
  const auto answer = message_from<wire::LogIndex>(wire::parse_json(text), "the agent's answer");
  for (const auto& entry : answer.entries) {
    if (entry.size() != 2 || entry[0] < 0) not_understood("log index entry");
    index.emplace_back(static_cast<std::uint64_t>(entry[0]), from_unix_micros(entry[1]));
  }
  return index;
}

namespace {

http::Client::Options may_restart(http::Client::Options options) {
  options.may_restart = true;
  return options;
}

}  // namespace

Agent::Agent(std::string socket, http::Client::Options options)
    : socket_(std::move(socket)), client_(connection_to(socket_, options), may_restart(options)) {}

// The submission_id makes a repetition the same job, so a broken connection is no reason to give up.
Submitted Agent::submit(const model::JobRequest& request, const model::Attachments& attachments) {
  const auto body = text_of(wire::SubmittedRequest{request, attachments});
  std::string answer;
  try {
    answer = post("/v1/jobs", body);
  } catch (const Error& error) {
    if (error.code() != Code::unavailable && error.code() != Code::io) throw;
  }
  if (answer.empty()) answer = post("/v1/jobs", body);
  const auto parsed = wire::parse_json(answer);
  const auto submitted = message_from<wire::Submitted>(parsed, "the agent's answer");
  if (submitted.jobs.empty()) not_understood("job");
  return {submitted.jobs.front().id.value(), text_of(submitted.jobs.front())};
}

JobRecord Agent::job(const std::string& reference) { return record_from_json(get(job_target(reference))); }

JobList Agent::jobs(bool all, bool mine, int limit) {
  std::string target = "/v1/jobs?limit=" + std::to_string(limit);
  if (all) target += "&all=1";
  if (mine) target += "&mine=1";
  return list_from_json(get(target));
}

JobRecord Agent::wait(const std::string& reference) { return record_from_json(get(job_target(reference, "/wait"))); }

JobRecord Agent::act(const std::string& reference, std::string_view action, std::string_view body) {
  return record_from_json(post(job_target(reference, "/" + std::string(action)), body));
}

void Agent::log(const std::string& reference, const LogQuery& query, const OnFrame& on_frame) {
  LogAnswer log(query.attempt.value_or(0), on_frame);
  bool wanted = true;
  const http::Client::OnHead on_head = [&](const http::Headers& headers) { log.begin(headers); };
  const http::Client::OnChunk on_chunk = [&](std::string_view bytes) { return wanted = log.take(bytes); };
  const auto target = log_target(reference, query);
  http::Client::Request request;
  request.method = "GET";
  request.target = target;
  request.headers.add("Accept", std::string(model::kLogFrames));
  request.on_head = &on_head;
  request.on_chunk = &on_chunk;
  const auto answer = client_.stream(request);
  if (wanted) log.end();
  if (const auto note = answer.headers.find("Berth-Log-Note")) remark(printable(*note));
}

std::uint64_t Agent::log_start(const std::string& reference, LogQuery query) {
  if (!query.tail && !query.since) return query.offset.value_or(0);
  query.follow = false;
  const auto answer = client_.request("HEAD", log_target(reference, query));
  if (const auto note = answer.headers.find("Berth-Log-Note")) remark(printable(*note));
  return start_in(answer.headers);
}

LogIndex Agent::log_index(const std::string& reference, const LogQuery& query) {
  auto target = job_target(reference, "/log/index?stream=") + std::string(name(query.stream));
  if (query.attempt) target += "&attempt=" + std::to_string(*query.attempt);
  return index_from_json(get(target));
}

bool Agent::has_snapshot(const Digest& digest) {
  try {
    client_.request("GET", "/v1/snapshots/" + digest.hex());
    return true;
  } catch (const Error& error) {
    if (error.code() != Code::not_found) throw;
    return false;
  }
}

Digest Agent::send_diff(std::string_view diff) {
  const auto answer = client_.request("POST", "/v1/diffs", diff, "text/plain", http::Repeatable::yes);
  return message_from<wire::Diff>(wire::parse_json(answer.body), "the agent's answer").digest;
}

std::string Agent::get(const std::string& target) { return client_.request("GET", target).body; }

std::string Agent::post(const std::string& target, std::string_view body) {
  return client_.request("POST", target, body).body;
}

}  // namespace berth::cli
