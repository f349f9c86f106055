#pragma once

// The directories jobs run in, below one root:
//
//   JOB/LAUNCH/     the contract's files of one launch (runtime/shim), its log, and the job's tree while it lives
//   JOB/build, JOB/agent   the build log and the agent's remarks, each with its index
//
// Their names can be looked up by every user, since jobs must reach their trees, but only the job's owner may enter a
// tree, and nobody but the agent reads the rest. All calls block on the file system; the agent offloads them.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/disk/reclaimable.hpp"
#include "agent/disk/transit.hpp"
#include "agent/drivers/launch_plan.hpp"
#include "agent/drivers/outputs.hpp"
#include "agent/drivers/protection.hpp"
#include "agent/model/job.hpp"
#include "runtime/objects/store.hpp"
#include "runtime/os/removal.hpp"
#include "runtime/snapshot/checkouts.hpp"

namespace berth::drivers {

// Relative to where the job was started; `./outputs` is always one of a job with a snapshot.
std::vector<std::string> output_directories(const model::Job& job);

// The properties of a place that are the same for all jobs.
struct DirectoryOptions {
  std::string directory;
  bool overlays = false;     // a tree is a mount over a shared checkout, else a copy of its own
  bool several_users = false;  // trees are handed to their jobs' owners
  os::Protections protections{};     // of what is shared, as far as this machine goes
  std::vector<std::string> shared{};  // directories that jobs must not change
  std::string contexts{};      // for what Dockerfiles are built in; emptied by whoever starts an agent
  CollectSettings collecting{};
};

// A directory that a Dockerfile is built in, as it was sent; of the agent's own. Gone with the last who holds it, and
// so is what its files are charged as.
class BuildDirectory {
 public:
  BuildDirectory(std::string path, disk::Transit::Charge charge) : path_(std::move(path)), charge_(std::move(charge)) {}
  BuildDirectory(const BuildDirectory&) = delete;
  BuildDirectory& operator=(const BuildDirectory&) = delete;
  ~BuildDirectory();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  disk::Transit::Charge charge_;
};

class JobDirectories : public disk::JobFiles {
 public:
  JobDirectories(DirectoryOptions options, objects::Store& store, snapshot::Checkouts& checkouts);

  // Where the launch is, or would be.
  std::string directory(const model::JobId& id, int launch) const;
  // The file of a stream that is the job's, not a launch's: "build" or "agent".
  std::string side_log(const model::JobId& id, std::string_view stream) const;

  // Whether make() is quick once prepare() is done; else it copies.
  bool overlays() const { return options_.overlays; }
  // Has the next make() find its directories made: new files are most of what a launch waits for on ext4, where many
  // were removed of late. To be called when nobody waits; failing costs only time.
  void make_ahead() noexcept;
  // Brings the snapshot to disk, so that make() is quick; needs no resources of the queue. Where that takes more than
  // `room` bytes it does nothing, and tells how many.
  std::optional<std::uint64_t> prepare(const model::Job& job, const os::Identity& owner, std::uint64_t room);
  // Of all files of a snapshot, however little is stored of them.
  std::uint64_t bytes_of(const Digest& snapshot) const;
  // Makes the launch directory, an empty log and, for a job with a snapshot, its tree.
  Site make(const model::Job& job, int launch, const os::Identity& owner);

  // What keeps the launch from changing what is shared, with a layer of its own on the environment in the directory
  // `environment` ("": none) where those can be had; nothing where nothing can.
  std::optional<shim::Protection> protect(const model::JobId& id, int launch, const Site& site,
                                          const std::string& environment, const os::Identity& identity) const;
  bool has_layer(const model::JobId& id, int launch) const;
  // Of a launch that is over; nothing where it had no such layer.
  std::optional<model::EnvironmentChanges> environment_changes(const model::JobId& id, int launch) const;

  // For an os::Attempt, while the records of a launch are read that an earlier agent made.
  std::string looking_file(const model::JobId& id, int launch) const;

  // False where the job certainly left nothing: a few system calls, which read nothing and follow nothing.
  bool anything_to_collect(const model::Job& job, int launch) const noexcept;
  // Stores what the job left in its output directories, with nothing but its user's rights. Too many agents that ended
  // meanwhile make it fail. From now on nobody else gets into the launch's directory, whatever lies there.
  Collected collect(const model::Job& job, int launch, const os::Identity& owner, const std::stop_token& stop = {});

  // After the ending is recorded: what stays of a launch is its log. What cannot be removed is passed over; nobody but
  // the agent gets to it.
  os::Removal strip(const model::JobId& id, int launch, const std::stop_token& stop = {});
  // The same for the job's launches up to `launch`, and what was discarded.
  os::Removal strip_up_to(const model::JobId& id, int launch, const std::stop_token& stop = {});
  // Whether a supervisor still has one of its launches: then its record was lost, and nothing is to be touched.
  bool is_supervised(const model::JobId& id) const;
  // The number of its latest launch; 0 where there is none.
  int last_launch(const model::JobId& id) const;
  // Those of the jobs that strip() would find anything of.
  std::vector<model::JobId> with_leftovers(const std::vector<model::JobId>& jobs, const std::stop_token& stop) const;
  // The jobs that have a directory.
  std::vector<model::JobId> list() const;
  // A launch that never ran leaves nothing.
  void discard(const model::JobId& id, int launch);
  // What a launch's log takes of the disk; that of all of a job's logs.
  std::uint64_t log_bytes(const model::JobId& id, int launch) const;
  std::uint64_t log_bytes(const model::JobId& id) const override;
  // Of a job that is over: the launches up to `launch` and the job's side logs, or everything.
  void remove(const model::JobId& id, std::optional<int> launch) override;
  // A stop is Cancelled.
  std::unique_ptr<const BuildDirectory> make_context(const Digest& snapshot, disk::Transit::Charge room,
                                                     const std::stop_token& stop);
  // The log of an environment's build becomes the job's build log, in place of an earlier one: as a further name of the
  // same file, so that it grows on. Never throws: it is not worth a job.
  void adopt_build_log(const model::JobId& id, const std::string& log) noexcept;
  // Adds a line to the agent's remarks about a job. Never throws: a remark is not worth a job.
  void remark(const model::JobId& id, const std::string& text) noexcept;

 private:
  bool may_make_ahead() const;
  bool take_ahead(const std::string& job);
  std::string ahead_path() const;
  void make_tree(const model::Job& job, const std::string& directory, const os::Identity& owner, Site& site);
  void hand_over(const std::string& directory, const os::Identity& owner, unsigned mode = 0700) const;
  snapshot::Owner owner_of(const os::Identity& identity) const;
  CollectFrom collect_from(const model::Job& job, int launch) const;
  void close(const std::string& place) const;

  DirectoryOptions options_;
  std::atomic<std::uint64_t> contexts_made_ = 0;
  objects::Store& store_;
  snapshot::Checkouts& checkouts_;
  std::mutex mutex_;
  enum class Ahead { none, there, never } ahead_ = Ahead::none;  // guarded by mutex_
  std::map<std::string, snapshot::Checkouts::Lease> leases_;  // by launch directory; guarded by mutex_
};

}  // namespace berth::drivers
