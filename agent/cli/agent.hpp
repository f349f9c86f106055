#pragma once

// The agent at the other end of the socket: one method per question of its API, one kept connection.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/job.hpp"
#include "agent/model/log_frame.hpp"
#include "agent/model/secrets.hpp"
#include "runtime/http/client.hpp"

namespace berth::cli {

// A job as the agent tells it.
struct JobRecord {
  model::Job job;
  std::string waiting;  // why it has not started, in words; "" when it does not wait
  std::string json;     // the record as it was sent
  std::string title{};  // in a list: the beginning of its command
  bool outline = false;  // what everybody sees: without the request
};

struct JobList {
  std::vector<JobRecord> jobs;
  std::string json;
};

struct Submitted {
  std::string id;
  std::string json;  // {"id", "state", "sequence", "known"}
};

enum class LogStream { job, build, agent };

struct LogQuery {
  LogStream stream = LogStream::job;
  std::optional<int> attempt;
  bool follow = false;
  std::optional<std::uint64_t> offset;
  std::optional<std::uint64_t> tail;  // lines
  std::optional<Instant> since;
  bool unmasked = false;  // with the job's secrets
};

// "/v1/jobs/brave-heron-7k2m/log?stream=build&follow=1".
std::string log_target(const std::string& reference, const LogQuery& query);
// "/v1/jobs/brave-heron-7k2m" + suffix. Error Code::invalid for what can name no job.
std::string job_target(const std::string& reference, std::string_view suffix = {});
// The record in the agent's JSON of one job, and the list in that of several.
JobRecord record_from_json(std::string json);
JobList list_from_json(std::string json);

// When a byte of a log was written: entries of (offset, time), offsets rising.
using LogIndex = std::vector<std::pair<std::uint64_t, Instant>>;
LogIndex index_from_json(std::string_view json);

class Agent {
 public:
  explicit Agent(std::string socket, http::Client::Options options = {});

  // The attachments go along with the request, of which they are no part.
  Submitted submit(const model::JobRequest& request, const model::Attachments& attachments = {});
  JobRecord job(const std::string& reference);
  JobList jobs(bool all, bool mine, int limit);
  // Answers when the job has ended, however long that takes.
  JobRecord wait(const std::string& reference);
  // POST /v1/jobs/{id}/<action>: cancel, hold, release, priority, retry.
  JobRecord act(const std::string& reference, std::string_view action, std::string_view body = "{}");

  // Hands the log on as it arrives, until it ends or on_frame returns false. Whoever breaks off, or is broken off, goes
  // on at the end of the last frame. Code::corrupt for an answer that is no log.
  using OnFrame = model::LogFrameDecoder::OnFrame;
  void log(const std::string& reference, const LogQuery& query, const OnFrame& on_frame);
  // The byte at which the answer to this query starts.
  std::uint64_t log_start(const std::string& reference, LogQuery query);
  LogIndex log_index(const std::string& reference, const LogQuery& query);

  bool has_snapshot(const Digest& digest);
  // Digest of a stored diff.
  Digest send_diff(std::string_view diff);
  // JSON answers for people who know what they asked for.
  std::string get(const std::string& target);
  std::string post(const std::string& target, std::string_view body = "{}");

  const std::string& socket() const { return socket_; }
  http::Client& client() { return client_; }

 private:
  std::string socket_;
  http::Client client_;
};

}  // namespace berth::cli
