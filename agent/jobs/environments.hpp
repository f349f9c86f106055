#pragma once

// The environments of live jobs: what each waits for while it is being made, and what it holds once it is there.
// Belongs to the loop.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "agent/drivers/job_directories.hpp"
#include "agent/model/job.hpp"
#include "agent/model/registry_credentials.hpp"
#include "runtime/async/lanes.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/environment/environment.hpp"

namespace berth::jobs {

// `context`: what a Dockerfile is built in; nothing for other kinds.
environment::Spec spec_of(const model::EnvironmentRequest& request,
                          const std::shared_ptr<const drivers::BuildDirectory>& context);

class JobEnvironments {
 public:
  struct Options {
    bool switch_user = false;  // interpreters are looked at as the jobs' users
    std::string path;          // PATH of jobs
    std::string cgroup_base;   // of the groups in which they are looked at; "": none
    bool guard = false;        // nothing keeps jobs from changing environments: they are looked at before and after
  };
  // Of the files of a user's snapshot, before they are brought to disk: may wait, and throws where there is none.
  using Room = std::function<async::Task<disk::Transit::Charge>(uid_t user, std::uint64_t bytes)>;
  // All given by reference outlive this.
  JobEnvironments(async::Executor executor, environment::Environments& environments,
                  drivers::JobDirectories& directories, Room room, Options options);
  // Needed before the end.
  async::Task<> stop();

  // Makes it, however long that takes, and holds it for the job until release(). The build's output is the job's build
  // log from its first line on, and stays so when the build fails. Cancelled after abandon().
  // `credentials` are the job's own for registries.
  async::Task<environment::Ready> ensure(model::Job job, os::Identity identity,
                                         model::AllRegistryCredentials credentials);
  // What a Dockerfile is built in, brought to disk in the lane of the user `owner`, in which it also goes once nobody
  // holds it. The snapshot must stay meanwhile. Cancelled when `waiting` is abandoned.
  async::Task<std::shared_ptr<const drivers::BuildDirectory>> build_directory(Digest snapshot, uid_t owner,
                                                                              environment::Waiting& waiting);
  // What the job was prepared with, as it is now, or made again where it is gone.
  async::Task<environment::Ready> for_launch(model::Job job, os::Identity identity,
                                             model::AllRegistryCredentials credentials);
  // Holds what a job of an earlier agent was prepared with, where it is there.
  async::Task<> hold_again(model::Sequence job, Digest environment, bool launched);
  // Whether somebody has changed the environment that the job ran in, for everybody; nothing where that cannot be.
  async::Task<std::optional<bool>> was_changed(const model::Job& job);

  // The job does not want it any more; a build that nobody else waits for is stopped.
  void abandon(model::Sequence job);
  void release(model::Sequence job) { leases_.erase(job); }
  // To hold it beyond release(); empty where the job has none.
  environment::Lease lease_of(model::Sequence job) const;
  // "waits for the conda environment 3fa9c1… (python=3.11), building for 40 seconds"; nothing for other jobs.
  std::optional<std::string> words(model::Sequence job, Instant now) const;
  bool any_waits() const { return !waits_.empty(); }

 private:
  using WaitingPtr = std::shared_ptr<environment::Waiting>;
  class Wait;

  struct Held {
    environment::Lease lease;
    Digest environment;
    bool launched = false;
  };

  bool guards(const environment::Ready& ready) const { return options_.guard && !ready.prefix.empty(); }
  async::Task<> retire(Digest environment);
  environment::Context context_of(const model::Job& job, const os::Identity& identity) const;
  async::Task<> make(const model::Job& job, environment::Context whose, environment::Waiting& waiting,
                     environment::Leased& leased);
  async::Task<> keep_log(model::JobId job, environment::Waiting& waiting);
  async::Task<> remove(std::unique_ptr<const drivers::BuildDirectory> directory, uid_t owner);
  void link_log(const model::JobId& job, const std::string& log) const;

  environment::Environments& environments_;
  drivers::JobDirectories& directories_;
  Room room_;
  Options options_;
  std::shared_ptr<async::Nursery> removals_;  // until the stop
  async::Lanes contexts_{{1, 2}};  // directories of Dockerfiles, as large as their users sent them
  std::unordered_map<model::Sequence, WaitingPtr> waits_;
  std::unordered_map<model::Sequence, Held> leases_;
};

}  // namespace berth::jobs
