#include "runtime/os/random.hpp"

#include <sys/random.h>

#include <cerrno>

#include "runtime/base/error.hpp"
#include "runtime/base/hex.hpp"

namespace berth::os {

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  for (std::size_t filled = 0; filled < count;) {
    const auto n = ::getrandom(bytes.data() + filled, count - filled, 0);
    if (n < 0 && errno != EINTR) throw_errno("read", "random numbers");
    if (n > 0) filled += static_cast<std::size_t>(n);
  }
  return bytes;
}

std::string random_hex(std::size_t bytes) { return to_hex(random_bytes(bytes)); }

}  // namespace berth::os
