#include "agent/drivers/job_directories.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "runtime/base/error.hpp"
#include "runtime/logs/appender.hpp"
#include "runtime/os/attempt_count.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/mount.hpp"
#include "runtime/os/removal.hpp"
#include "runtime/shim/client.hpp"
#include "runtime/snapshot/closure.hpp"
#include "runtime/snapshot/restore.hpp"

namespace berth::drivers {
namespace {

constexpr const char* kTree = "tree";
constexpr const char* kTmp = "tmp";
constexpr const char* kSecrets = "secrets";
constexpr const char* kAhead = "next-job";  // beside the directory of all jobs
constexpr const char* kContext = "context-";
constexpr const char* kDiscarded = ".discarded";
constexpr const char* kScratch = "scratch";
constexpr const char* kUpper = "upper";
constexpr const char* kOverlayWork = "overlay-work";
constexpr ByteSize kRemarksCap = 1_MiB;
constexpr const char* kCollecting = "collecting";  // how often it was begun
constexpr const char* kLooking = "looking";        // how often its records were begun to be read

// Of the disk, which is less than the size of a log with a hole; 0 where there is no such file.
std::uint64_t allocated(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) < 0 || !S_ISREG(info.st_mode)) return 0;
  return static_cast<std::uint64_t>(info.st_blocks) * 512;
}

// Of a launch that is over.
bool is_kept(const std::string& name) { return name == shim::kLogFile || name == shim::kLogIndexFile; }

// What several agents could not finish is not begun for ever.
void count_collecting(const std::string& path) {
  if (const int times = os::count_attempt(path); times >= os::kMostAttempts)
    throw Error(Code::timeout, "the agent ended " + std::to_string(times) + " times while it collected them");
}

// A directory that others may pass through but not list.
void make_passage(const std::string& path) { os::make_directories(path, 0711); }

void add(os::Removal& all, os::Removal more) {
  if (all.left == 0) all.first_failure = std::move(more.first_failure);
  all.left += more.left;
  all.stopped = all.stopped || more.stopped;
}

// A directory that cannot be looked into is left, with all that is in it.
std::vector<std::string> names_or_left(const std::string& directory, os::Removal& all) {
  try {
    return os::names_in(directory);
  } catch (const Error& error) {
    add(all, os::Removal{.left = 1, .first_failure = error.message()});
    return {};
  }
}

}  // namespace

JobDirectories::JobDirectories(DirectoryOptions options, objects::Store& store, snapshot::Checkouts& checkouts)
    : options_(std::move(options)), store_(store), checkouts_(checkouts) {
  make_passage(options_.directory);
  if (!may_make_ahead()) ahead_ = Ahead::never;
  make_ahead();
}

std::string JobDirectories::directory(const model::JobId& id, int launch) const {
  return options_.directory + "/" + id + "/" + std::to_string(launch);
}

std::string JobDirectories::side_log(const model::JobId& id, std::string_view stream) const {
  return options_.directory + "/" + id + "/" + std::string(stream);
}

snapshot::Owner JobDirectories::owner_of(const os::Identity& identity) const {
  if (options_.several_users) return {identity.uid, identity.gid};
  return {::geteuid(), ::getegid()};
}

void JobDirectories::hand_over(const std::string& directory, const os::Identity& identity, unsigned mode) const {
  os::make_directories(directory, mode);
  const auto owner = owner_of(identity);
  if (::chown(directory.c_str(), owner.uid, owner.gid) < 0) throw_errno("hand over", directory);
}

std::optional<std::uint64_t> JobDirectories::prepare(const model::Job& job, const os::Identity& owner,
                                                     std::uint64_t room) {
  const auto manifest = snapshot::load_manifest(store_, *job.request.snapshot);
  if (!options_.overlays) return std::nullopt;
  const auto whose = owner_of(owner);
  const auto bytes = manifest.totals().bytes;
  if (bytes > room && !checkouts_.has({whose.uid, manifest.id()})) return bytes;
  checkouts_.prepare(store_, manifest, whose);
  return std::nullopt;
}

std::uint64_t JobDirectories::bytes_of(const Digest& snapshot) const {
  return snapshot::load_manifest(store_, snapshot).totals().bytes;
}

