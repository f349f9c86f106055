#include "runtime/snapshot/scan.hpp"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <optional>
#include <system_error>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"
#include "runtime/objects/buffer.hpp"
#include "runtime/objects/chunker.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/objects/workers.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/snapshot/recipe.hpp"
#include "runtime/snapshot/stat_cache.hpp"
#include "runtime/snapshot/walk.hpp"

namespace berth::snapshot {
namespace {

constexpr int kAttempts = 3;
constexpr std::uint64_t kAzureMostFiles = 2000;
constexpr std::uint64_t kAzureMostBytes = 300'000'000;

std::int64_t now() {
  struct timespec time {};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

// Reads and hashes files for one thread.
class ContentReader {
 public:
  // False when the file changed meanwhile.
  bool read(const os::Fd& file, Node& node, std::string& recipe) {
    struct stat before {};
    if (::fstat(file.get(), &before) < 0) return false;
    if (!S_ISREG(before.st_mode) || static_cast<std::uint64_t>(before.st_size) > kLargestFile) return false;
    node.size = static_cast<std::uint64_t>(before.st_size);
    node.stamp = stamp_of(before);
    node.kind = (before.st_mode & S_IXUSR) != 0 ? Kind::executable : Kind::file;
    const bool whole = node.size > kSmallFile ? read_chunks(file, node, recipe) : read_small(file, node);
    struct stat after {};
    return whole && ::fstat(file.get(), &after) == 0 && after.st_size == before.st_size &&
           stamp_of(after) == node.stamp;
  }

 private:
  bool read_small(const os::Fd& file, Node& node) {
    buffer_.resize(kSmallFile + 1);
    const auto n = fill(file, buffer_.span().first(node.size + 1));
    node.digest = objects::sha256(buffer_.view().substr(0, n));
    return n == node.size;
  }

  bool read_chunks(const os::Fd& file, Node& node, std::string& recipe) {
    const auto sizes = objects::chunk_sizes_for(node.size);
    buffer_.resize(2 * objects::kLargestChunk);
    Recipe chunks;
    std::uint64_t position = 0;  // in the file, of the buffer's begin
    std::size_t begin = 0;
    std::size_t end = 0;
    bool at_end = false;
    while (true) {
      if (!at_end && end - begin < sizes.most) {
        if (const auto skipped = skip_hole(file, position, node.size, sizes, chunks); skipped > 0) {
          position += skipped;
          begin = end = 0;
        }
        std::copy(buffer_.data() + begin, buffer_.data() + end, buffer_.data());
        end -= begin;
        begin = 0;
        const auto room = buffer_.span().subspan(end);
        const auto n = fill_at(file, room, position + end);
        at_end = n < room.size();
        end += n;
      }
      if (begin == end) break;
      const auto window = buffer_.view().substr(begin, end - begin);
      const auto size = objects::next_chunk(window, sizes);
      chunks.add(objects::sha256(window.substr(0, size)), size);
      begin += size;
      position += size;
    }
    recipe = chunks.bytes();
    node.digest = objects::sha256(recipe);
    return chunks.file_size() == node.size;
  }

  // Where a hole of at least a chunk's length begins at `position`, its chunks are known without reading it: how far
  // they reach.
  std::uint64_t skip_hole(const os::Fd& file, std::uint64_t position, std::uint64_t size,
                          const objects::ChunkSizes& sizes, Recipe& chunks) {
    const auto found = ::lseek(file.get(), static_cast<off_t>(position), SEEK_DATA);
    if (found < 0 && errno != ENXIO) return 0;  // the file system does not tell
    const auto data = found < 0 ? size : std::min(static_cast<std::uint64_t>(found), size);
    std::uint64_t skipped = 0;
    for (; data >= position + skipped + sizes.most; skipped += zeros_.size) {
      if (zeros_of_ != sizes.most) {
        const std::string zeros(sizes.most, '\0');
        zeros_.size = objects::next_chunk(zeros, sizes);
        zeros_.digest = objects::sha256(std::string_view(zeros).substr(0, zeros_.size));
        zeros_of_ = sizes.most;
      }
      chunks.add(zeros_.digest, zeros_.size);
    }
    return skipped;
  }

  // Until the room is full or the file ends.
  static std::size_t fill(const os::Fd& file, std::span<char> room) { return fill_at(file, room, 0); }
  static std::size_t fill_at(const os::Fd& file, std::span<char> room, std::uint64_t position) {
    std::size_t filled = 0;
    while (filled < room.size()) {
      const auto n = os::read_at(file, room.subspan(filled), position + filled);
      if (n == 0) break;
      filled += n;
    }
    return filled;
  }

  Chunk zeros_;  // the first one of nothing but zeros, for files whose largest chunk is …
  std::uint32_t zeros_of_ = 0;  // … this
  objects::Buffer buffer_;
};

// The second half of a scan: contents.
class Contents {
 public:
  Contents(const os::Fd& root, const ScanOptions& options, Found& found, Scan& result)
      : root_(root), options_(options), found_(found), result_(result) {}

  void read() {
    std::vector<std::uint32_t> unread;
    for (std::uint32_t i = 0; i < found_.nodes.size(); ++i)
      if (found_.nodes[i].unread) unread.push_back(i);
    constexpr std::uint64_t kCostOfOpening = 16 << 10;
    const auto workers = objects::workers_for(found_.unread_bytes + unread.size() * kCostOfOpening);
    std::vector<ContentReader> readers(workers);
    objects::parallel_for(workers, unread.size(),
                          [&](std::size_t i, unsigned worker) { file(unread[i], readers[worker]); });
  }

 private:
  void file(std::uint32_t index, ContentReader& reader) {
    auto& node = found_.nodes[index];
    const auto path = found_.path(index);
    const auto on_disk = found_.renamed ? found_.path_on_disk(index) : path;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      const auto file = os::try_open_beneath(root_, on_disk, O_RDONLY | O_NONBLOCK | O_NOCTTY);
      if (!file && errno == ENOENT) {
        node.dropped = true;
        return;
      }
      if (!file)
        return problem(node, path, "cannot be read: " + std::generic_category().message(errno), unreadable(path));
      std::string recipe;
      if (read(reader, file, path, node, recipe)) return done(node, std::move(recipe));
      if (node.dropped) return;
    }
    problem(node, path, "kept changing while it was read",
            Error(Code::conflict, printable(path) + " keeps changing while it is read",
                  "submit when nothing writes to it, or leave it out by an entry in " + ignore_file()));
  }

  bool read(ContentReader& reader, const os::Fd& file, const std::string& path, Node& node, std::string& recipe) {
    try {
      return reader.read(file, node, recipe);
    } catch (const Error& error) {
      problem(node, path, error.message(),
              Error(error.code(), error.message() + ", " + printable(path),
                    "leave it out by an entry in " + ignore_file()));
      return false;
    }
  }

  void done(const Node& node, std::string recipe) {
    const std::lock_guard lock(mutex_);
    ++result_.files_read;
    result_.bytes_read += node.size;
    if (!recipe.empty()) result_.recipes.emplace(node.digest, std::move(recipe));
  }

  void problem(Node& node, const std::string& path, std::string why, const Error& error) {
    if (options_.problems == ScanOptions::Problems::fail) throw error;
    node.dropped = true;
    const std::lock_guard lock(mutex_);
    result_.left_out.add(printable(path), std::move(why));
  }

  Error unreadable(const std::string& path) const {
    const auto error = errno_error(errno, "read", printable(path));
    return Error(error.code(), error.message(), "make it readable, or leave it out by an entry in " + ignore_file());
  }

  std::string ignore_file() const { return result_.ignore_name.empty() ? ".amlignore" : result_.ignore_name; }

  const os::Fd& root_;
  const ScanOptions& options_;
  Found& found_;
  Scan& result_;
  std::mutex mutex_;
};

void build(const Found& found, Scan& result) {
  ManifestBuilder builder;
  std::vector<std::uint32_t> ends;
  result.stamps.reserve(found.nodes.size());
  for (std::uint32_t i = 0; i < found.nodes.size(); ++i) {
    const auto& node = found.nodes[i];
    for (; !ends.empty() && ends.back() == i; ends.pop_back()) builder.end_directory();
    if (node.dropped) continue;
    if (!node.real.empty()) result.real_names.emplace(static_cast<std::uint32_t>(result.stamps.size()), node.real);
    result.stamps.push_back(node.stamp);
    if (node.kind == Kind::directory) {
      builder.begin_directory(node.name);
      ends.push_back(node.subtree_end);
    } else if (node.kind == Kind::symlink) {
      builder.symlink(node.name, node.target);
    } else {
      builder.file(node.name, node.kind == Kind::executable, node.size, node.digest);
    }
  }
  for (; !ends.empty(); ends.pop_back()) builder.end_directory();
  result.manifest = builder.finish();
}

void reuse(const Found& found, const StatCache& cache, Scan& result) {
  result.stamps.reserve(found.nodes.size());
  for (const auto& node : found.nodes) result.stamps.push_back(node.stamp);
  result.manifest = cache.manifest();
}

void warn_of_size(Scan& result) {
  const auto& totals = result.manifest.totals();
  if (totals.files <= kAzureMostFiles && totals.bytes <= kAzureMostBytes) return;
  result.warnings.push_back("the snapshot has " + std::to_string(totals.files) + " files and " +
                            to_text(ByteSize(totals.bytes)) + "; Azure ML refuses more than 2000 files or 300 MB" +
                            " (leave out what the job does not need by entries in .amlignore)");
}

}  // namespace

std::string Scan::path_on_disk(std::uint32_t entry) const {
  if (real_names.empty()) return manifest.path(entry);
  std::string path;
  for (; entry != Manifest::kRoot; entry = manifest[entry].parent) {
    const auto real = real_names.find(entry);
    const auto name = real == real_names.end() ? std::string(manifest[entry].name) : real->second;
    path = path.empty() ? name : name + "/" + path;
  }
  return path;
}

ScanOptions collecting() {
  ScanOptions options;
  options.ignore_files = IgnoreFiles::none;
  options.problems = ScanOptions::Problems::leave_out;
  options.one_file_system = true;
  return options;
}

Scan scan(const os::Fd& root, const ScanOptions& options) {
  Scan result;
  result.started = now();
  auto found = walk(root, options, result);
  if (found.unread > 0) Contents(root, options, found, result).read();
  if (found.as_cached)
    reuse(found, *options.cache, result);
  else
    build(found, result);
  if (options.ignore_files == IgnoreFiles::honour) warn_of_size(result);
  return result;
}

Scan scan(const std::string& root, const ScanOptions& options) {
  return scan(os::open(root, O_RDONLY | O_DIRECTORY), options);
}

}  // namespace berth::snapshot
