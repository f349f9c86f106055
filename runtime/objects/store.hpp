#pragma once

// The content-addressed store: immutable objects named by their SHA-256, kept in a few container files. It
// owns one directory, for one process at a time; any number of threads may read while one writes. It never
// decides what may go: sweep() is told what is alive. What a crash leaves behind is either a complete
// container or swept away when the store is next opened.

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "runtime/base/digest.hpp"
#include "runtime/objects/buffer.hpp"
#include "runtime/objects/frame.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/lock.hpp"

namespace berth::objects {

class Container;
class ContainerWriter;
class Store;
struct Place;

using DigestSet = std::unordered_set<Digest>;

struct Item {
  Digest digest;
  std::uint32_t size;
};

// New objects on their way into a store. Nothing of it is seen before commit(); without one it leaves
// nothing.
class Batch {
 public:
  explicit Batch(Store& store);
  Batch(Batch&&) noexcept;
  Batch& operator=(Batch&&) = delete;
  ~Batch();

  bool has(const Digest& digest) const { return added_.contains(digest); }

  // `digest` must be that of `bytes`. What the store or this batch already has is not added again.
  void add(const Digest& digest, std::string_view bytes);
  // The same, but for what the store has: the work is that of new bytes, whoever else stored them.
  void append(const Digest& digest, std::string_view bytes);
  // A frame as it is. The items are its objects in order and must fill it.
  void add_frame(std::span<const Item> items, Encoding encoding, std::string_view stored);
  // One new container, written with one sync. A batch without objects leaves no container.
  void commit(os::Durable durable);

 private:
  friend class Store;
  void flush();
  ContainerWriter& writer();

  Store* store_;
  std::unique_ptr<ContainerWriter> writer_;
  std::unique_ptr<Compressor> compressor_;
  DigestSet added_;
  std::vector<Item> pending_;
  Buffer pending_bytes_;
};

// What is alive: an object by itself, or one that names others, which whoever tells what is alive follows.
struct Root {
  Digest digest;
  bool names_others = false;
};

struct Usage {
  std::uint64_t containers = 0;
  std::uint64_t objects = 0;
  std::uint64_t stored_bytes = 0;  // on disk
};

struct SweepReport {
  bool no_space = false;  // the disk is too full to rewrite what is partly alive; the rest was done
  std::uint64_t objects_removed = 0;
  std::uint64_t bytes_freed = 0;
  std::uint64_t containers_rewritten = 0;
};

enum class DryRun { no, yes };
// How many dead bytes a container may keep: a quarter, or, where space is short, a twentieth.
enum class Thorough { no, yes };

class Store {
 public:
  // Makes the directory where it is missing; Code::conflict while another process has the store open.
  explicit Store(std::string directory);
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store();

  bool has(const Digest& digest) const;
  std::optional<std::uint64_t> size_of(const Digest& digest) const;
  // The object, verified: Code::not_found, Code::corrupt.
  std::string read(const Digest& digest) const;
  // Reads each of the digests (no two equal) once, verified, in the order that decompresses every frame once:
  // visit gets the pieces of one frame in the order of their bytes, which it may use until it returns; from
  // several threads at once where `workers` > 1. Code::not_found before the first call.
  struct Piece {
    std::size_t index;  // in `digests`
    std::string_view bytes;
  };
  using Visit = std::function<void(std::span<const Piece>, unsigned worker)>;
  void read_each(std::span<const Digest> digests, unsigned workers, const Visit& visit) const;

  Batch begin() { return Batch(*this); }

  // A root that is needed though it may be on no record: one that a transfer relies on (pin it before looking whether
  // it is here) or brings (pin it before it is published, until it is on record where sweep()'s `live` finds it). Never
  // waits, and keeps nothing else from being swept.
  class Pin {
   public:
    Pin() = default;
    Pin(Pin&& other) noexcept : store_(std::exchange(other.store_, nullptr)), at_(other.at_) {}
    Pin& operator=(Pin&& other) noexcept {
      std::swap(store_, other.store_);
      std::swap(at_, other.at_);
      return *this;
    }
    ~Pin() {
      if (store_ != nullptr) store_->release(at_);
    }

   private:
    friend class Store;
    Pin(Store& store, std::list<Root>::iterator at) : store_(&store), at_(at) {}
    Store* store_ = nullptr;
    std::list<Root>::iterator at_;
  };
  Pin pin(const Root& root);
  // What is pinned; while a sweep is in progress, what was at any time since it began.
  std::vector<Root> pinned() const;

  // Removes what is not in `live`, which counts the roots on record first and then those of pinned(), and what is large
  // and stored twice. Small remains inside of a container that is mostly alive stay until they add up. What is wholly
  // dead goes first, since that takes no space; then one container after the other is rewritten. Nothing is published
  // meanwhile.
  SweepReport sweep(const std::function<DigestSet()>& live, DryRun dry_run, Thorough thorough = Thorough::no);

  Usage usage() const;
  // Every object with its share of the disk space, in no order.
  void visit(const std::function<void(const Digest&, std::uint64_t bytes)>& visitor) const;
  // Files that were no complete containers when the store was opened: set aside, kept for a look.
  const std::vector<std::string>& damaged() const { return damaged_; }

  // Memory of what was found complete, with everything it names; forgotten by a sweep.
  bool known_complete(const Digest& digest) const;
  void note_complete(const Digest& digest);

 private:
  friend class Batch;
  using Containers = std::vector<std::shared_ptr<const Container>>;
  struct Found;
  struct CachedFrame;

  void load();
  std::string container_path(std::uint64_t id) const;
  std::string temporary_path();
  std::shared_ptr<const Containers> containers() const;
  void replace_containers(Containers containers);
  std::optional<Found> find(const Digest& digest) const;
  std::shared_ptr<const CachedFrame> frame_of(const Found& found) const;
  void publish(ContainerWriter& writer, os::Durable durable);
  void merge_small(os::Durable durable);
  std::shared_ptr<const Container> adopt(ContainerWriter& writer, os::Durable durable);
  void drop(const Containers& gone, Containers added);
  void release(std::list<Root>::iterator pinned);
  struct Garbage;
  std::vector<Garbage> garbage(DigestSet alive, Thorough thorough) const;
  void rewrite(const Garbage& container);

  std::string directory_;
  os::FileLock lock_;
  std::vector<std::string> damaged_;

  std::mutex writing_;  // commits, merges and sweeps, one at a time
  std::uint64_t next_id_ = 1;

  mutable std::mutex mutex_;  // all below
  std::shared_ptr<const Containers> containers_;
  mutable std::shared_ptr<const CachedFrame> cached_;
  DigestSet complete_;
  std::uint64_t temporaries_ = 0;
  std::list<Root> pinned_;
  std::list<Root> released_;  // since the sweep in progress began
  bool sweeping_ = false;
};

}  // namespace berth::objects
