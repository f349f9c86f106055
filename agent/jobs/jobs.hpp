#pragma once

// Every job of this node, from submission to its end: takes requests, prepares jobs, starts them in the queue's order,
// watches their supervisors, records what became of them, and after a restart takes up where the last agent stopped.
// All state lives on one loop; what is promised is in the store before a call returns.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/jobs/containers.hpp"
#include "agent/jobs/environments.hpp"
#include "agent/jobs/governor.hpp"
#include "agent/jobs/gpus.hpp"
#include "agent/jobs/launch_state.hpp"
#include "agent/jobs/registry_secrets.hpp"
#include "agent/jobs/workplace.hpp"
#include "agent/model/job.hpp"
#include "agent/queue/queue.hpp"
#include "agent/store/store.hpp"
#include "runtime/async/event.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/async/watcher.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/log.hpp"
#include "runtime/environment/environment.hpp"

namespace berth::jobs {

using async::Task;
using store::Sequence;

struct Settings {
  std::string shim_program;
  std::string boot_id;
  std::string cgroup_base;   // "" where there is no cgroup2 to use
  std::function<void()> renew_cgroup_base;  // makes it again when it is gone; blocks
  ContainerOptions containers;
  std::string secrets_directory;  // of the registry credentials that jobs bring along
  bool switch_user = false;  // jobs run as their submitters: the agent is root and serves the machine
  model::Resources capacity;
  std::chrono::milliseconds patience{300'000};
  NodeDefaults defaults;
};

// By submission id: the credentials that jobs bring along, for those that do.
using SubmittedCredentials = std::map<std::string, model::AllRegistryCredentials>;

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
  Jobs(async::Executor executor, Settings settings, store::Store& store, Workplaces& workplaces,
       environment::Environments& environments, Governor& governor, Gpus& gpus, async::Watcher& watcher,
       async::Pool& pool, const Clock& clock, Log log);
  Jobs(const Jobs&) = delete;
  Jobs& operator=(const Jobs&) = delete;

  // Takes up what an earlier agent left: adopts running jobs, records ended ones, queues waiting ones. Once, first.
  Task<> recover();
  // Returns when nothing of this is active any more. Supervisors and their jobs run on.
  Task<> stop();

  // On disk when this returns. Refuses what this node can never run, and everything when the disk is nearly full.
  Task<std::vector<store::Submitted>> submit(std::vector<store::NewJob> jobs, SubmittedCredentials credentials = {});

  // Code::conflict where the job's state does not allow the change. Canceling an ended job changes nothing.
  Task<> cancel(Sequence job, std::string by);
  Task<> set_held(Sequence job, bool held);
  Task<> set_priority(Sequence job, int priority);
  Task<> retry(Sequence job);
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
  // At most so many live jobs: those that run or finalize, oldest first, then the waiting ones in the order in which
  // the queue considers them, the held ones last.
  std::vector<Sequence> in_order(std::size_t most) const;
  struct RunningLaunch {
    model::JobId id;
    int launch = 0;
  };
  // The jobs that have a supervisor, oldest first.
  std::vector<RunningLaunch> running() const;
  // What keeps the agent from doing its work as it should, in words.
  std::vector<std::string> troubles() const;
  // Jobs that have not ended.
  std::vector<model::JobId> live() const;
  const queue::Queue& queue() const { return queue_; }
  Gpus& gpus() const { return gpus_; }

 private:
  struct Live {
    model::JobId id;
    model::State state = model::State::preparing;
    bool stopping = false;             // canceled: whoever works on it leaves it alone or stops it
    bool asked_to_stop = false;        // its supervisor, by this agent
    unsigned life = 0;                 // tells a coroutine that the job it works on was ended and started anew
    int launch = 0;                    // whose supervisor may be asked to stop; 0 before
    std::optional<Instant> started;
    std::vector<std::string> gpus;     // that it holds
    std::shared_ptr<os::Fd> supervisor;  // of the launch
    std::shared_ptr<async::Event> changed;  // made when somebody waits
  };

  // Where a launch happens and what with; made while the intent to launch is being written.
  struct Ground {
    Site site;
    environment::Ready environment;
    bool laid = false;
    std::optional<Error> failure;
    async::Event done;
  };

  // --- jobs.cpp
  void admit(Sequence sequence, model::JobId id, model::State state, const queue::Entry& entry);
  Live* find(Sequence sequence);
  bool is_over(Sequence sequence, int launch);
  // Returns after the next change of the job's state.
  Task<> next_change(Sequence sequence);
  void enter(Sequence sequence, model::State state);
  void forget(Sequence sequence);
  void schedule();
  void take_devices(std::vector<queue::Device> devices);
  void note_gpu_failure(const model::JobId& job, const model::GpuError& failure);
  // Repeats a write that must not be lost until the disk takes it.
  template <class MakeTask>
  Task<> persist(MakeTask make, std::string what);

