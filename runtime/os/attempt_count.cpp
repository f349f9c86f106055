#include "runtime/os/attempt_count.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "runtime/base/error.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/file.hpp"

namespace berth::os {

namespace {

constexpr std::uint64_t kLongest = 64;

// Where others could write, what lies there is not waited for; what is no count is none.
int counted(const std::string& path) {
  try {
    const auto text = read_plain_if_exists(path, trusted_file(), kLongest);
    return std::clamp(std::atoi(text.value_or("0").c_str()), 0, kMostAttempts);
  } catch (const Error&) {
    return 0;
  }
}

}  // namespace

int count_attempt(const std::string& path) {
  const int before = counted(path);
  try {
    write_file(path, std::to_string(before + 1), 0600, Durable::no);
  } catch (const Error&) {
  }
  return before;
}

Attempt::~Attempt() { ::unlink(path_.c_str()); }

}  // namespace berth::os
