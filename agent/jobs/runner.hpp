#pragma once

// One job of this node, from its submission, or from where the last agent left it, to its end: its state, its record,
// and the attempt that is under way. Lives for as long as something works on it; once it has ended nothing of it
// changes any more. A job that is retried by hand gets a new one. Belongs to the loop.

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "agent/jobs/context.hpp"
#include "agent/jobs/launch_state.hpp"
#include "agent/jobs/verdict.hpp"
#include "agent/model/job.hpp"
#include "runtime/async/event.hpp"
#include "runtime/base/result.hpp"

namespace berth::jobs {

// A job without code and environment has nothing to prepare.
inline bool needs_preparation(const model::JobRequest& request) {
  return request.snapshot || request.environment.kind != model::EnvironmentRequest::Kind::none;
}

inline bool waits(model::State state) { return state == model::State::preparing || state == model::State::queued; }

class Runner : public std::enable_shared_from_this<Runner> {
 public:
  // Of a job that waits: submitted just now, or to be run once more. `bytes`: how long its request is.
  Runner(Context& context, std::shared_ptr<const model::Job> job, std::uint64_t bytes);
  // Of one that an earlier agent left.
  Runner(Context& context, const store::LiveJob& job);
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  ~Runner();

  Sequence sequence() const { return sequence_; }
  const model::JobId& id() const { return id_; }
  uid_t uid() const { return uid_; }
  model::State state() const { return state_; }
  bool ended() const { return ended_; }
  bool stopping() const { return stopping_; }
  // Whose supervisor may be asked to stop; 0 before.
  int launch() const { return launched_; }
  // Nothing of this launch runs any more.
  bool is_over(int launch) const;
  // What its record does not tell: the state of this moment, and since when it runs.
  void complete(model::Job& job) const;
  // For what the node lacks at this moment; nothing where that is not why it waits.
  std::optional<std::string> why_out() const;

  // It waits from now on, and is prepared where it has to be.
  void enter_queue();
  // It has been given its place, and these devices: goes its attempt's way.
  void begin(std::vector<std::string> gpus);
  // The same of one whose start is on record with its submission.
  void begin_recorded(store::StartIntent intent, shim::Seal seal);
  // Takes up what an earlier agent had launched, or whose outputs it was about to store.
  void resume(const store::LiveJob& job);

  // `by` names the user who asks. Returns when that is on record, or the job is over. What has ended is left as it is.
  Task<> cancel(std::string by);
  // `reason` is one of shim::kStopped….
  Task<> stop_supervisor(std::string reason);
  // As they are on record.
  void set_priority(int priority) { priority_ = priority; }
  void set_held(bool held) { held_ = held; }

  // Returns after the next change of its state.
  Task<> next_change();

 private:
  struct Outage;
  // An attempt on its way (launch_state.hpp).
  struct Attempt;

  // Where a launch happens and what with; made while the intent to launch is being written.
  struct PreparedLaunch {
    std::shared_ptr<const model::Job> job;
    std::shared_ptr<const model::Job> whole;  // with its secrets where they belong; the same where it has none
    drivers::Site site;
    environment::Ready environment;
    model::JobSecrets secrets;
    bool without_secrets = false;  // it failed for want of them
    bool ready = false;
    std::optional<Error> failure;
    async::Event done;
  };

  // --- runner.cpp
  template <class Work>
  void spawn(Work work);
  queue::Entry entry(bool ready) const;
  // Read once, and kept while an attempt or a preparation is under way.
  Task<std::shared_ptr<const model::Job>> record();
  // As it is on record from now on, while it waits.
  template <class Change>
  void change_record(Change change);
  void enter(model::State state);
  drivers::LaunchId launch_id(int launch) const { return {id_, uid_, launch}; }
  // The launch is no more: there is nobody to ask to stop.
  void leave_launch();
  Task<> end(std::optional<model::Attempt> attempt, model::Ending ending, db::Durable durable);
  Task<> enforce_stop(int launch, std::chrono::milliseconds grace);
  Task<> kill_leftovers(int launch, std::string group);
  std::optional<std::string> canceler() const;

  // --- preparation.cpp
  // Code and environment on this machine, or why they are not.
  struct Materialized {
    environment::Ready environment;
    std::optional<Failure> failure;
  };
  Task<> prepare();
  Task<Materialized> materialize(model::Job job);
  Task<> prepare_code(const model::Job& job, const os::Identity& identity);
  Task<bool> goes_on_without(const model::Job& job, model::Attempt failed);

