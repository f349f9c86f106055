#include "runtime/environment/cache.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/as_built.hpp"
#include "runtime/os/access_list.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/identity.hpp"
#include "runtime/os/lock.hpp"
#include "runtime/os/process.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::environment {

using os::join;

// The lock, and the moments of use.
class Lease::Held {
 public:
  explicit Held(os::FileLock lock) : lock_(std::move(lock)) { touch(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { touch(); }

 private:
  void touch() { ::futimens(lock_.file().get(), nullptr); }
  os::FileLock lock_;
};

namespace {

constexpr const char* kReadyFile = "ready.json";
constexpr const char* kUsesFile = "uses";
constexpr const char* kAsBuiltFile = "as-built";
constexpr const char* kSetAside = "doomed";
constexpr const char* kFailed = "failed";

std::optional<Instant> time_of_change(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return from_unix_micros(info.st_mtim.tv_sec * 1'000'000 + info.st_mtim.tv_nsec / 1000);
}

// Follows symlinks, unlike os::exists.
bool leads_somewhere(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failure))
    names.push_back(entry.path().filename().string());
  return names;
}

}  // namespace

Cache::Cache(std::string directory) : directory_(std::move(directory)) {
  os::make_directories(directory_, 0711);
  if (::chmod(directory_.c_str(), 0711) != 0 && ::geteuid() == 0) throw_errno("protect", printable(directory_));
  os::make_directories(join(directory_, kSetAside), 0700);
  os::make_directories(join(directory_, kFailed), 0700);
  os::make_directories(tools_cache(), 0755);
}

std::string Cache::directory(const Digest& digest) const { return join(directory_, digest.hex()); }
std::string Cache::prefix(const Digest& digest) const { return join(directory(digest), "made/prefix"); }
std::string Cache::launch_directory(const Digest& digest) const { return join(directory(digest), "build"); }
void Cache::make_launch_directory(const Digest& digest) const {
  os::TempDir fresh("build", directory(digest));
  if (::chmod(fresh.path().c_str(), 0711) != 0) throw_errno("open to the build", fresh.path());
  if (::symlink(os::name_of(fresh.path()).c_str(), launch_directory(digest).c_str()) != 0)
    throw_errno("link to", fresh.path());
  fresh.keep();
}
std::string Cache::work_directory(const Digest& digest) const { return join(directory(digest), "work"); }
std::string Cache::recipe_file(const Digest& digest) const { return join(directory(digest), "recipe.json"); }
std::string Cache::tools_cache() const { return join(directory_, "cache"); }
std::string Cache::tools_cache_of(uid_t person) const { return join(tools_cache(), std::to_string(person)); }
std::string Cache::own_tools_cache(const Digest& digest) const { return join(directory(digest), "made/cache"); }
std::string Cache::ready_file(const Digest& digest) const { return join(directory(digest), kReadyFile); }

std::string Cache::failed_log(const Digest& digest) const {
  return join(join(directory_, kFailed), digest.hex() + ".log");
}

std::optional<Built> Cache::read(const Digest& digest) const {
  const auto text = os::read_file_if_exists(ready_file(digest));
  if (!text) return std::nullopt;
  try {
    return built_from_text(*text);
  } catch (const Error&) {  // a record that cannot be read is none: it will be built again
    return std::nullopt;
  }
}

// With `mutex_` held.
void Cache::remember(const Built& built) {
  auto& known = known_[built.digest];
  known.only_in_boot = built.only_in_boot;
  auto& entry = known.entry;
  entry.digest = built.digest;
  entry.kind = built.kind;
  entry.words = built.words;
  entry.bytes = built.bytes;
  entry.created = built.created;
  entry.python_version = built.python_version;
  entry.log = log_of(built.digest);
  entry.image = built.image;
  entry.below = images_below(built.canonical);
  entry.owner = built.owner;
}

// With `mutex_` held. What is remembered counts as long as the file is there.
const Cache::Known* Cache::find(const Digest& digest) {
  const auto known = known_.find(digest);
  if (known != known_.end() && os::exists(ready_file(digest))) return &known->second;
  known_.erase(digest);
  const auto built = read(digest);
  if (!built) return nullptr;
  remember(*built);
  return &known_.at(digest);
}

std::string Cache::log_of(const Digest& digest) const { return join(launch_directory(digest), shim::kLogFile); }

std::optional<Leased> Cache::lease(const Digest& digest) {
  const auto built = read(digest);
  if (!built) return std::nullopt;
  const bool here = built->image.empty() && !built->interpreter.empty();
  if (here && !leads_somewhere(built->interpreter)) return std::nullopt;
  auto ready = ready_from(*built);
  ready.build_log = log_of(digest);
  if (built->image.empty()) ready.prefix = prefix(digest);
  const std::lock_guard guard(mutex_);
  const auto* known = find(digest);
  if (known == nullptr) return std::nullopt;
  if (auto held = known->held.lock()) return Leased{std::move(ready), Lease(std::move(held))};
  auto lock = os::FileLock::try_share(join(directory(digest), kUsesFile));
  if (!lock || !os::exists(ready_file(digest))) return std::nullopt;
  const auto held = std::make_shared<Lease::Held>(std::move(*lock));
  known_.at(digest).held = held;
  return Leased{std::move(ready), Lease(held)};
}

bool Cache::is_published(const Digest& digest) const { return os::exists(ready_file(digest)); }

void Cache::publish(const Built& built) {
  const std::lock_guard changing(changing_);
  // What counts in this boot only need not outlive it; harden() makes the record last, together with what it is of.
  const bool lasts = built.only_in_boot.empty();
  os::write_file(ready_file(built.digest), to_text(built), 0600, lasts ? os::Durable::yes : os::Durable::no);
  if (lasts) os::sync_directory(directory_);
  const std::lock_guard guard(mutex_);
  remember(built);
}