  // --- credentials.cpp
  Task<std::vector<store::Submitted>> submit_with(std::vector<store::NewJob> jobs, SubmittedCredentials credentials);
  // Of a job that is prepared, or over.
  void forget_credentials(const model::JobRequest& request);
  // Those that an earlier agent left, but for the jobs that still need them.
  void sweep_credentials();
  // --- life.cpp
  Task<> prepare(Sequence sequence, unsigned life);
  // Code and environment on this machine, or what ended the job.
  struct Materialized {
    environment::Ready environment;
    std::optional<model::Ending> failure;
  };
  Task<Materialized> materialize(model::Job job);
  Task<> prepare_code(const model::Job& job, const os::Identity& identity);
  Task<> end_unprepared(Sequence sequence, model::Attempt failed);
  // Of a job that was canceled before its command ran.
  model::Attempt canceled_attempt(Sequence sequence, int attempt, int launch);
  Task<> lay_ground(Sequence sequence, int launch, std::shared_ptr<Ground> ground);
  Task<> make_ground(Sequence sequence, int launch, Ground& ground);
  // Of a container; nothing where it runs no more.
  Task<std::optional<os::Fd>> supervisor_inside(model::JobId id, int launch);
  // What became of a launch in a container, with what only the engine knows; the container is gone then.
  Task<> leave_container(model::JobId id, int launch, shim::Condition& condition);
  bool remove_container(const model::JobId& id, int launch) noexcept;
  Task<> strip(model::JobId id, int launch, std::optional<environment::Lease> image);
  // Another job may have the GPUs only when this one's memory on them is back. Adds what it made of them.
  Task<> give_back_gpus(Sequence sequence, model::Attempt& attempt);
  // --- gather.cpp
  // Stores the outputs and names them in the attempt; nothing sweeps them away while what is returned is held.
  Task<std::optional<objects::Store::Hold>> gather_outputs(model::Job job, int launch, model::Attempt& attempt);
  // --- life.cpp
  Task<> end(Sequence sequence, std::optional<model::Attempt> attempt, model::Ending ending);
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
  Came never_ran(Run& run);
  Came lost(Run& run, std::string changed);
  Task<> relaunch(Run& run);
  // --- settle.cpp
  Task<> settle(Run& run);
  Task<> release(Run& run);
  Task<> note_end(Run& run);
  Task<> gather(Run& run);
  Task<> conclude(Run& run);
  Task<> kill_leftovers(model::JobId id, int launch);
  Task<> strip_launch(model::JobId id, int launch);
  std::string group_of(const model::JobId& id, int launch) const;
  // `reason` is one of shim::kStopped….
  Task<> stop_supervisor(Sequence sequence, std::string reason);
  // A job may keep its own supervisor, which has the same user, from doing anything.
  Task<> enforce_stop(Sequence sequence, int launch, std::chrono::milliseconds grace);

  // --- recovery.cpp
  Task<> resume(store::LiveJob job);
  Task<> sweep_workplaces(std::vector<model::JobId> ended);
  Task<> sweep_containers();
  Task<> finalize_again(Sequence sequence, int launch);
  // After a submission that failed, which may be on disk all the same: then it is a job like every other.
  void look_for_unknown();
  Task<> take_unknown();

  static queue::Entry queue_entry(const model::Job& job, bool ready);
  os::Identity identity_of(const model::Job& job);
  model::Job record(Sequence sequence);

  async::Executor executor_;
  Settings settings_;
  store::Store& store_;
  Workplaces& workplaces_;
  RegistrySecrets secrets_;
  JobEnvironments environments_;
  Containers containers_;
  Governor& governor_;
  Gpus& gpus_;
  DiskReserve& reserve_;
  async::Watcher& watcher_;
  async::Pool& pool_;
  const Clock& clock_;
  Log log_;
  queue::Queue queue_;
  std::unordered_map<Sequence, Live> live_;
  std::unordered_map<Sequence, std::string> canceled_by_;  // of live jobs, until it is on record with their ending
  Counts ended_;
  unsigned lives_ = 0;
  std::size_t preparing_ = 0;  // how many are being prepared at this moment
  async::Event prepared_;
  bool swept_ = false;  // what an earlier agent left of ended jobs is gone
  async::Event swept_now_;
  bool taking_unknown_ = false;
  struct KnownIdentity {
    os::Identity identity;
    Steady until;
  };
  std::unordered_map<uid_t, KnownIdentity> identities_;  // the user database is asked every few seconds only
  async::Event activity_;
  shim::Launcher launcher_;
  async::Nursery nursery_;
};

}  // namespace berth::jobs
