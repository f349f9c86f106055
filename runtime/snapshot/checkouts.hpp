#pragma once

// Read-only checkouts of snapshots, to be the lower layers of an overlay per job. A full checkout is a whole
// tree; a thin one holds only what differs from a full one, with overlayfs's marks for what is gone, so that
// preparing a snapshot that resembles an earlier one writes next to nothing. At most two layers result. What
// was published is never changed. Below the directory, each uid has its own, which nobody but the agent may
// enter:
//
//   UID/DIGEST/tree   the checkout         UID/DIGEST/base       digest of the full checkout below (thin
//   ones) UID/DIGEST/size   bytes, as text       UID/DIGEST/manifest   (full ones)
//
// Nothing is synced: after a reboot everything is made anew.

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/clock.hpp"
#include "runtime/base/digest.hpp"
#include "runtime/objects/store.hpp"
#include "runtime/os/lock.hpp"
#include "runtime/snapshot/manifest.hpp"
#include "runtime/snapshot/restore.hpp"

namespace berth::snapshot {

// Which extended attributes mark overlays: `user` for mounts with the option userxattr, in a user namespace.
enum class OverlayMarks { trusted, user };

class Checkouts {
 public:
  struct Key {
    uid_t uid;
    Digest digest;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  // While it lives, its checkout stays.
  class Lease {
   public:
    Lease(Lease&& other) noexcept
        : checkouts_(std::exchange(other.checkouts_, nullptr)), key_(other.key_), layers_(std::move(other.layers_)) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    // For `lowerdir=`, topmost first.
    const std::vector<std::string>& layers() const { return layers_; }

   private:
    friend class Checkouts;
    Lease(Checkouts& checkouts, const Key& key, std::vector<std::string> layers)
        : checkouts_(&checkouts), key_(key), layers_(std::move(layers)) {}
    Checkouts* checkouts_;
    Key key_;
    std::vector<std::string> layers_;
  };

  // Code::conflict while another process uses the directory. Removes what a crash left unfinished.
  explicit Checkouts(std::string directory, OverlayMarks marks = OverlayMarks::trusted);
  Checkouts(const Checkouts&) = delete;
  Checkouts& operator=(const Checkouts&) = delete;

  // Of a snapshot whose objects are in the store. Equal requests at the same time share the work.
  Lease prepare(const objects::Store& store, const Manifest& manifest, const Owner& owner);

  bool has(const Key& key) const;
  std::uint64_t usage() const;
  std::size_t count() const;
  struct Idle {
    Key key;
    std::uint64_t bytes = 0;
    Instant last_used{};
  };
  // What is neither leased, nor in `keep` (jobs that outlived the agent), nor below something that is: the least
  // recently used first, and none before what builds on it.
  std::vector<Idle> idle(const std::set<Key>& keep) const;
  // False where it is needed by now, or gone.
  bool remove(const Key& key, const std::set<Key>& keep);

 private:
  struct Checkout {
    std::optional<Digest> base;
    std::uint64_t bytes = 0;
    std::uint64_t last_used = 0;
    unsigned leases = 0;
  };

  void load();
  void load_user(const std::string& name);
  void forget_before_reboot();
  std::string user_directory(uid_t uid) const;
  std::string path_of(const Key& key) const;
  Lease lease(const Key& key);
  void make(const objects::Store& store, const Manifest& manifest, const Owner& owner, const Key& key);
  std::optional<std::pair<Digest, Manifest>> base_for(const Manifest& manifest, uid_t uid);
  bool is_needed(const Key& key, const std::set<Key>& keep) const;
  void release(const Key& key);

  std::string directory_;
  OverlayMarks marks_;
  os::FileLock lock_;

  mutable std::mutex mutex_;  // all below
  std::condition_variable made_;
  std::map<Key, Checkout> checkouts_;
  std::set<Key> being_made_;
  std::uint64_t uses_ = 0;
  std::uint64_t temporaries_ = 0;
};

}  // namespace berth::snapshot
