#include "runtime/secrets/sealing.hpp"

#include <array>

#include "runtime/base/digest.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/module.hpp"
#include "runtime/os/random.hpp"
#include "runtime/secrets/sealing_module.hpp"

namespace berth::secrets {
namespace {

// "berth1" | key's mark, 8 bytes | nonce | text | tag. All before the nonce, and the context, is authenticated with it.
constexpr std::string_view kFormat = "berth";
constexpr char kVersion = '1';
constexpr std::size_t kKeyMark = 8;
constexpr std::size_t kHead = kFormat.size() + 1 + kKeyMark;
constexpr std::size_t kAround = kHead + berth_nonce_size + berth_tag_size;
// One key, several uses: what is sealed and what is marked never meet.
constexpr std::string_view kForKeyMark = "which key is this?";
constexpr std::string_view kForSealing = "berth: sealing";
constexpr std::string_view kForMarks = "berth: marks";

const BerthSealingModule& module() {
  static const auto* const loaded =
      reinterpret_cast<const BerthSealingModule* (*)()>(os::load_module("berth_sealing", "berth_sealing_1"))();
  return *loaded;
}

[[noreturn]] void fail() {
  throw Error(Code::internal, "OpenSSL cannot seal secrets", "is the machine's libcrypto whole?");
}

const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

Key hashed(const Key& key, std::string_view text) {
  static_assert(sizeof(Key) == berth_mark_size && sizeof(Key) == berth_key_size);
  Key result{};
  if (!module().mark(key.data(), text.data(), text.size(), result.data())) fail();
  return result;
}

std::string head_for(const Key& key) {
  const auto marked = hashed(key, kForKeyMark);
  std::string head(kFormat);
  head += kVersion;
  return head.append(reinterpret_cast<const char*>(marked.data()), kKeyMark);
}

}  // namespace

std::string seal(const Key& key, std::string_view context, std::string_view text) {
  const auto head = head_for(key);
  const auto nonce = os::random_bytes(berth_nonce_size);
  const auto bound = head + std::string(context);
  std::string sealed(text.size() + berth_tag_size, '\0');
  if (!module().seal(hashed(key, kForSealing).data(), bytes(nonce), bound.data(), bound.size(), text.data(),
                     text.size(), sealed.data()))
    fail();
  return head + nonce + sealed;
}

std::string unseal(const Key& key, std::string_view context, std::string_view sealed) {
  if (sealed.size() < kAround || !sealed.starts_with(kFormat))
    throw Error(Code::corrupt, "what is sealed was cut, or is something else");
  if (sealed[kFormat.size()] != kVersion)
    throw Error(Code::unsupported, "a newer version sealed it", "install the version that did, or a newer one");
  const auto head = head_for(key);
  if (!sealed.starts_with(head))
    throw Error(Code::denied, "it was sealed with another key",
                "bring back the key that the agent had when it was given");
  const auto bound = head + std::string(context);
  const auto nonce = sealed.substr(kHead, berth_nonce_size);
  const auto rest = sealed.substr(kHead + berth_nonce_size);
  std::string text(rest.size() - berth_tag_size, '\0');
  if (!module().open(hashed(key, kForSealing).data(), bytes(nonce), bound.data(), bound.size(), rest.data(),
                     text.size(), text.data()))
    throw Error(Code::corrupt, "what is sealed was changed, or belongs to something else");
  return text;
}

std::string mark(const Key& key, std::string_view text) {
  Digest digest;
  const auto marked = hashed(hashed(key, kForMarks), text);
  std::copy(marked.begin(), marked.end(), digest.bytes.begin());
  return digest.hex();
}

}  // namespace berth::secrets
