#include "runtime/snapshot/checkouts.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/file.hpp"
#include "runtime/snapshot/diff.hpp"
#include "runtime/snapshot/tree.hpp"

namespace berth::snapshot {
namespace {

constexpr auto kNone = Manifest::kRoot;
// A larger difference gets a full checkout, for the next snapshots to build on.
constexpr std::uint64_t kThinEntries = 100;
constexpr std::uint64_t kThinEntriesPercent = 25;
constexpr std::uint64_t kThinBytesPercent = 50;
constexpr std::uint64_t kBytesPerEntry = 4096;
constexpr std::string_view kTemporary = "tmp.";

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

os::FileLock lock_of(const std::string& directory) {
  os::make_directories(directory, 0700);
  auto lock = os::FileLock::try_acquire(os::join(directory, "lock"));
  if (!lock) throw Error(Code::conflict, "the checkouts in " + printable(directory) + " are in use by another process");
  return std::move(*lock);
}

// As lease() marked it.
Instant last_used(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) < 0) return {};
  return from_unix_micros(info.st_mtim.tv_sec * 1'000'000LL + info.st_mtim.tv_nsec / 1000);
}

std::vector<std::string> names_in(const std::string& directory) {
  return list_names(os::open(directory, O_RDONLY | O_DIRECTORY));
}

// How a thin checkout differs from the full one below it.
struct Difference {
  std::vector<bool> wanted;            // entries of the target
  std::vector<std::uint32_t> removed;  // entries of the base
  std::vector<std::uint32_t> opaque;   // directories of the target that replace something else
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;

  Difference(const Manifest& base, const Manifest& target) : wanted(target.entries().size(), false) {
    compare(base, target, [&](std::uint32_t before, std::uint32_t after) {
      ++entries;
      if (after == kNone) {
        removed.push_back(before);
        return;
      }
      if (before != kNone && target[after].is_directory()) opaque.push_back(after);
      for (auto i = after; i < target[after].subtree_end; ++i) {
        wanted[i] = true;
        ++entries;
        if (target[i].is_file()) bytes += target[i].size;
      }
    });
    for (const auto i : removed)
      if (base[i].parent != kNone) wanted[*target.find(base.path(base[i].parent))] = true;
  }

  bool is_small(const Manifest& target) const {
    const bool few = entries <= kThinEntries || entries * 100 <= target.entries().size() * kThinEntriesPercent;
    return few && bytes * 100 <= target.totals().bytes * kThinBytesPercent;
  }
};

class ThinLayer {
 public:
  ThinLayer(const os::Fd& tree, const Manifest& base, const Manifest& target, const Owner& owner, OverlayMarks marks)
      : tree_(tree), base_(base), target_(target), owner_(owner), marks_(marks) {}

  void write(const objects::Store& store, const Difference& difference) {
    restore_some(store, target_, tree_, {.owner = owner_}, [&](std::uint32_t i) { return difference.wanted[i]; });
    for (const auto i : difference.removed) whiteout(i);
    for (const auto i : difference.opaque) make_opaque(i);
  }

 private:
  void whiteout(std::uint32_t i) {
    const auto parent = base_[i].parent;
    const auto directory = open_directory_beneath(tree_, parent == kNone ? "" : base_.path(parent));
    if (::mknodat(directory.get(), std::string(base_[i].name).c_str(), S_IFCHR, ::makedev(0, 0)) < 0)
      throw_errno("mark as removed", printable(base_.path(i)));
  }

  void make_opaque(std::uint32_t i) {
    const auto* name = marks_ == OverlayMarks::trusted ? "trusted.overlay.opaque" : "user.overlay.opaque";
    const auto directory = open_directory_beneath(tree_, target_.path(i));
    if (::fsetxattr(directory.get(), name, "y", 1, 0) < 0) throw_errno("mark as replaced", printable(target_.path(i)));
  }

  const os::Fd& tree_;
  const Manifest& base_;
  const Manifest& target_;
  const Owner& owner_;
  OverlayMarks marks_;
};

os::Fd make_tree(const std::string& path, const Owner& owner) {
  if (::mkdir(path.c_str(), 0755) < 0) throw_errno("make directory", printable(path));
  auto tree = os::open_directory(path);
  if (::fchmod(tree.get(), 0755) < 0) throw_errno("set the mode of", printable(path));
  if (::fchown(tree.get(), owner.uid, owner.gid) < 0) throw_errno("give away", printable(path));
  return tree;
}

}  // namespace

