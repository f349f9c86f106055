#include "agent/cli/follow.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>

#include "agent/cli/output.hpp"
#include "runtime/base/error.hpp"

namespace berth::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstPause{20};
constexpr milliseconds kLongestPause{1000};
constexpr std::chrono::minutes kPatience{10};

bool agent_is_away(const Error& error) {
  return error.code() == Code::unavailable || error.code() == Code::io || error.code() == Code::timeout;
}

// The agent's absence: told once, and not for ever.
class Absence {
 public:
  explicit operator bool() const { return since_.has_value(); }
  // Pauses, longer each time.
  void endure(const Error& why, const std::string& job) {
    if (!since_) {
      since_ = steady_clock::now();
      remark("the agent went away (it may be restarting); the job lives on, waiting for the agent");
    }
    if (steady_clock::now() - *since_ > kPatience)
      throw Error(Code::unavailable, "the agent did not come back: " + why.message(),
                  "the job may be running still; when the agent is back: berth logs -f " + job);
    std::this_thread::sleep_for(pause_);
    pause_ = std::min(pause_ * 2, kLongestPause);
  }
  void end() {
    remark("the agent is back");
    since_.reset();
    pause_ = kFirstPause;
  }

 private:
  std::optional<steady_clock::time_point> since_;
  milliseconds pause_ = kFirstPause;
};

class Follower {
 public:
  Follower(Agent& agent, const std::string& job, LogQuery query, int attempt, const LogSink& sink)
      : agent_(agent),
        job_(job),
        query_(query),
        attempt_(attempt),
        offset_(query.offset.value_or(0)),
        sink_(sink) {}

  JobRecord run() {
    for (;;) {
      try {
        if (absence_) {
          agent_.job(job_);
          absence_.end();
        }
        query_.follow = true;
        return query_.stream == LogStream::job ? follow_attempts() : follow_side_log();
      } catch (const Error& error) {
        if (!agent_is_away(error)) throw;
        absence_.endure(error, job_);
      }
    }
  }

 private:
  void pass_on() {
    query_.offset = offset_;
    agent_.log(job_, query_, [&](const model::LogFrame& frame) {
      offset_ = frame.end;
      sink_(frame);
      return true;
    });
  }

  JobRecord follow_attempts() {
    for (;;) {
      query_.attempt = attempt_;
      try {
        pass_on();  // ends when a later attempt begins, or none will
      } catch (const Error& error) {
        if (error.code() != Code::not_found) throw;
        auto record = agent_.job(job_);
        if (last_attempt(record) < attempt_ && model::is_final(record.job.state)) return record;  // it never came
        throw;
      }
      auto record = agent_.job(job_);
      if (last_attempt(record) <= attempt_ && !model::is_final(record.job.state)) record = agent_.wait(job_);
      if (last_attempt(record) <= attempt_) return record;
      ++attempt_;
      offset_ = 0;
    }
  }

  static int last_attempt(const JobRecord& record) {
    return record.job.attempts.empty() ? 0 : record.job.attempts.back().number;
  }

  // The agent's remarks and the build log are not streamed: they grow seldom.
  JobRecord follow_side_log() {
    for (;;) {
      auto record = agent_.job(job_);
      pass_on();
      if (model::is_final(record.job.state)) return record;
      std::this_thread::sleep_for(kLongestPause / 2);
    }
  }

  Agent& agent_;
  const std::string& job_;
  LogQuery query_;
  int attempt_;
  std::uint64_t offset_;  // in the log of attempt_
  const LogSink& sink_;
  Absence absence_;
};

}  // namespace

JobRecord wait_until_ended(Agent& agent, const std::string& job) {
  const auto id = agent.job(job).job.id;  // @last may be another one by the time the agent is back
  Absence absence;
  for (;;) {
    try {
      if (absence) {
        agent.job(id);
        absence.end();
      }
      return agent.wait(id);
    } catch (const Error& error) {
      if (!agent_is_away(error)) throw;
      absence.endure(error, id);
    }
  }
}

JobRecord follow(Agent& agent, const std::string& job, LogQuery query, int attempt, const LogSink& sink) {
  return Follower(agent, job, query, attempt, sink).run();
}

}  // namespace berth::cli
