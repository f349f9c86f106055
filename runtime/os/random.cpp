#include "runtime/os/random.hpp"

#include <sys/random.h>

#include <cerrno>

#include "runtime/base/error.hpp"

namespace berth::os {

std::string random_hex(std::size_t bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string raw(bytes, '\0');
  for (std::size_t filled = 0; filled < bytes;) {
    const auto n = ::getrandom(raw.data() + filled, bytes - filled, 0);
    if (n < 0 && errno != EINTR) throw_errno("read", "random numbers");
    if (n > 0) filled += static_cast<std::size_t>(n);
  }
  std::string text;
  for (const char c : raw) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace berth::os