Checkouts::Checkouts(std::string directory, OverlayMarks marks)
    : directory_(std::move(directory)), marks_(marks), lock_(lock_of(directory_)) {
  forget_before_reboot();
  load();
}

void Checkouts::forget_before_reboot() {
  const auto boot = os::read_file("/proc/sys/kernel/random/boot_id");
  const auto path = os::join(directory_, "boot");
  if (os::read_file_if_exists(path) == boot) return;
  for (const auto& name : names_in(directory_))
    if (parse_number<uid_t>(name)) os::remove_tree(os::join(directory_, name));
  os::write_file(path, boot, 0600, os::Durable::no);
}

void Checkouts::load() {
  for (const auto& name : names_in(directory_))
    if (parse_number<uid_t>(name)) load_user(name);
}

void Checkouts::load_user(const std::string& name) {
  const auto user = os::join(directory_, name);
  std::vector<std::pair<std::int64_t, Key>> by_use;
  for (const auto& entry : names_in(user)) {
    const auto path = os::join(user, entry);
    const auto digest = parse_digest(entry);
    const auto size = digest ? os::read_file_if_exists(os::join(path, "size")) : std::nullopt;
    if (!size) {
      os::remove_tree(path);
      continue;
    }
    const Key key{*parse_number<uid_t>(name), *digest};
    auto& checkout = checkouts_[key];
    checkout.bytes = parse_number<std::uint64_t>(*size).value_or(0);
    if (const auto base = os::read_file_if_exists(os::join(path, "base"))) checkout.base = parse_digest(*base);
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0) by_use.emplace_back(stamp_of(info).modified, key);
  }
  std::sort(by_use.begin(), by_use.end());
  for (const auto& [time, key] : by_use) checkouts_[key].last_used = ++uses_;
}

std::string Checkouts::user_directory(uid_t uid) const { return os::join(directory_, std::to_string(uid)); }
std::string Checkouts::path_of(const Key& key) const { return os::join(user_directory(key.uid), key.digest.hex()); }

Checkouts::Lease Checkouts::prepare(const objects::Store& store, const Manifest& manifest, const Owner& owner) {
  const Key key{owner.uid, manifest.id()};
  std::unique_lock lock(mutex_);
  made_.wait(lock, [&] { return !being_made_.contains(key); });
  if (checkouts_.contains(key)) return lease(key);
  being_made_.insert(key);
  lock.unlock();
  try {
    make(store, manifest, owner, key);
  } catch (...) {
    lock.lock();
    being_made_.erase(key);
    made_.notify_all();
    throw;
  }
  lock.lock();
  being_made_.erase(key);
  made_.notify_all();
  return lease(key);
}

// With the mutex held.
Checkouts::Lease Checkouts::lease(const Key& key) {
  auto& checkout = checkouts_.at(key);
  ++checkout.leases;
  checkout.last_used = ++uses_;
  ::utimensat(AT_FDCWD, path_of(key).c_str(), nullptr, 0);  // only the order of eviction after a restart
  std::vector<std::string> layers{os::join(path_of(key), "tree")};
  if (checkout.base) {
    checkouts_.at({key.uid, *checkout.base}).last_used = uses_;
    layers.push_back(os::join(path_of({key.uid, *checkout.base}), "tree"));
  }
  return Lease(*this, key, std::move(layers));
}

Checkouts::Lease::~Lease() {
  if (checkouts_ != nullptr) checkouts_->release(key_);
}

void Checkouts::release(const Key& key) {
  const std::lock_guard lock(mutex_);
  --checkouts_.at(key).leases;
}

// The full checkout used last; leased until the caller has published what builds on it.
std::optional<std::pair<Digest, Manifest>> Checkouts::base_for(const Manifest& manifest, uid_t uid) {
  if (manifest.entries().empty()) return std::nullopt;
  std::optional<Key> latest;
  {
    const std::lock_guard lock(mutex_);
    std::uint64_t last_used = 0;
    for (const auto& [key, checkout] : checkouts_) {
      if (key.uid != uid || checkout.base || checkout.last_used < last_used) continue;
      latest = key;
      last_used = checkout.last_used;
    }
    if (!latest) return std::nullopt;
    ++checkouts_.at(*latest).leases;
  }
  try {
    auto base = Manifest::parse(os::read_file(os::join(path_of(*latest), "manifest"), kLargestManifest));
    if (base.id() == latest->digest) return std::pair(latest->digest, std::move(base));
  } catch (const Error&) {
    // Then a full checkout is made instead.
  }
  release(*latest);
  return std::nullopt;
}

