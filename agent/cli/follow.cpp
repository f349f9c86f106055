#include "agent/cli/follow.hpp"

#include <chrono>
#include <cstdint>
#include <thread>

#include "agent/cli/absence.hpp"
#include "runtime/base/error.hpp"

namespace berth::cli {
namespace {

constexpr std::chrono::milliseconds kSideLogPause{500};
constexpr const char* kLivesOn = "the job lives on";

std::string when_it_is_back(const std::string& job) {
  return "the job may be running still; when the agent is back: berth logs -f " + job;
}

class Follower {
 public:
  Follower(Agent& agent, const std::string& job, LogQuery query, int attempt, const LogSink& sink)
      : agent_(agent), job_(job), query_(query), attempt_(attempt), offset_(query.offset.value_or(0)), sink_(sink) {}

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
        absence_.endure(error, when_it_is_back(job_));
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
      std::this_thread::sleep_for(kSideLogPause);
    }
  }

  Agent& agent_;
  const std::string& job_;
  LogQuery query_;
  int attempt_;
  std::uint64_t offset_;  // in the log of attempt_
  const LogSink& sink_;
  Absence absence_{kLivesOn};
};

}  // namespace

JobRecord wait_until_ended(Agent& agent, const std::string& job) {
  const auto id = agent.job(job).job.id.value();  // @last may be another one by the time the agent is back
  Absence absence(kLivesOn);
  for (;;) {
    try {
      if (absence) {
        agent.job(id);
        absence.end();
      }
      return agent.wait(id);
    } catch (const Error& error) {
      if (!agent_is_away(error)) throw;
      absence.endure(error, when_it_is_back(id));
    }
  }
}

JobRecord follow(Agent& agent, const std::string& job, LogQuery query, int attempt, const LogSink& sink) {
  return Follower(agent, job, query, attempt, sink).run();
}

}  // namespace berth::cli
