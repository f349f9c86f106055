#include "agent/cli/download.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <thread>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/objects/store.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/file.hpp"
#include "runtime/snapshot/pack.hpp"
#include "runtime/snapshot/restore.hpp"

namespace berth::cli {
namespace {

using snapshot::Manifest;

constexpr const char* kTree = "tree";

// A stream of the agent's answer, read by another function than the one it is handed to. A socket pair and
// not a pipe: a reader that gives up early must not end the program by SIGPIPE.
class Transfer : public snapshot::ByteSource {
 public:
  Transfer(Agent& agent, const std::string& target) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) throw_errno("make", "a socket pair");
    read_ = os::Fd(ends[0]);
    write_ = os::Fd(ends[1]);
    thread_ = std::thread([this, &agent, target] { run(agent, target); });
  }
  ~Transfer() override { join(); }

  std::size_t read(std::span<char> room) override { return os::read_some(read_, room); }

  // The agent's refusal, where there was one: it explains better than the reader why nothing came.
  void finish() {
    join();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void run(Agent& agent, const std::string& target) {
    try {
      agent.client().stream("GET", target, [&](std::string_view bytes) { return hand_on(bytes); });
    } catch (...) {
      failure_ = std::current_exception();
    }
    write_.reset();
  }
  bool hand_on(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = ::send(write_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  void join() {
    read_.reset();
    if (thread_.joinable()) thread_.join();
  }

  os::Fd read_;
  os::Fd write_;
  std::thread thread_;
  std::exception_ptr failure_;
};

// Moves a tree into one that is there. First the whole of it is looked at, so that a refusal leaves nothing
// half done.
class Mover {
 public:
  Mover(const Manifest& manifest, const std::string& into, Overwrite overwrite)
      : manifest_(manifest), into_(into), overwrite_(overwrite) {}

  void check(std::uint32_t directory, const os::Fd& into) {
    for (const auto index : manifest_.children(directory)) {
      const auto& entry = manifest_[index];
      struct stat found {};
      if (::fstatat(into.get(), std::string(entry.name).c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (entry.is_directory() && S_ISDIR(found.st_mode)) {
        check(index, open_or_throw(into, index));
      } else if (entry.is_directory() || S_ISDIR(found.st_mode) || overwrite_ == Overwrite::no) {
        refuse(index, entry.is_directory() || S_ISDIR(found.st_mode));
      }
    }
  }

  void move(std::uint32_t directory, const os::Fd& from, const os::Fd& into) {
    for (const auto index : manifest_.children(directory)) {
      const std::string name(manifest_[index].name);
      if (manifest_[index].is_directory()) {
        if (::mkdirat(into.get(), name.c_str(), 0777) != 0 && errno != EEXIST)
          throw_errno("make directory", path(index));
        move(index, open_or_throw(from, index), open_or_throw(into, index));
      } else {
        const unsigned flags = overwrite_ == Overwrite::no ? RENAME_NOREPLACE : 0;
        if (::renameat2(from.get(), name.c_str(), into.get(), name.c_str(), flags) == 0) continue;
        if (errno == EEXIST) refuse(index, false);
        throw_errno("write", path(index));
      }
    }
  }

 private:
  std::string path(std::uint32_t index) const { return printable(os::join(into_, manifest_.path(index))); }
  os::Fd open_or_throw(const os::Fd& parent, std::uint32_t index) const {
    auto opened = os::try_open_beneath(parent, std::string(manifest_[index].name), O_RDONLY | O_DIRECTORY);
    if (!opened) throw_errno("open directory", path(index));
    return opened;
  }
  [[noreturn]] void refuse(std::uint32_t index, bool other_kind) const {
    if (other_kind)
      throw Error(Code::conflict, path(index) + " is there already, and of another kind",
                  "move it away, or name another directory with -o");
    throw Error(Code::conflict, path(index) + " is there already",
                "give --force to overwrite files, or another directory with -o");
  }

  const Manifest& manifest_;
  const std::string& into_;
  Overwrite overwrite_;
};

// The user's directory; what is made of it by default must not be somebody's symbolic link. What was made for
// a download that then failed goes again.
class Target {
 public:
  explicit Target(const std::string& directory) {
    for (auto path = directory; !path.empty() && path != "." && path != "/" && !os::exists(path);
         path = os::parent_of(path))
      made_.push_back(path);
    os::make_directories(directory);
    directory_ = os::Fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory_ && (errno == ELOOP || errno == ENOTDIR))
      throw Error(Code::conflict, printable(directory) + " is a symbolic link or no directory",
                  "name another directory with -o");
    if (!directory_) throw_errno("open directory", printable(directory));
  }
  ~Target() {
    if (kept_) return;
    for (const auto& path : made_) ::rmdir(path.c_str());
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  const os::Fd& directory() const { return directory_; }
  void keep() { kept_ = true; }

 private:
  std::vector<std::string> made_;  // innermost first
  os::Fd directory_;
  bool kept_ = false;
};

}  // namespace

Downloaded download_tree(Agent& agent, const std::string& target, const std::string& directory, Overwrite overwrite) {
  Target into(directory);
  const os::TempDir staging(".berth-download", directory);
  const auto manifest = [&] {
    objects::Store store(staging / "objects");
    Transfer transfer(agent, target);
    std::exception_ptr failure;
    std::optional<snapshot::Received> received;
    try {
      received = snapshot::receive_pack(store, snapshot::SoleOwnersView(), transfer);
    } catch (...) {
      failure = std::current_exception();
    }
    transfer.finish();
    if (failure) std::rethrow_exception(failure);
    snapshot::restore(store, received->manifest, staging / kTree);
    return received->manifest;
  }();
  Mover mover(manifest, directory, overwrite);
  mover.check(Manifest::kRoot, into.directory());
  mover.move(Manifest::kRoot, os::open(staging / kTree, O_RDONLY | O_DIRECTORY), into.directory());
  into.keep();
  return {directory, manifest.totals().files, manifest.totals().bytes};
}

Downloaded download_text(Agent& agent, const std::string& target, const std::string& directory, const std::string& name,
                         Overwrite overwrite) {
  Target into(directory);
  const os::TempDir staging(".berth-download", directory);
  std::uint64_t bytes = 0;
  {
    const auto file = os::open(staging / name, O_WRONLY | O_CREAT | O_EXCL, 0666);
    agent.client().stream("GET", target, [&](std::string_view piece) {
      bytes += piece.size();
      os::write_all(file, piece);
      return true;
    });
  }
  const unsigned flags = overwrite == Overwrite::no ? RENAME_NOREPLACE : 0;
  if (::renameat2(AT_FDCWD, (staging / name).c_str(), into.directory().get(), name.c_str(), flags) != 0) {
    if (errno == EEXIST)
      throw Error(Code::conflict, printable(os::join(directory, name)) + " is there already",
                  "give --force to overwrite it, or another directory with -o");
    throw_errno("write", printable(os::join(directory, name)));
  }
  into.keep();
  return {directory, 1, bytes};
}

}  // namespace berth::cli
