// The low-level functions need no providers, hence no loading at run time.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "runtime/objects/sha256.hpp"

#include <openssl/sha.h>

namespace berth::objects {
namespace {

SHA256_CTX* context(std::array<unsigned char, 128>& state) { return reinterpret_cast<SHA256_CTX*>(state.data()); }

}  // namespace

Sha256::Sha256() {
  static_assert(sizeof(SHA256_CTX) <= sizeof state_ && alignof(SHA256_CTX) <= 8);
  SHA256_Init(context(state_));
}

void Sha256::update(std::string_view bytes) { SHA256_Update(context(state_), bytes.data(), bytes.size()); }

Digest Sha256::finish() {
  Digest digest;
  SHA256_Final(digest.bytes.data(), context(state_));
  return digest;
}

Digest sha256(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

}  // namespace berth::objects
