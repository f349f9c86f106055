#pragma once

// Every job of this node: takes requests, starts jobs in the queue's order, answers what becomes of them, and takes up
// what the last agent left. Each job goes its way in a Runner. All state lives on one loop; what is promised is on disk
// before a call returns.

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/jobs/context.hpp"
#include "agent/jobs/runner.hpp"

namespace berth::jobs {

// What the node does, for status and metrics; ended jobs since this agent started.
struct Counts {
  std::size_t preparing = 0;
  std::size_t queued = 0;
  std::size_t running = 0;
  std::size_t finalizing = 0;
  std::size_t completed = 0;
  std::size_t failed = 0;
  std::size_t canceled = 0;
};

class Jobs {
 public:
  Jobs(async::Executor executor, Settings settings, const Parts& parts, Log log);
  Jobs(const Jobs&) = delete;
  Jobs& operator=(const Jobs&) = delete;

  // Takes up what an earlier agent left: adopts running jobs, records ended ones, queues waiting ones. Once, first.
  Task<> recover();
  // Returns when nothing of this is active any more. Supervisors and their jobs run on.
  Task<> stop();

  // All of one user. On disk when this returns. Refuses what this node can never run, what is more than one user may
  // have, and everything when the disk is nearly full.
  Task<std::vector<store::Submitted>> submit(std::vector<store::NewJob> jobs, SubmittedSecrets secrets = {});

  // `by` names the user who asks. Code::conflict where the job's state does not allow the change. Canceling an ended
  // job changes nothing.
  Task<> cancel(Sequence job, std::string by);
  Task<> set_held(Sequence job, bool held, std::string by);
  Task<> set_priority(Sequence job, int priority, std::string by);
  Task<> retry(Sequence job, std::string by);
  Task<> set_drained(bool drained);
  // Asks every running job to stop for the node's sake; returns when none runs any more. Nothing new is started from
  // now on, until the node is resumed or the agent started again.
  Task<> preempt_all(model::Preempted::Cause cause);

  // Of `settings` only the capacity, both patiences and the defaults, which hold for jobs submitted from now on.
  // Waiting jobs that ask for more than there is now are passed over until there is as much again.
  void reconfigure(const Settings& settings);

  // No job runs, is prepared, or waits for something else than to be released.
  bool idle() const;
  // Returns after idle() may have changed.
  Task<> next_activity() { co_await activity_.wait(); }

  Task<> wait_until_final(Sequence job);
  bool is_final(Sequence job) const { return !runners_.contains(job); }
  // Returns the first launch of at least this number once its supervisor is started; 0 when the job is final.
  Task<int> wait_for_launch(Sequence job, int at_least);
  // Returns when nothing of this launch runs any more.
  Task<> wait_until_over(Sequence job, int launch);

  // What the store does not know of a live job: the state of this moment and since when it runs.
  void complete(model::Job& job) const;
  // Why a live job waits, in words; nothing for one that does not.
  std::optional<std::string> why_waiting(Sequence job) const;
  Counts counts() const;
  // What the user databases call him; the number as text where they cannot be asked, or know none.
  Task<std::string> user_name(uid_t uid) { return context_.identities.name_of(uid); }
  // What a record says of who did something.
  Task<std::string> name_of(model::Principal who);
  // At most so many live jobs: those that run or finalize, oldest first, then the waiting ones in the order in which
  // the queue considers them, the held ones last.
  std::vector<Sequence> in_order(std::size_t most) const;
  struct RunningLaunch {
    model::JobId id;
    int launch = 0;
  };
  // The jobs that have a supervisor, oldest first.
  std::vector<RunningLaunch> running() const;
  // What its readers must not see of a job's logs.
  Task<Masks::Kept> mask_of(Sequence job, model::Principal reader);
  // The same of an environment's build: what the reader's own jobs brought along for it, to an administrator all of
  // them. What others brought along hides nothing, or he could try what it is.
  Task<Masks::Kept> mask_of(Digest environment, model::Principal reader);
  Masks& masks() { return context_.masks; }

  // As of JobEnvironments, for what is made before a job needs it.
  Task<std::shared_ptr<const drivers::BuildDirectory>> build_directory(Digest snapshot, uid_t owner,
                                                                       environment::Waiting& waiting) {
    return context_.environments.build_directory(snapshot, owner, waiting);
  }

  // What keeps the agent from doing its work as it should, in words.
  std::vector<std::string> troubles() const;
  // Jobs that have not ended.
  std::vector<model::JobId> live() const;
  const queue::Queue& queue() const { return context_.queue; }
  gpus::Gpus& gpus() const { return context_.gpus; }

 private:
  using RunnerPtr = std::shared_ptr<Runner>;
  class Places;
  class Turn;

  // Throws Code::invalid for what can never run here.
  void require_room(const model::Resources& resources) const;
  void warn_of_too_big() const;
  Places places_for(const std::vector<store::NewJob>& jobs);
  RunnerPtr find(Sequence job) const;
  model::JobId id_of(Sequence job);
  Runner& admit(RunnerPtr runner);
  void settle_submitted(store::Submitted& submitted, Turn& turn);
  void forget(Runner& runner);
  void schedule();
  void take_devices(std::vector<queue::Device> devices);

  // --- recovery.cpp
  void take_up(const store::LiveJob& job);
  // After a submission that failed, which may be on disk all the same: then it is a job like every other.
  void look_for_unknown();
  Task<> take_unknown();

  Context context_;
  std::unordered_map<Sequence, RunnerPtr> runners_;  // of live jobs
  std::unordered_map<uid_t, std::size_t> places_;  // how many of them each user has, those being submitted included
  std::int64_t turns_ = 0;  // so many were asked for
  std::size_t taken_ = 0;  // turns that are taken, and not given yet
  Counts ended_;
  bool taking_unknown_ = false;
  async::Event activity_;
};

}  // namespace berth::jobs
