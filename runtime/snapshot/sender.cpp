#include "runtime/snapshot/sender.hpp"

#include <fcntl.h>

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/snapshot/stat_cache.hpp"

namespace berth::snapshot {
namespace {

std::optional<Manifest> load_last_sent(const std::string& path) try {
  auto bytes = os::read_file_if_exists(path, kLargestManifest + 32);
  if (!bytes || bytes->size() < 32) return std::nullopt;
  auto manifest = Manifest::parse(bytes->substr(32));
  const auto& id = manifest.id().bytes;
  if (!std::equal(id.begin(), id.end(), reinterpret_cast<const std::uint8_t*>(bytes->data()))) return std::nullopt;
  return manifest;
} catch (const Error&) {
  return std::nullopt;
}

bool is_as_cached(const StatCache& cache, const Scan& scan) {
  if (cache.manifest() != scan.manifest || cache.root_stamp() != scan.root_stamp ||
      cache.ignore_name() != scan.ignore_name)
    return false;
  for (std::size_t i = 0; i < scan.stamps.size(); ++i)
    if (cache.stamp(i) != scan.stamps[i]) return false;
  return true;
}

}  // namespace

Sender::Sender(const std::string& cache_directory, const std::string& root, Options options)
    : directory_(cache_directory), root_(os::open(root, O_RDONLY | O_DIRECTORY)), ignore_files_(options.ignore_files) {
  os::make_directories(directory_, 0700);
  lock_ = os::FileLock::try_acquire(os::join(directory_, "lock"));
  last_sent_ = load_last_sent(os::join(directory_, "sent"));
  if (lock_) open_store(options.budget);
}

// Over the budget, what the last snapshot does not need goes first, and then everything.
void Sender::open_store(ByteSize budget) {
  const auto path = os::join(directory_, "contents");
  store_ = std::make_unique<objects::Store>(path);
  if (store_->usage().stored_bytes <= budget.bytes()) return;
  const auto needed = [this] {
    objects::DigestSet live;
    if (last_sent_)
      for (const auto& entry : last_sent_->entries()) live.insert(entry.digest);
    return live;
  };
  store_->sweep(needed, objects::DryRun::no);
  if (store_->usage().stored_bytes <= budget.bytes()) return;
  store_.reset();
  os::remove_tree(path);
  store_ = std::make_unique<objects::Store>(path);
}

Scan Sender::scan() {
  const auto path = os::join(directory_, "tree");
  const auto cache = StatCache::load(path);
  ScanOptions options;
  options.ignore_files = ignore_files_;
  options.cache = cache ? &*cache : nullptr;
  options.has_recipe = [this](const Digest& digest) { return store_ && store_->has(digest); };
  auto scan = snapshot::scan(root_, options);
  if (store_ && !scan.recipes.empty()) {
    auto batch = store_->begin();
    for (const auto& [digest, recipe] : scan.recipes) batch.add(digest, recipe);
    batch.commit(os::Durable::no);
  }
  if (!cache || !is_as_cached(*cache, scan)) StatCache::save(path, scan);
  return scan;
}

std::vector<Digest> Sender::bases() const {
  if (!last_sent_) return {};
  return {last_sent_->id()};
}

PackReport Sender::write_pack(const Scan& scan, std::span<const Digest> bases, const Sink& sink,
                              const Progress& progress) {
  std::vector<Manifest> manifests;
  for (const auto& base : bases)
    if (last_sent_ && last_sent_->id() == base) manifests.push_back(*last_sent_);
  TreeContent content(root_, scan, store_.get());
  PackOptions options;
  options.progress = progress;
  kept_.reset();
  if (store_) options.keep = &kept_.emplace(*store_);
  return snapshot::write_pack(scan.manifest, manifests, content, sink, options);
}

void Sender::sent(const Scan& scan) {
  if (kept_) kept_->commit(os::Durable::no);
  kept_.reset();
  if (last_sent_ && *last_sent_ == scan.manifest) return;
  last_sent_ = scan.manifest;
  std::string bytes(reinterpret_cast<const char*>(scan.manifest.id().bytes.data()), 32);
  bytes += scan.manifest.bytes();
  os::write_file(os::join(directory_, "sent"), bytes, 0600, os::Durable::no);
}

}  // namespace berth::snapshot
