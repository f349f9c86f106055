#pragma once

// Text that only who has the key can read, and that nobody can change, swap for another or cut unnoticed. The cipher is
// OpenSSL's AES-256-GCM; it is loaded with the first call.

#include <string>
#include <string_view>

#include "runtime/secrets/key.hpp"

namespace berth::secrets {

// `context` is what it belongs to; it opens with the same one only. What comes out begins with a version and with what
// tells its key from others.
std::string seal(const Key& key, std::string_view context, std::string_view text);
// Code::denied: sealed with another key. Code::corrupt: changed, cut, or of another context. Code::unsupported: by a
// newer version.
std::string unseal(const Key& key, std::string_view context, std::string_view sealed);

// Equal for equal texts under one key, as hexadecimal digits; tells nothing of them to who has not the key.
std::string mark(const Key& key, std::string_view text);

}  // namespace berth::secrets