Site JobDirectories::make(const model::Job& job, int launch, const os::Identity& owner) {
  const auto place = directory(job.id, launch);
  if (launch != 1 || !take_ahead(os::parent_of(place))) {
    if (os::exists(place)) discard(job.id, launch);  // of an agent that died before its intent was on record
    make_passage(place);
  }
  // Nobody passes from the host into what a program of an image may have put there: a set-uid file, say.
  if (options_.several_users && model::in_container(job.request.environment) &&
      ::chmod(os::parent_of(place).c_str(), 0700) < 0)
    throw_errno("close", os::parent_of(place));
  os::open(os::join(place, shim::kLogFile), O_WRONLY | O_CREAT | O_APPEND, 0600);
  Site site;
  site.stop_reason = os::join(place, shim::kStopReasonFile);
  site.tmp = os::join(place, kTmp);
  hand_over(site.tmp, owner);
  if (std::any_of(job.request.secrets.begin(), job.request.secrets.end(),
                  [](const auto& one) { return one.second.file; })) {
    site.secrets = os::join(place, kSecrets);
    hand_over(site.secrets, owner);
  }
  if (job.request.snapshot) {
    make_tree(job, place, owner, site);
  } else if (model::in_container(job.request.environment)) {
    site.scratch = os::join(place, kScratch);
    hand_over(site.scratch, owner);
  }
  return site;
}

void JobDirectories::make_ahead() noexcept {
  try {
    if (const std::lock_guard guard(mutex_); ahead_ != Ahead::none) return;
    if (os::exists(ahead_path())) os::remove_tree(ahead_path());  // an earlier agent's, perhaps half made
    const auto place = os::join(ahead_path(), "1");
    make_passage(place);
    os::open(os::join(place, shim::kLogFile), O_WRONLY | O_CREAT | O_APPEND, 0600);
    os::make_directories(os::join(place, kTmp), 0700);
    const std::lock_guard guard(mutex_);
    ahead_ = Ahead::there;
  } catch (const Error&) {  // the next launch finds out by itself what there is to tell
  }
}

bool JobDirectories::take_ahead(const std::string& job) {
  const std::lock_guard guard(mutex_);
  if (ahead_ != Ahead::there || os::exists(job)) return false;
  ahead_ = Ahead::none;
  const auto as_made = [&] {
    auto names = os::names_in(os::join(ahead_path(), "1"));
    std::sort(names.begin(), names.end());
    return names == std::vector<std::string>{shim::kLogFile, kTmp};
  };
  try {
    if (!as_made()) return false;
    if (::rename(ahead_path().c_str(), job.c_str()) == 0) return true;
    if (errno == EXDEV) ahead_ = Ahead::never;  // jobs are on another file system
  } catch (const Error&) {  // somebody has taken it away
  }
  return false;
}

// Where a file that is synced is found again with all the directories that lead to it, renamed ones included. Not on
// btrfs, whose log leaves out what was renamed further up.
bool JobDirectories::may_make_ahead() const {
  struct statfs info {};
  if (::statfs(options_.directory.c_str(), &info) < 0) return false;
  for (const auto type : {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, TMPFS_MAGIC})
    if (static_cast<long>(info.f_type) == type) return true;
  return false;
}

std::string JobDirectories::ahead_path() const { return os::join(os::parent_of(options_.directory), kAhead); }

void JobDirectories::make_tree(const model::Job& job, const std::string& place, const os::Identity& owner, Site& site) {
  site.tree = os::join(place, kTree);
  const auto manifest = snapshot::load_manifest(store_, *job.request.snapshot);
  hand_over(site.tree, owner);
  if (!options_.overlays) {
    snapshot::RestoreOptions restore;
    if (options_.several_users) restore.owner = owner_of(owner);
    snapshot::restore(store_, manifest, os::open(site.tree, O_RDONLY | O_DIRECTORY), restore);
    return;
  }
  auto lease = checkouts_.prepare(store_, manifest, owner_of(owner));
  os::Overlay overlay{lease.layers(), os::join(place, kUpper), os::join(place, kOverlayWork), site.tree};
  hand_over(overlay.upper, owner);
  hand_over(overlay.work, owner);
  site.overlay = std::move(overlay);
  const std::lock_guard guard(mutex_);
  leases_.erase(place);
  leases_.emplace(place, std::move(lease));
}

std::vector<std::string> output_directories(const model::Job& job) {
  auto outputs = job.request.outputs;
  if (job.request.snapshot && std::find(outputs.begin(), outputs.end(), "outputs") == outputs.end())
    outputs.emplace_back("outputs");
  return outputs;
}