  // --- launch.cpp
  void set_out(Stage stage);
  Task<> drive();
  Task<Came> perform();
  void note_failure(Stage stage, const Error& error);
  Task<Came> intend();
  Task<> write_intent();
  Failure::Of what_is_missing() const;
  Task<> prepare_launch(int launch, std::shared_ptr<PreparedLaunch> prepared);
  Task<> fill_launch(int launch, PreparedLaunch& prepared);
  Task<Came> start();
  Task<Came> wait_for_news();
  Task<Came> look();
  Task<Came> look_at_files();
  Task<Came> adopt(shim::Running running);
  Came held_by_another(const std::string& supervisor);
  Came never_ran();
  Came lost(std::string changed);
  Task<> relaunch();

  // --- settle.cpp
  Task<Came> settle();
  Task<> release();
  // Another job may have the GPUs only when this one's memory on them is back. Tells what it made of them.
  Task<std::optional<model::GpuError>> give_back_gpus(model::Attempt& attempt);
  Task<> note_end();
  Task<> gather();
  Task<> conclude();
  Task<> conclude_to_retry();
  Task<> look_at_environment();

  // --- gather.cpp
  using MaybeCollected = std::optional<Result<drivers::Collected>>;
  Task<MaybeCollected> collect(std::stop_source stop);
  void note_not_collected(const std::string& why);
  void note_left_out(const snapshot::LeftOuts& left_out);
  // Stores the outputs and names them in the attempt; nothing sweeps them away while what is returned is held.
  Task<objects::Store::Pin> gather_outputs();

  // --- outages.cpp
  bool note_outage(const Error& error);
  Task<> sit_out(std::shared_ptr<Outage> outage);
  Task<bool> postpone(Error error);
  Task<> start_again(std::shared_ptr<Outage> outage);

  Context& context_;
  const Sequence sequence_;
  const model::JobId id_;
  const uid_t uid_;
  const model::Resources resources_;
  const std::optional<std::chrono::milliseconds> limit_;  // how long it holds its place at most
  model::State state_;
  int priority_;
  bool held_;
  bool ended_ = false;
  bool stopping_ = false;  // canceled: whoever works on it leaves it alone or stops it
  std::string canceled_by_;
  int attempts_ = 0;  // how many there have been
  int launches_ = 0;  // likewise, of all attempts
  std::shared_ptr<const model::Job> job_;  // its record
  bool counted_ = false;  // among those that are kept while they wait
  const bool large_;  // its request: nothing is made of it on the loop
  std::unique_ptr<Attempt> attempt_;  // under way

  int launched_ = 0;
  bool asked_to_stop_ = false;  // its supervisor, by this agent
  std::optional<Instant> started_;
  std::shared_ptr<os::Fd> supervisor_;  // of the launch
  std::vector<std::string> gpus_;  // that it holds
  std::optional<std::stop_source> collecting_;  // of its outputs, at this moment
  std::string collecting_canceled_by_;
  std::shared_ptr<async::Event> changed_;  // made when somebody waits
  std::shared_ptr<Outage> outage_;  // what it waits for, or is just trying again
};

// What drive() goes its way with.
struct Runner::Attempt {
  int number = 0;
  int launch = 0;
  drivers::Driver* driver = nullptr;  // of its kind of job
  Stage stage = Stage::intending;
  int tries = 1;  // launches of this attempt
  bool adopted = false;  // another agent launched it, and may have died at any point
  bool recorded = false;  // its intent is on record already
  bool told_by_driver = false;  // what became of it, and not by its files alone
  std::string boot_id;  // in which it was launched
  shim::Seal seal;  // of its ending
  std::shared_ptr<PreparedLaunch> prepared;
  std::shared_ptr<os::Fd> supervisor;  // readable when it has ended
  std::unique_ptr<async::Watcher::Watch> watch;
  async::Backoff pause{std::chrono::milliseconds(5),
                       std::chrono::milliseconds(1000)};  // where nobody can be waited for
  std::optional<Steady> unwatched_since;  // somebody holds the claim who is not its supervisor
  bool seen_started = false;  // by its files; whoever removes them later does not undo it
  unsigned unreadable = 0;  // how often its files could not be read
  bool told = false;
  Evidence evidence;
  model::Attempt record;
  objects::Store::Pin outputs;  // until they are on record
};

// Where it is not kept while it waits, it is read when its turn comes.
template <class Change>
void Runner::change_record(Change change) {
  if (!counted_) return job_.reset();
  auto job = std::make_shared<model::Job>(*job_);
  change(*job);
  job_ = std::move(job);
}

template <class Work>
void Runner::spawn(Work work) {
  context_.nursery.spawn([self = shared_from_this(), work = std::move(work)]() mutable { return work(*self); });
}

}  // namespace berth::jobs
