#pragma once

// Every job of this node, from submission to its end: takes requests, prepares jobs, starts them in the queue's order,
// watches their supervisors, records what became of them, and after a restart takes up where the last agent stopped.
// All state lives on one loop; what is promised is in the store before a call returns.

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/disk/manager.hpp"
#include "agent/disk/quota.hpp"
#include "agent/drivers/driver.hpp"
#include "agent/drivers/job_directories.hpp"
#include "agent/gpus/gpus.hpp"
#include "agent/jobs/environments.hpp"
#include "agent/jobs/lanes.hpp"
#include "agent/jobs/launch_state.hpp"
#include "agent/jobs/masks.hpp"
#include "agent/jobs/outage.hpp"
#include "agent/jobs/secret_box.hpp"
#include "agent/model/job.hpp"
#include "agent/model/secrets.hpp"
#include "agent/queue/queue.hpp"
#include "agent/store/store.hpp"
#include "runtime/async/event.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/async/watcher.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/result.hpp"
#include "runtime/environment/environment.hpp"
#include "runtime/logs/mask.hpp"

namespace berth::jobs {

using async::Task;
using store::Sequence;

struct Settings {
  std::string boot_id;
  std::string cgroup_base;   // "" where there is no cgroup2 to use
  secrets::KeyPlace secrets_key;
  std::string old_credentials;    // where earlier versions kept credentials for registries
  bool guard_environments = false;  // mounts keep no job from changing them
  bool switch_user = false;  // jobs run as their submitters: the agent is root and serves the machine
  model::Resources capacity;
  std::chrono::milliseconds patience{300'000};
  std::chrono::milliseconds outage_patience{3'600'000};  // how long a job waits for what the node lacks for a moment
  drivers::NodeDefaults defaults;
};

// Of the jobs of a submission, in their order; empty where none has any.
using SubmittedSecrets = std::vector<model::JobSecrets>;

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

// A job without code and environment has nothing to prepare.
bool needs_preparation(const model::JobRequest& request);

class Jobs {
 public:
  // Everything given by reference outlives this.
  Jobs(async::Executor executor, Settings settings, store::Store& store, drivers::JobDirectories& directories,
       drivers::Drivers& drivers, environment::Environments& environments, disk::Manager& disk, disk::Quota& quota,
       gpus::Gpus& gpus, async::Watcher& watcher, async::Pool& pool, const Clock& clock, Log log);
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

  // No job runs, is prepared, or waits for something else than to be released.
  bool idle() const;
  // Returns after idle() may have changed.
  Task<> next_activity() { co_await activity_.wait(); }

  Task<> wait_until_final(Sequence job);
  bool is_final(Sequence job) const { return !live_.contains(job); }
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
  Task<std::string> user_name(uid_t uid);
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
  Task<Masks::Kept> mask_of(Sequence job, uid_t reader);
  // The same of an environment's build: what the reader's own jobs brought along for it, to root all of them. What
  // others brought along hides nothing, or he could try what it is.
  Task<Masks::Kept> mask_of(Digest environment, uid_t reader);
  Masks& masks() { return masks_; }

  // As of JobEnvironments, for what is made before a job needs it.
  Task<std::shared_ptr<const drivers::BuildDirectory>> build_directory(Digest snapshot, uid_t owner,
                                                                       environment::Waiting& waiting) {
    return environments_.build_directory(snapshot, owner, waiting);
  }

  // What keeps the agent from doing its work as it should, in words.
  std::vector<std::string> troubles() const;
  // Jobs that have not ended.
  std::vector<model::JobId> live() const;
  const queue::Queue& queue() const { return queue_; }
  gpus::Gpus& gpus() const { return gpus_; }

 private:
  struct Outage;
  struct Live {
    model::JobId id;
    uid_t uid = 0;
    model::State state = model::State::preparing;
    bool stopping = false;  // canceled: whoever works on it leaves it alone or stops it
    bool asked_to_stop = false;  // its supervisor, by this agent
    unsigned life = 0;  // tells a coroutine that the job it works on was ended and started anew
    Stage stage = Stage::intending;  // of its attempt
    int launch = 0;  // whose supervisor may be asked to stop; 0 before
    std::optional<Instant> started;
    std::vector<std::string> gpus;  // that it holds
    std::optional<std::stop_source> collecting;  // of its outputs, at this moment
    std::string collecting_canceled_by;
    std::shared_ptr<os::Fd> supervisor;  // of the launch
    std::shared_ptr<const model::Job> job;  // with its request, while an attempt is under way
    std::shared_ptr<async::Event> changed;  // made when somebody waits
    std::shared_ptr<Outage> outage;  // what it waits for, or is just trying again

