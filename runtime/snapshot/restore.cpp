#include "runtime/snapshot/restore.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"
#include "runtime/objects/workers.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/file.hpp"
#include "runtime/snapshot/recipe.hpp"
#include "runtime/snapshot/tree.hpp"

namespace berth::snapshot {
namespace {

constexpr auto kNone = Manifest::kRoot;

// A name as system calls want it.
class Name {
 public:
  explicit Name(std::string_view name) {
    std::memcpy(text_.data(), name.data(), name.size());
    text_[name.size()] = '\0';
  }
  const char* c_str() const { return text_.data(); }

 private:
  std::array<char, kLongestName + 1> text_;
};

class Restoration {
 public:
  Restoration(const objects::Store& store, const Manifest& manifest, const os::Fd& target,
              const RestoreOptions& options)
      : store_(store), manifest_(manifest), target_(target), options_(options), masked_(mask_of_process() != 0) {}

  void run(const std::function<bool(std::uint32_t)>& wanted) {
    choose(wanted);
    require_room();
    make_directories_and_links();
    write_small_files();
    write_large_files();
  }

 private:
  // fchmod is needed only where the process's mask takes away what a file must have.
  static mode_t mask_of_process() {
    const auto status = os::read_file("/proc/self/status");
    const auto at = status.find("\nUmask:");
    if (at == std::string::npos) return 0777;
    return static_cast<mode_t>(std::strtoul(status.c_str() + at + 7, nullptr, 8)) & 0755;
  }

  void choose(const std::function<bool(std::uint32_t)>& wanted) {
    chosen_.assign(manifest_.entries().size(), false);
    for (std::uint32_t i = 0; i < chosen_.size(); ++i) {
      if (!wanted(i)) continue;
      for (auto k = i; k != kNone && !chosen_[k]; k = manifest_[k].parent) chosen_[k] = true;
    }
  }

  // Files may be far larger than what was sent of them: a chunk counts as often as it occurs.
  void require_room() const {
    std::uint64_t bytes = 0;
    for (std::uint32_t i = 0; i < chosen_.size(); ++i)
      if (chosen_[i] && manifest_[i].is_file()) bytes += manifest_[i].size;
    struct statvfs info {};
    if (::fstatvfs(target_.get(), &info) < 0) throw_errno("ask", "the free space");
    const auto free = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
    if (bytes > free)
      throw Error(Code::no_space,
                  "the files are " + to_text(ByteSize(bytes)) + ", and " + to_text(ByteSize(free)) + " are free",
                  "free some space, or leave files out");
  }

  void make_directories_and_links() {
    for (std::uint32_t i = 0; i < chosen_.size(); ++i) {
      if (!chosen_[i]) continue;
      go_on();
      const auto& entry = manifest_[i];
      const Name name(entry.name);
      if (entry.is_directory()) {
        const auto& parent = directory(entry.parent);
        if (::mkdirat(parent.get(), name.c_str(), 0755) < 0) fail("make directory", i);
        if (masked_ && ::fchmodat(parent.get(), name.c_str(), 0755, 0) < 0) fail("set the mode of", i);
        own(parent, name, i);
      } else if (entry.kind == Kind::symlink) {
        const auto& parent = directory(entry.parent);
        if (::symlinkat(std::string(entry.target).c_str(), parent.get(), name.c_str()) < 0) fail("make the link", i);
        own(parent, name, i);
      }
    }
  }

  void own(const os::Fd& parent, const Name& name, std::uint32_t i) const {
    if (!options_.owner) return;
    if (::fchownat(parent.get(), name.c_str(), options_.owner->uid, options_.owner->gid, AT_SYMLINK_NOFOLLOW) < 0)
      fail("give away", i);
  }

  // The last directory used by a thread stays open.
  struct OpenDirectory {
    std::uint32_t index = kNone;
    os::Fd fd;
  };

  const os::Fd& directory(std::uint32_t index) { return directory(index, last_); }
  const os::Fd& directory(std::uint32_t index, OpenDirectory& last) const {
    if (index == kNone) return target_;
    if (last.fd && last.index == index) return last.fd;
    last.fd = os::try_open_beneath(target_, manifest_.path(index), O_PATH | O_DIRECTORY);
    if (!last.fd) fail("open directory", index);
    last.index = index;
    return last.fd;
  }