CollectFrom JobDirectories::collect_from(const model::Job& job, int launch) const {
  const auto place = directory(job.id, launch);
  CollectFrom from;
  from.limits = errand_limits(job.request);
  from.request.directories = output_directories(job);
  from.request.most_bytes = options_.collecting.most_bytes.bytes();
  from.request.most_entries = options_.collecting.most_entries;
  if (!job.request.snapshot && !model::in_container(job.request.environment)) {
    from.path = job.request.working_directory;
    from.request.known_as = from.path;
    return from;
  }
  // An overlay's upper layer is just what the job wrote.
  const auto* tree = !job.request.snapshot ? kScratch : options_.overlays ? kUpper : kTree;
  from.tree = os::open_directory(os::join(place, tree));
  from.request.known_as = os::join(place, job.request.snapshot ? kTree : kScratch);
  if (job.request.snapshot) from.request.base = job.request.working_directory;
  return from;
}

std::string JobDirectories::looking_file(const model::JobId& id, int launch) const {
  return os::join(directory(id, launch), kLooking);
}

bool JobDirectories::anything_to_collect(const model::Job& job, int launch) const noexcept {
  try {
    const auto from = collect_from(job, launch);
    return !from.tree || snapshot::anything_to_collect(from.tree, from.request);
  } catch (const std::exception&) {  // whoever collects will tell
    return true;
  }
}

// What is left of a launch may hold anything, programs that run as their owner too.
void JobDirectories::close(const std::string& place) const { ::chmod(place.c_str(), 0700); }

Collected JobDirectories::collect(const model::Job& job, int launch, const os::Identity& owner,
                                  const std::stop_token& stop) {
  const auto place = directory(job.id, launch);
  close(place);
  count_collecting(os::join(place, kCollecting));
  auto from = collect_from(job, launch);
  if (options_.several_users) from.owner = owner;
  // A copy is compared with what it was made from.
  if (job.request.snapshot && !options_.overlays)
    from.request.code = snapshot::load_manifest(store_, *job.request.snapshot);
  return collect_outputs(store_, options_.collecting, from, stop);
}

os::Removal JobDirectories::strip(const model::JobId& id, int launch, const std::stop_token& stop) {
  const auto place = directory(id, launch);
  close(place);
  os::unmount_defused(place);
  // First, and in this order: who comes late must find nothing to run.
  for (const auto* name : {shim::kLaunchFile, shim::kClaimFile}) ::unlink(os::join(place, name).c_str());
  os::Removal all;
  for (const auto& name : names_or_left(place, all)) {
    if (is_kept(name)) continue;
    add(all, os::remove_what_can_be(os::join(place, name), stop));
    if (all.stopped) return all;  // the next agent goes on with it
  }
  const std::lock_guard guard(mutex_);
  leases_.erase(place);
  return all;
}

os::Removal JobDirectories::strip_up_to(const model::JobId& id, int launch, const std::stop_token& stop) {
  os::Removal all;
  const auto place = os::join(options_.directory, id.value());
  for (const auto& name : names_or_left(place, all)) {
    const int number = std::atoi(name.c_str());
    if (name.ends_with(kDiscarded))  // what discard() could not finish
      add(all, os::remove_what_can_be(os::join(place, name), stop));
    else if (number > 0 && number <= launch && !stop.stop_requested())
      add(all, strip(id, number, stop));
  }
  return all;
}

int JobDirectories::last_launch(const model::JobId& id) const {
  int last = 0;
  for (const auto& name : os::names_in(os::join(options_.directory, id.value())))
    last = std::max(last, std::atoi(name.c_str()));
  return last;
}

std::vector<model::JobId> JobDirectories::with_leftovers(const std::vector<model::JobId>& jobs,
                                                         const std::stop_token& stop) const {
  const auto any_left = [&](const model::JobId& id) {
    const auto place = os::join(options_.directory, id.value());
    for (const auto& launch : os::names_in(place)) {
      if (std::atoi(launch.c_str()) <= 0) continue;
      const auto names = os::names_in(os::join(place, launch));
      if (!std::all_of(names.begin(), names.end(), [](const std::string& name) { return is_kept(name); })) return true;
    }
    return false;
  };
  const auto may_have_left = [&](const model::JobId& id) {
    try {
      return any_left(id);
    } catch (const Error&) {  // whoever removes it will tell
      return true;
    }
  };
  std::vector<model::JobId> left;
  for (const auto& id : jobs)
    if (!stop.stop_requested() && may_have_left(id)) left.push_back(id);
  return left;
}