    // The launch is no more: there is nobody to ask to stop.
    void leave_launch() {
      launch = 0;
      asked_to_stop = false;
      supervisor.reset();
      started.reset();
      job.reset();
    }
  };

  // Where a launch happens and what with; made while the intent to launch is being written.
  struct PreparedLaunch {
    std::shared_ptr<const model::Job> job;
    model::Job whole;  // with its secrets where they belong
    drivers::Site site;
    environment::Ready environment;
    model::JobSecrets secrets;
    bool without_secrets = false;  // it failed for want of them
    bool ready = false;
    std::optional<Error> failure;
    async::Event done;
  };

  // --- jobs.cpp
  void admit(Sequence sequence, model::JobId id, uid_t uid, model::State state, const queue::Entry& entry);
  class Places;
  Places places_for(const std::vector<store::NewJob>& jobs);
  Live* find(Sequence sequence);
  bool is_over(Sequence sequence, int launch);
  // Returns after the next change of the job's state.
  Task<> next_change(Sequence sequence);
  void enter(Sequence sequence, model::State state);
  void forget(Sequence sequence);
  void schedule();
  void take_devices(std::vector<queue::Device> devices);
  void note_gpu_failure(const model::JobId& job, const model::GpuError& failure);
  static queue::Entry queue_entry(const model::Job& job, bool ready);
  Task<os::Identity> identity_of(uid_t uid);
  // The job as it is on record: what columns tell of it, and, off the loop, all of it.
  model::Job columns(Sequence sequence);
  Task<std::shared_ptr<const model::Job>> read(Sequence sequence);
  // In persist.hpp: repeats a write that must not be lost until the disk takes it.
  template <class MakeTask>
  Task<> persist(MakeTask make, std::string what);

  // --- secrets.cpp
  Task<> close_secrets(std::vector<store::NewJob>& jobs, const SubmittedSecrets& secrets);
  Task<model::JobSecrets> secrets_of(const model::Job& job);
  Task<Masks::Values> values_of(Sequence job, uid_t reader);
  Task<Masks::Values> values_of(Digest environment, uid_t reader);
  Task<> set_old_secrets_apart();

  // --- life.cpp
  static constexpr int kLaunchTries = 3;  // of an attempt whose supervisor dies before it has started the job
  Task<> prepare(Sequence sequence, unsigned life);
  // Code and environment on this machine, or what ended the job.
  struct Materialized {
    environment::Ready environment;
    std::optional<model::Ending> failure;
    std::optional<Error> error{};  // why it failed
  };
  Task<Materialized> materialize(model::Job job);
  // For the files of a user's snapshot, which may be far larger than what he sent; held while they are written.
  Task<disk::Transit::Charge> room_for(uid_t uid, std::uint64_t bytes);
  Task<> prepare_code(const model::Job& job, const os::Identity& identity);
  Task<> end_unprepared(Sequence sequence, model::Attempt failed);
  // "" where nobody did.
  std::string canceled_by(Sequence sequence);
  // Of a job that was canceled before its command ran.
  model::Attempt canceled_attempt(Sequence sequence, int attempt, int launch);
  Task<> prepare_launch(Sequence sequence, int launch, std::shared_ptr<PreparedLaunch> prepared);
  Task<> fill_launch(Sequence sequence, int launch, PreparedLaunch& prepared);
  // `environment`, which nobody may remove before the driver has cleaned up.
  Task<> strip(drivers::LaunchId launch, drivers::Driver& driver, environment::Lease environment);
  void strip_the_last() noexcept;
  // What could not be removed is told, and tried again until it is gone.
  Task<> strip_again(model::JobId id, async::Lanes::Owner owner, int launch, os::Removal left);
  // Of an attempt that is over, while the job goes on.
  Task<> strip_attempt(model::JobId id, uid_t uid, int launch);
  // Another job may have the GPUs only when this one's memory on them is back. Adds what it made of them.
  Task<> give_back_gpus(Sequence sequence, model::Attempt& attempt);
  Task<> look_at_environment(const model::Job& job, int launch, model::Attempt& attempt);
  Task<> end(Sequence sequence, std::optional<model::Attempt> attempt, model::Ending ending);

