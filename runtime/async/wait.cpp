#include "runtime/async/wait.hpp"

#include <fcntl.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>

#include "runtime/base/error.hpp"
#include "runtime/os/random.hpp"

namespace berth::async {
namespace asio = boost::asio;
namespace {

// Of the kernel's, not of std::random_device: in a static C++ library that needs the C library it was built with.
std::uint64_t seed() {
  std::uint64_t value = 0;
  std::memcpy(&value, os::random_bytes(sizeof value).data(), sizeof value);
  return value | 1U;  // xorshift64 stays at 0
}

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
using Descriptor = asio::posix::stream_descriptor;

// A descriptor that is registered with the loop but belongs to somebody else. Asio makes it non-blocking for
// the wait, which is undone: the mode belongs to everybody who shares the open file.
class Borrowed {
 public:
  Borrowed(const Executor& executor, int fd) : flags_(::fcntl(fd, F_GETFL)), descriptor_(executor) {
    boost::system::error_code failure;
    descriptor_.assign(fd, failure);
    check(failure, "watch", "a descriptor");
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  ~Borrowed() {
    const int fd = descriptor_.release();
    if ((flags_ & O_NONBLOCK) == 0) ::fcntl(fd, F_SETFL, flags_);
  }
  Descriptor& get() { return descriptor_; }

 private:
  int flags_;
  Descriptor descriptor_;
};

}  // namespace

Task<> sleep_for(std::chrono::nanoseconds duration) {
  asio::steady_timer timer(co_await this_coro::executor);
  timer.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(duration));
  const auto [failure] = co_await timer.async_wait(kToken);
  check(failure, "wait for", "a timer");
}

Task<> readable(int fd) {
  Borrowed descriptor(co_await this_coro::executor, fd);
  const auto [failure] = co_await descriptor.get().async_wait(Descriptor::wait_read, kToken);
  check(failure, "wait for", "a descriptor");
}

Backoff::Backoff(std::chrono::milliseconds first, std::chrono::milliseconds most)
    : first_(first), most_(most), current_(first), random_(seed()) {}

std::chrono::milliseconds Backoff::next() {
  const auto whole = current_;
  current_ = std::min(most_, current_ * 2);
  random_ ^= random_ << 13U;  // xorshift64
  random_ ^= random_ >> 7U;
  random_ ^= random_ << 17U;
  const auto half = static_cast<std::uint64_t>(whole.count() / 2);
  return whole - std::chrono::milliseconds(random_ % (half + 1));
}

}  // namespace berth::async