void Cache::open_to(const Digest& digest, std::optional<uid_t> owner) const {
  const auto where = directory(digest);
  if (!owner) {
    if (::chmod(where.c_str(), 0711) != 0) throw_errno("open", where);
  } else if (!os::let_in_only(where, *owner)) {
    // Without access lists the group must do.
    const auto group = os::identity_of(*owner);
    if (!group || ::chown(where.c_str(), ::geteuid(), group->gid) != 0 || ::chmod(where.c_str(), 0710) != 0)
      throw_errno("open to its owner", where);
  }
}

void Cache::tidy(const Digest& digest) const {
  os::remove_tree(work_directory(digest));
  for (const auto& name : names_in(launch_directory(digest)))
    if (name != shim::kLogFile && name != shim::kLogIndexFile) os::remove_tree(join(launch_directory(digest), name));
  os::remove_file(recipe_file(digest));  // last: sweep() goes by it
}

bool Cache::is_as_built(const Digest& digest) const {
  const auto file = join(directory(digest), kAsBuiltFile);
  const auto then = os::read_file_if_exists(file);
  if (!then) close_to_writers(prefix(digest));
  const auto now = state_of(prefix(digest));
  if (!then) os::write_file(file, now, 0600, os::Durable::no);
  return !then || *then == now;
}

void Cache::harden(const Digest& digest) {
  if (!is_published(digest)) return;  // removed already
  const auto tree = os::open(directory(digest), O_RDONLY | O_DIRECTORY);
  if (::syncfs(tree.get()) != 0) throw_errno("write to disk", directory(digest));
  const std::lock_guard changing(changing_);
  auto built = read(digest);
  if (!built) return;
  built->only_in_boot.clear();
  os::write_file(ready_file(digest), to_text(*built), 0600, os::Durable::yes);
  os::sync_directory(directory_);
  const std::lock_guard guard(mutex_);
  remember(*built);
}

Entry Cache::current(const Known& known) const {
  auto entry = known.entry;
  entry.last_used = time_of_change(join(directory(entry.digest), kUsesFile)).value_or(entry.created);
  entry.leased = !known.held.expired();
  return entry;
}

std::vector<Digest> Cache::all() const {
  std::vector<Digest> digests;
  for (const auto& name : names_in(directory_))
    if (const auto digest = parse_digest(name)) digests.push_back(*digest);
  return digests;
}

std::vector<Entry> Cache::list() {
  std::vector<Entry> entries;
  for (const auto& digest : all()) {
    const std::lock_guard guard(mutex_);
    if (const auto* known = find(digest)) entries.push_back(current(*known));
  }
  return entries;
}

std::uint64_t Cache::bytes() {
  const std::lock_guard guard(mutex_);
  std::uint64_t bytes = 0;
  for (const auto& [digest, known] : known_) bytes += known.entry.bytes;
  return bytes;
}

std::string Cache::show(const Digest& digest) {
  if (const auto built = read(digest)) return to_text(*built);
  throw Error(Code::not_found, "there is no environment " + digest.brief(), "`berth env ls` lists those there are");
}

void Cache::remove(const Digest& digest) {
  show(digest);
  clear(digest);
}

void Cache::clear(const Digest& digest) {
  const auto where = directory(digest);
  if (!os::exists(where)) return;
  set_aside(digest);
  os::remove_tree(join(join(directory_, kSetAside), digest.hex()));
}

// Out of everybody's sight in one step. Who opens `uses` meanwhile finds no ready.json once he has its lock.
void Cache::set_aside(const Digest& digest) {
  const std::lock_guard changing(changing_);
  const std::lock_guard guard(mutex_);
  const auto alone = os::FileLock::try_acquire(join(directory(digest), kUsesFile));
  if (!alone)
    throw Error(Code::conflict, "the environment " + digest.brief() + " is in use",
                "wait for the jobs that run in it, or cancel them");
  known_.erase(digest);
  os::remove_file(ready_file(digest));
  const auto aside = join(join(directory_, kSetAside), digest.hex());
  os::remove_tree(aside);
  std::error_code failure;
  std::filesystem::rename(directory(digest), aside, failure);
  if (failure) throw errno_error(failure.value(), "remove", printable(directory(digest)));
}

void Cache::sweep() {
  for (const auto& name : names_in(join(directory_, kSetAside)))
    os::remove_tree(join(join(directory_, kSetAside), name));
  for (const auto& digest : all()) {
    if (!is_published(digest)) continue;
    if (!can_be_read(digest))
      clear(digest);  // torn by a power failure
    else if (os::exists(recipe_file(digest)))
      tidy(digest);
  }
  for (const auto& digest : not_hardened()) {
    bool damaged = false;
    {
      const std::lock_guard guard(mutex_);
      const auto* known = find(digest);
      damaged = known != nullptr && known->only_in_boot != os::boot_id();
    }
    if (damaged) clear(digest);
  }
}

bool Cache::can_be_read(const Digest& digest) {
  const std::lock_guard guard(mutex_);
  return find(digest) != nullptr;
}

std::vector<Digest> Cache::unfinished() const {
  std::vector<Digest> digests;
  for (const auto& digest : all())
    if (!os::exists(ready_file(digest))) digests.push_back(digest);
  return digests;
}

std::vector<Digest> Cache::not_hardened() {
  std::vector<Digest> digests;
  for (const auto& digest : all()) {
    const std::lock_guard guard(mutex_);
    const auto* known = find(digest);
    if (known != nullptr && !known->only_in_boot.empty()) digests.push_back(digest);
  }
  return digests;
}

}  // namespace berth::environment