  // --- gather.cpp
  using MaybeCollected = std::optional<Result<drivers::Collected>>;
  Task<MaybeCollected> collect(model::Job job, int launch, std::stop_source stop);
  void note_not_collected(const model::Job& job, const std::string& why, model::Attempt& attempt);
  void note_left_out(const model::JobId& id, const snapshot::LeftOuts& left_out, model::Attempt& attempt);
  // Stores the outputs and names them in the attempt; nothing sweeps them away while what is returned is held.
  Task<objects::Store::Pin> gather_outputs(model::Job job, int launch, model::Attempt& attempt);

  // --- launch.cpp: an attempt's way through launch_state.hpp
  struct Run;
  Task<> run(Sequence sequence, int attempt, int launch);
  Task<> drive(Run run);
  Task<Came> perform(Run& run);
  void note_failure(Run& run, Stage stage, const Error& error);
  Task<Came> intend(Run& run);
  Task<Came> launch(Run& run);
  Task<Came> wait_for_news(Run& run);
  Task<Came> look(Run& run);
  Task<Came> look_at_files(Run& run);
  Task<Came> adopt(Run& run, shim::Running running);
  Came held_by_another(Run& run, const std::string& supervisor);
  Came never_ran(Run& run);
  Came lost(Run& run, std::string changed);
  Task<> relaunch(Run& run);

  // --- settle.cpp
  Task<Came> settle(Run& run);
  Task<> release(Run& run);
  Task<> note_end(Run& run);
  Task<> gather(Run& run);
  Task<> conclude(Run& run);
  Task<> kill_leftovers(model::JobId id, int launch, std::string group);
  // `reason` is one of shim::kStopped….
  Task<> stop_supervisor(Sequence sequence, std::string reason);
  // A job may keep its own supervisor, which has the same user, from doing anything.
  Task<> enforce_stop(Sequence sequence, int launch, std::chrono::milliseconds grace);

  // --- outages.cpp
  bool note_outage(Sequence sequence, const Error& error);
  Task<> sit_out(std::shared_ptr<Outage> outage);
  Task<bool> postpone(Run& run, Error error);
  Task<> start_again(Sequence sequence, unsigned life, std::shared_ptr<Outage> outage);
  std::optional<std::string> why_out(const Live& live) const;

  // --- recovery.cpp
  Task<> resume(store::LiveJob job);
  Task<> sweep_directories(std::vector<model::JobId> ended);
  Task<> sweep_directory(model::JobId id);
  Task<> finalize_again(Sequence sequence, int launch);
  // After a submission that failed, which may be on disk all the same: then it is a job like every other.
  void look_for_unknown();
  Task<> take_unknown();

  async::Executor executor_;
  Settings settings_;
  store::Store& store_;
  drivers::JobDirectories& directories_;
  SecretBox box_;
  JobEnvironments environments_;
  drivers::Drivers& drivers_;
  disk::Manager& disk_;
  disk::Quota& quota_;
  gpus::Gpus& gpus_;
  disk::Reserve& reserve_;
  async::Watcher& watcher_;
  async::Pool& pool_;
  JobLanes lanes_;
  Masks masks_;
  const Clock& clock_;
  Log log_;
  queue::Queue queue_;
  std::unordered_map<Sequence, Live> live_;
  std::unordered_map<uid_t, std::size_t> places_;  // how many of them each user has, those being submitted included
  std::unordered_map<Sequence, std::string> canceled_by_;  // of live jobs, until it is on record with their ending
  Counts ended_;
  unsigned lives_ = 0;
  std::size_t preparing_ = 0;  // how many are being prepared at this moment
  std::list<std::pair<model::JobId, int>> stripping_;  // launches whose directories are being cleared
  bool swept_drivers_ = false;  // what jobs of an earlier agent left with them is gone
  std::set<model::JobId> unswept_;  // ended jobs of which an earlier agent may have left something
  async::Event swept_now_;
  bool taking_unknown_ = false;
  struct KnownIdentity {
    os::Identity identity;
    Steady until;
  };
  std::unordered_map<uid_t, KnownIdentity> identities_;  // the user database is asked every few seconds only
  async::Event activity_;
  async::Nursery nursery_;
};

}  // namespace berth::jobs
