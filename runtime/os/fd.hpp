#pragma once

// File descriptors that close themselves, and the reads and writes on them that never return half done.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace berth::os {

// Owns one kernel handle. Traits: `using type`, `static constexpr type none`, `static void close(type)`.
template <class Traits>
class Handle {
 public:
  using Raw = typename Traits::type;

  Handle() = default;
  explicit Handle(Raw raw) : raw_(raw) {}
  Handle(Handle&& other) noexcept : raw_(other.release()) {}
  Handle& operator=(Handle&& other) noexcept {
    reset(other.release());
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { reset(); }

  Raw get() const { return raw_; }
  explicit operator bool() const { return raw_ != Traits::none; }
  Raw release() { return std::exchange(raw_, Traits::none); }
  void reset(Raw raw = Traits::none) {
    if (const Raw old = std::exchange(raw_, raw); old != Traits::none && old != raw) Traits::close(old);
  }

 private:
  Raw raw_ = Traits::none;
};

struct FdTraits {
  using type = int;
  static constexpr int none = -1;
  static void close(int fd);
};
using Fd = Handle<FdTraits>;

// All of these retry on EINTR, add O_CLOEXEC, and throw Error naming `path`.
Fd open(const std::string& path, int flags, unsigned mode = 0);
// Relative to a directory held open; `directory` must outlive nothing but the call.
Fd open_at(const Fd& directory, const std::string& name, int flags, unsigned mode = 0);

// Up to `buffer.size()` bytes; 0 at the end of the file.
std::size_t read_some(const Fd& fd, std::span<char> buffer);
std::size_t read_at(const Fd& fd, std::span<char> buffer, std::uint64_t offset);
// Until the end of the file; Code::too_large when it is longer than `limit`.
std::string read_all(const Fd& fd, std::uint64_t limit);
void rewind(const Fd& fd);
void write_all(const Fd& fd, std::string_view bytes);
void write_all_at(const Fd& fd, std::string_view bytes, std::uint64_t offset);

// fdatasync / fsync; `what` names the object in the Error.
void sync_data(const Fd& fd, std::string_view what);
void sync_all(const Fd& fd, std::string_view what);

struct Pipe {
  Fd read;
  Fd write;
};
Pipe make_pipe();

}  // namespace berth::os
