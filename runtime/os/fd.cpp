#include "runtime/os/fd.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"

namespace berth::os {
namespace {

// Repeats a system call that a signal interrupted.
template <class Call>
auto retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace

void FdTraits::close(int fd) { ::close(fd); }

Fd open(const std::string& path, int flags, unsigned mode) {
  Fd fd(retry([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); }));
  if (!fd) throw_errno("open", printable(path));
  return fd;
}

Fd open_at(const Fd& directory, const std::string& name, int flags, unsigned mode) {
  Fd fd(retry([&] { return ::openat(directory.get(), name.c_str(), flags | O_CLOEXEC, mode); }));
  if (!fd) throw_errno("open", printable(name));
  return fd;
}

std::size_t read_some(const Fd& fd, std::span<char> buffer) {
  const auto n = retry([&] { return ::read(fd.get(), buffer.data(), buffer.size()); });
  if (n < 0) throw_errno("read", "a file");
  return static_cast<std::size_t>(n);
}

std::size_t read_at(const Fd& fd, std::span<char> buffer, std::uint64_t offset) {
  const auto n = retry([&] { return ::pread(fd.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset)); });
  if (n < 0) throw_errno("read", "a file");
  return static_cast<std::size_t>(n);
}

std::string read_all(const Fd& fd, std::uint64_t limit) {
  std::string content;
  std::array<char, 16384> buffer;
  while (const auto n = read_some(fd, buffer)) {
    if (content.size() + n > limit)
      throw Error(Code::too_large, "a file is larger than the " + to_text(ByteSize(limit)) + " allowed");
    content.append(buffer.data(), n);
  }
  return content;
}

void rewind(const Fd& fd) {
  if (::lseek(fd.get(), 0, SEEK_SET) < 0) throw_errno("rewind", "a file");
}

void write_all(const Fd& fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = retry([&] { return ::write(fd.get(), bytes.data(), bytes.size()); });
    if (n < 0) throw_errno("write", "a file");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

void write_all_at(const Fd& fd, std::string_view bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const auto n = retry([&] { return ::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
    if (n < 0) throw_errno("write", "a file");
    bytes.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
}

void sync_data(const Fd& fd, std::string_view what) {
  if (retry([&] { return ::fdatasync(fd.get()); }) < 0) throw_errno("write to disk", what);
}

void sync_all(const Fd& fd, std::string_view what) {
  if (retry([&] { return ::fsync(fd.get()); }) < 0) throw_errno("write to disk", what);
}

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) throw_errno("make", "a pipe");
  return {Fd(ends[0]), Fd(ends[1])};
}

}  // namespace berth::os