bool JobDirectories::is_supervised(const model::JobId& id) const {
  const auto all = os::join(options_.directory, id.value());
  for (const auto& launch : os::names_in(all)) {
    const auto place = os::join(all, launch);
    // One that has written its ending is on its way out.
    if (os::exists(os::join(place, shim::kClaimFile)) && !os::exists(os::join(place, shim::kEndingFile)) &&
        shim::is_supervised(place))
      return true;
  }
  return false;
}

std::vector<model::JobId> JobDirectories::list() const {
  std::vector<model::JobId> jobs;
  for (const auto& job : std::filesystem::directory_iterator(options_.directory))
    jobs.emplace_back(job.path().filename().string());
  return jobs;
}

void JobDirectories::discard(const model::JobId& id, int launch) {
  const auto place = directory(id, launch);
  os::unmount_defused(place);  // of an agent that died while it started a container
  // A supervisor that comes late must find all of it or nothing.
  const auto out_of_the_way = place + kDiscarded;
  if (::rename(place.c_str(), out_of_the_way.c_str()) < 0 && errno != ENOENT) throw_errno("rename", place);
  os::remove_tree(out_of_the_way);
  const std::lock_guard guard(mutex_);
  leases_.erase(place);
}

std::uint64_t JobDirectories::log_bytes(const model::JobId& id, int launch) const {
  const auto place = directory(id, launch);
  return allocated(os::join(place, shim::kLogFile)) + allocated(os::join(place, shim::kLogIndexFile));
}

std::uint64_t JobDirectories::log_bytes(const model::JobId& id) const {
  std::uint64_t bytes = 0;
  const auto place = os::join(options_.directory, id.value());
  os::Removal unseen;  // what cannot be looked into counts nothing
  for (const auto& name : names_or_left(place, unseen))
    bytes += std::atoi(name.c_str()) > 0 ? log_bytes(id, std::atoi(name.c_str())) : allocated(os::join(place, name));
  return bytes;
}

void JobDirectories::remove(const model::JobId& id, std::optional<int> launch) {
  const auto all = os::join(options_.directory, id.value());
  if (!launch) return os::remove_tree(all);
  for (const auto& name : os::names_in(all))
    if (std::atoi(name.c_str()) <= *launch) os::remove_tree(os::join(all, name));
  ::rmdir(all.c_str());  // unless a later launch is in it
}

BuildDirectory::~BuildDirectory() {
  try {
    os::remove_tree(path_);
  } catch (const Error&) {  // the next agent empties the directory that it is in
  }
}

std::unique_ptr<const BuildDirectory> JobDirectories::make_context(const Digest& snapshot, disk::Transit::Charge room,
                                                                   const std::stop_token& stop) {
  const auto manifest = snapshot::load_manifest(store_, snapshot);
  if (manifest.totals().bytes > room.bytes())
    throw Error(Code::internal, "no room was made for the files of snapshot " + snapshot.brief());
  const auto name = std::string(kContext) + std::to_string(++contexts_made_);
  auto place = std::make_unique<const BuildDirectory>(os::join(options_.contexts, name), std::move(room));
  os::make_directories(place->path(), 0700);
  snapshot::RestoreOptions options;
  options.stop = stop;
  snapshot::restore(store_, manifest, os::open(place->path(), O_RDONLY | O_DIRECTORY), options);
  return place;
}

void JobDirectories::adopt_build_log(const model::JobId& id, const std::string& log) noexcept {
  try {
    const auto own = side_log(id, "build");
    make_passage(os::parent_of(own));
    for (const std::string suffix : {"", ".index"}) {
      const auto fresh = own + suffix + ".new";
      ::unlink(fresh.c_str());
      if (::link((log + suffix).c_str(), fresh.c_str()) == 0) ::rename(fresh.c_str(), (own + suffix).c_str());
      ::unlink(fresh.c_str());  // rename() leaves it where both are the same file
    }
  } catch (...) {
  }
}

void JobDirectories::remark(const model::JobId& id, const std::string& text) noexcept {
  try {
    make_passage(os::parent_of(side_log(id, "agent")));
    const auto log = side_log(id, "agent");
    logs::Appender(log, log + ".index", kRemarksCap).append(text + "\n");
  } catch (...) {
  }
}

}  // namespace berth::drivers
