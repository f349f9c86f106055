#include "runtime/environment/lock_text.hpp"

#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"

namespace berth::environment {

nlohmann::json read_lock(std::string_view text) {
  try {
    return read_json(text, kLockBounds);
  } catch (const Error& failure) {
    throw Error(failure.code(), "the lock cannot be read: " + failure.message(), "give what `berth env lock` printed");
  }
}

}  // namespace berth::environment