  os::Fd create(std::uint32_t i, OpenDirectory& last) const {
    const auto& entry = manifest_[i];
    const mode_t mode = entry.kind == Kind::executable ? 0755 : 0644;
    os::Fd file(::openat(directory(entry.parent, last).get(), Name(entry.name).c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!file) fail("make", i);
    if (masked_ && ::fchmod(file.get(), mode) < 0) fail("set the mode of", i);
    if (options_.owner && ::fchown(file.get(), options_.owner->uid, options_.owner->gid) < 0) fail("give away", i);
    return file;
  }

  // Equal files share one object, and an object must be asked for once.
  void write_small_files() {
    std::vector<std::uint32_t> files;
    for (std::uint32_t i = 0; i < chosen_.size(); ++i)
      if (chosen_[i] && manifest_[i].is_file() && !manifest_[i].is_chunked()) files.push_back(i);
    std::stable_sort(files.begin(), files.end(),
                     [&](auto a, auto b) { return manifest_[a].digest < manifest_[b].digest; });
    std::vector<Digest> digests;
    std::vector<std::size_t> starts;
    std::uint64_t bytes = 0;
    for (std::size_t k = 0; k < files.size(); ++k) {
      const auto& entry = manifest_[files[k]];
      bytes += entry.size;
      if (!digests.empty() && digests.back() == entry.digest) continue;
      digests.push_back(entry.digest);
      starts.push_back(k);
    }
    starts.push_back(files.size());
    const auto workers = objects::workers_for(bytes);
    std::vector<OpenDirectory> last(workers);
    store_.read_each(digests, workers, [&](std::span<const objects::Store::Piece> pieces, unsigned worker) {
      for (const auto& piece : pieces)
        for (auto k = starts[piece.index]; k < starts[piece.index + 1]; ++k) {
          go_on();
          os::write_all(create(files[k], last[worker]), piece.bytes);
        }
    });
  }

  // Threads that write one file wait for each other, so several files have a thread each.
  void write_large_files() {
    std::vector<std::uint32_t> files;
    std::uint64_t bytes = 0;
    for (std::uint32_t i = 0; i < chosen_.size(); ++i) {
      if (!chosen_[i] || !manifest_[i].is_chunked()) continue;
      files.push_back(i);
      bytes += manifest_[i].size;
    }
    const auto workers = objects::workers_for(bytes);
    const auto at_once = static_cast<unsigned>(std::min<std::size_t>(workers, files.size()));
    objects::parallel_for(at_once, files.size(),
                          [&](std::size_t k, unsigned) { write_large(files[k], at_once > 1 ? 1 : workers); });
  }

  void write_large(std::uint32_t i, unsigned workers) const {
    const auto recipe = Recipe::parse(store_.read(manifest_[i].digest), manifest_[i].size);
    OpenDirectory last;
    const auto file = create(i, last);
    if (::ftruncate(file.get(), static_cast<off_t>(recipe.file_size())) < 0) fail("make room for", i);
    // A chunk may occur more than once.
    auto chunks = recipe.chunks();
    std::stable_sort(chunks.begin(), chunks.end(), [](const auto& a, const auto& b) { return a.digest < b.digest; });
    std::vector<Digest> digests;
    std::vector<std::size_t> starts;
    for (std::size_t k = 0; k < chunks.size(); ++k) {
      if (!digests.empty() && digests.back() == chunks[k].digest) continue;
      digests.push_back(chunks[k].digest);
      starts.push_back(k);
    }
    starts.push_back(chunks.size());
    store_.read_each(digests, workers, [&](std::span<const objects::Store::Piece> pieces, unsigned) {
      Run run(file);
      for (const auto& piece : pieces)
        for (auto k = starts[piece.index]; k < starts[piece.index + 1]; ++k) {
          go_on();
          if (piece.bytes.size() != chunks[k].size) damaged(i);
          run.add(piece.bytes, chunks[k].offset);
        }
      run.flush();
    });
  }

  // Chunks that follow one another both in their frame and in the file are written at once.
  class Run {
   public:
    explicit Run(const os::Fd& file) : file_(file) {}
    void add(std::string_view bytes, std::uint64_t offset) {
      const bool follows = bytes.data() == bytes_.data() + bytes_.size() && offset == offset_ + bytes_.size();
      if (!follows) {
        flush();
        offset_ = offset;
        bytes_ = bytes;
        return;
      }
      bytes_ = {bytes_.data(), bytes_.size() + bytes.size()};
    }
    void flush() { os::write_all_at(file_, bytes_, offset_); }

   private:
    const os::Fd& file_;
    std::string_view bytes_;
    std::uint64_t offset_ = 0;
  };

  void go_on() const {
    if (options_.stop.stop_requested()) throw Cancelled();
  }

  [[noreturn]] void damaged(std::uint32_t i) const {
    throw Error(Code::corrupt, "the chunks of " + printable(manifest_.path(i)) + " do not fit together");
  }

  [[noreturn]] void fail(const char* action, std::uint32_t i) const {
    throw_errno(action, printable(manifest_.path(i)));
  }

  const objects::Store& store_;
  const Manifest& manifest_;
  const os::Fd& target_;
  const RestoreOptions& options_;
  bool masked_;
  std::vector<bool> chosen_;
  OpenDirectory last_;
};

}  // namespace

void restore_some(const objects::Store& store, const Manifest& manifest, const os::Fd& target,
                  const RestoreOptions& options, const std::function<bool(std::uint32_t entry)>& wanted) {
  try {
    Restoration(store, manifest, target, options).run(wanted);
  } catch (Error& error) {
    error.add_context("while restoring snapshot " + manifest.id().brief());
    throw;
  }
}

void restore(const objects::Store& store, const Manifest& manifest, const os::Fd& target,
             const RestoreOptions& options) {
  restore_some(store, manifest, target, options, [](std::uint32_t) { return true; });
}

void restore(const objects::Store& store, const Manifest& manifest, const std::string& target,
             const RestoreOptions& options) {
  if (::mkdir(target.c_str(), 0755) < 0) throw_errno("make directory", printable(target));
  const auto fd = os::open_directory(target);
  if (::fchmod(fd.get(), 0755) < 0) throw_errno("set the mode of", printable(target));
  if (options.owner && ::fchown(fd.get(), options.owner->uid, options.owner->gid) < 0)
    throw_errno("give away", printable(target));
  restore(store, manifest, fd, options);
}

}  // namespace berth::snapshot
