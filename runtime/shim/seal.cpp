#include "runtime/shim/seal.hpp"

#include <string.h>

#include <algorithm>
#include <array>

#include "runtime/base/digest.hpp"
#include "runtime/base/hex.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/random.hpp"

namespace berth::shim {
namespace {

constexpr std::string_view kEnd = "\n}\n";
constexpr std::string_view kMark = ",\n  \"seal\": {\"mark\": \"";
constexpr std::string_view kKey = "\", \"key\": \"";
constexpr std::string_view kSealEnd = "\"}\n}\n";
constexpr std::size_t kHex = 64;

std::array<char, kKeyBytes> key_of_this_process{};
bool has_key = false;

std::string_view bytes_of(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}

std::string mark_of(std::string_view text, std::string_view key) {
  const auto digest = objects::sha256(text);
  return objects::sha256(std::string(key) + std::string(bytes_of(digest))).hex();
}

}  // namespace

std::string new_key() { return os::random_bytes(kKeyBytes); }

std::string print_of(std::string_view key) { return objects::sha256(key).hex(); }

std::string sealed(const std::string& text, std::string_view key) {
  if (!text.ends_with(kEnd)) return text;
  auto out = text.substr(0, text.size() - kEnd.size());
  out += kMark;
  out += mark_of(text, key);
  out += kKey;
  out += to_hex(key);
  out += kSealEnd;
  return out;
}

bool is_genuine(std::string_view text, const Seal& seal) {
  constexpr auto kLength = kMark.size() + kHex + kKey.size() + kHex + kSealEnd.size();
  if (text.size() < kLength || !text.ends_with(kSealEnd)) return false;
  const auto begin = text.size() - kLength;
  if (text.substr(begin, kMark.size()) != kMark || text.substr(begin + kMark.size() + kHex, kKey.size()) != kKey)
    return false;
  const auto key = from_hex(text.substr(begin + kMark.size() + kHex + kKey.size(), kHex));
  if (!key) return false;
  if (seal.key.empty() ? print_of(*key) != seal.print : *key != seal.key) return false;
  const auto body = std::string(text.substr(0, begin)) + std::string(kEnd);
  return mark_of(body, *key) == text.substr(begin + kMark.size(), kHex);
}

void keep_key(std::string_view key) {
  has_key = key.size() == kKeyBytes;
  if (has_key) std::copy(key.begin(), key.end(), key_of_this_process.begin());
}

std::string_view kept_key() {
  return has_key ? std::string_view(key_of_this_process.data(), key_of_this_process.size()) : std::string_view();
}

void forget_key() {
  ::explicit_bzero(key_of_this_process.data(), key_of_this_process.size());
  has_key = false;
}

}  // namespace berth::shim