void Checkouts::make(const objects::Store& store, const Manifest& manifest, const Owner& owner, const Key& key) {
  os::make_directories(user_directory(owner.uid), 0700);
  std::string temporary;
  {
    const std::lock_guard lock(mutex_);
    temporary = os::join(user_directory(owner.uid), std::string(kTemporary) + std::to_string(temporaries_++));
  }
  auto base = base_for(manifest, owner.uid);
  const auto give_back = [&](void*) { release({owner.uid, base->first}); };
  const std::unique_ptr<void, decltype(give_back)> held(base ? this : nullptr, give_back);
  try {
    os::make_directories(temporary, 0700);
    const auto tree = make_tree(os::join(temporary, "tree"), owner);
    Checkout made;
    std::optional<Difference> difference;
    if (base) difference.emplace(base->second, manifest);
    if (difference && difference->is_small(manifest)) {
      ThinLayer(tree, base->second, manifest, owner, marks_).write(store, *difference);
      made.base = base->first;
      made.bytes = difference->bytes + difference->entries * kBytesPerEntry;
      os::write_file(os::join(temporary, "base"), base->first.hex(), 0600, os::Durable::no);
    } else {
      restore(store, manifest, tree, {.owner = owner});
      made.bytes = manifest.totals().bytes + manifest.entries().size() * kBytesPerEntry;
      os::write_file(os::join(temporary, "manifest"), manifest.bytes(), 0600, os::Durable::no);
    }
    os::write_file(os::join(temporary, "size"), std::to_string(made.bytes), 0600, os::Durable::no);
    if (::rename(temporary.c_str(), path_of(key).c_str()) < 0) throw_errno("publish", printable(path_of(key)));
    const std::lock_guard lock(mutex_);
    checkouts_[key] = made;
  } catch (...) {
    os::remove_tree(temporary);
    throw;
  }
}

bool Checkouts::has(const Key& key) const {
  const std::lock_guard lock(mutex_);
  return checkouts_.contains(key);
}

std::uint64_t Checkouts::usage() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t bytes = 0;
  for (const auto& [key, checkout] : checkouts_) bytes += checkout.bytes;
  return bytes;
}

std::size_t Checkouts::count() const {
  const std::lock_guard lock(mutex_);
  return checkouts_.size();
}

bool Checkouts::is_needed(const Key& key, const std::set<Key>& keep) const {
  if (keep.contains(key) || checkouts_.at(key).leases > 0) return true;
  return std::any_of(checkouts_.begin(), checkouts_.end(),
                     [&](const auto& other) { return other.first.uid == key.uid && other.second.base == key.digest; });
}

std::vector<Checkouts::Idle> Checkouts::idle(const std::set<Key>& keep) const {
  std::map<Key, Checkout> left;
  {
    const std::lock_guard lock(mutex_);
    left = checkouts_;
  }
  std::map<Key, unsigned> builds_on;  // how many of those left build on it
  for (const auto& [key, checkout] : left)
    if (checkout.base) ++builds_on[{key.uid, *checkout.base}];
  std::vector<Idle> result;
  for (;;) {
    auto oldest = left.end();
    for (auto one = left.begin(); one != left.end(); ++one)
      if (one->second.leases == 0 && !keep.contains(one->first) && builds_on[one->first] == 0 &&
          (oldest == left.end() || one->second.last_used < oldest->second.last_used))
        oldest = one;
    if (oldest == left.end()) return result;
    const auto& [key, checkout] = *oldest;
    result.push_back({key, checkout.bytes, last_used(path_of(key))});
    if (checkout.base) --builds_on[{key.uid, *checkout.base}];
    left.erase(oldest);
  }
}

bool Checkouts::remove(const Key& key, const std::set<Key>& keep) {
  std::string doomed;
  {
    const std::lock_guard lock(mutex_);
    if (!checkouts_.contains(key) || is_needed(key, keep)) return false;
    doomed = os::join(user_directory(key.uid), std::string(kTemporary) + std::to_string(temporaries_++));
    if (::rename(path_of(key).c_str(), doomed.c_str()) < 0) throw_errno("remove", printable(path_of(key)));
    checkouts_.erase(key);
  }
  os::remove_tree(doomed);
  return true;
}

}  // namespace berth::snapshot
