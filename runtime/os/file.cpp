#include "runtime/os/file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::os {
namespace {

std::string temporary_name(const std::string& path) {
  static std::atomic<unsigned> counter{0};
  return path + ".tmp." + std::to_string(::getpid()) + "." + std::to_string(counter++);
}

}  // namespace

std::string read_file(const std::string& path, std::uint64_t limit) {
  auto content = read_file_if_exists(path, limit);
  if (!content) throw errno_error(ENOENT, "open", printable(path));
  return std::move(*content);
}

std::optional<std::string> read_file_if_exists(const std::string& path, std::uint64_t limit) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!fd) fd = open(path, O_RDONLY);  // throws in its own words
  try {
    return read_all(fd, limit);
  } catch (Error& error) {
    error.add_context("reading " + printable(path));
    throw;
  }
}

void write_file(const std::string& path, std::string_view content, unsigned mode, Durable durable) {
  const auto temporary = temporary_name(path);
  ::unlink(temporary.c_str());  // of a process that was killed and had the same number, as in a container
  try {
    const auto fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
    write_all(fd, content);
    if (durable == Durable::yes) sync_data(fd, path);
    if (::rename(temporary.c_str(), path.c_str()) < 0) throw_errno("replace", printable(path));
    if (durable == Durable::yes) sync_directory(parent_of(path));
  } catch (Error& error) {
    ::unlink(temporary.c_str());
    error.add_context("writing " + printable(path));
    throw;
  }
}

bool write_new_file(const std::string& path, std::string_view content, unsigned mode, Durable durable) {
  const auto temporary = temporary_name(path);
  try {
    write_file(temporary, content, mode, durable);
    const bool made = ::link(temporary.c_str(), path.c_str()) == 0;
    if (!made && errno != EEXIST) throw_errno("make", printable(path));
    ::unlink(temporary.c_str());
    if (durable == Durable::yes) sync_directory(parent_of(path));
    return made;
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void make_directories(const std::string& path, unsigned mode) {
  if (::mkdir(path.c_str(), mode) == 0) return;
  if (errno == EEXIST) {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0 && !S_ISDIR(info.st_mode))
      throw Error(Code::conflict, printable(path) + " exists and is not a directory");
    return;
  }
  if (errno != ENOENT || parent_of(path) == path) throw_errno("make directory", printable(path));
  make_directories(parent_of(path), mode);
  if (::mkdir(path.c_str(), mode) < 0 && errno != EEXIST) throw_errno("make directory", printable(path));
}

Fd make_memory_file(const char* name) {
  constexpr unsigned kNoExecSeal = 8;  // MFD_NOEXEC_SEAL, which Linux knows since 6.3, and may insist upon
  Fd file(::memfd_create(name, MFD_CLOEXEC | kNoExecSeal));
  if (!file && errno == EINVAL) file.reset(::memfd_create(name, MFD_CLOEXEC));
  if (!file) throw_errno("make", "a file in memory");
  return file;
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

std::vector<std::string> names_in(const std::string& directory) {
  const auto fail = [&] { throw_errno("look into", printable(directory)); };
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return {};
  if (fd < 0) fail();
  Fd owned(fd);
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(fd), ::closedir);
  if (!listing) fail();
  owned.release();
  std::vector<std::string> names;
  errno = 0;
  while (const auto* found = ::readdir(listing.get())) {
    const std::string_view name(found->d_name);
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) fail();
  return names;
}

bool remove_file(const std::string& path) {
  if (::unlink(path.c_str()) == 0) return true;
  if (errno == ENOENT) return false;
  throw_errno("remove", printable(path));
}

void sync_directory(const std::string& path) { sync_all(open(path, O_RDONLY | O_DIRECTORY), path); }

Space space_of(const std::string& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) < 0) throw_errno("ask the free space of", printable(path));
  return {static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize,
          static_cast<std::uint64_t>(info.f_blocks) * info.f_frsize};
}

std::string join(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (path.empty() || path.back() != '/') path += '/';
  return path += name;
}

std::string parent_of(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

std::string absolute(const std::string& path) { return std::filesystem::absolute(path).lexically_normal().string(); }

std::string name_of(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return std::string(path.substr(path.rfind('/') + 1));
}

TempDir::TempDir(std::string_view prefix, const std::string& below) {
  const char* environment = std::getenv("TMPDIR");
  const std::string base = !below.empty() ? below : environment && *environment ? environment : "/tmp";
  path_ = join(base, std::string(prefix) + ".XXXXXX");
  if (::mkdtemp(path_.data()) == nullptr) throw_errno("make a temporary directory in", base);
}

TempDir::~TempDir() {
  if (path_.empty()) return;
  try {
    remove_tree(path_);
  } catch (const Error&) {
  }
}

}  // namespace berth::os
