#include "runtime/secrets/sealing_module.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <climits>
#include <memory>

namespace {

struct Free {
  void operator()(EVP_CIPHER_CTX* old) const { ::EVP_CIPHER_CTX_free(old); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, Free>;

const unsigned char* bytes(const char* text) { return reinterpret_cast<const unsigned char*>(text); }
unsigned char* bytes(char* text) { return reinterpret_cast<unsigned char*>(text); }

// Made ready for a key, with the context said.
Cipher begin(bool sealing, const unsigned char* key, const unsigned char* nonce, const char* context,
             std::size_t context_size, std::size_t size) {
  Cipher cipher(::EVP_CIPHER_CTX_new());
  int length = 0;
  if (!cipher || size > INT_MAX || context_size > INT_MAX) return nullptr;
  if (::EVP_CipherInit_ex(cipher.get(), ::EVP_aes_256_gcm(), nullptr, key, nonce, sealing ? 1 : 0) != 1) return nullptr;
  if (::EVP_CipherUpdate(cipher.get(), nullptr, &length, bytes(context), static_cast<int>(context_size)) != 1)
    return nullptr;
  return cipher;
}

bool seal(const unsigned char* key, const unsigned char* nonce, const char* context, std::size_t context_size,
          const char* in, std::size_t size, char* out) {
  const auto cipher = begin(true, key, nonce, context, context_size, size);
  int length = 0;
  return cipher && ::EVP_EncryptUpdate(cipher.get(), bytes(out), &length, bytes(in), static_cast<int>(size)) == 1 &&
         ::EVP_EncryptFinal_ex(cipher.get(), bytes(out) + length, &length) == 1 &&
         ::EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, berth_tag_size, out + size) == 1;
}

bool open(const unsigned char* key, const unsigned char* nonce, const char* context, std::size_t context_size,
          const char* in, std::size_t size, char* out) {
  const auto cipher = begin(false, key, nonce, context, context_size, size);
  int length = 0;
  auto* tag = const_cast<char*>(in + size);  // which OpenSSL only reads
  return cipher && ::EVP_DecryptUpdate(cipher.get(), bytes(out), &length, bytes(in), static_cast<int>(size)) == 1 &&
         ::EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, berth_tag_size, tag) == 1 &&
         ::EVP_DecryptFinal_ex(cipher.get(), bytes(out) + length, &length) == 1;
}

bool mark(const unsigned char* key, const char* in, std::size_t size, unsigned char* out) {
  unsigned int length = 0;
  return ::HMAC(::EVP_sha256(), key, berth_key_size, bytes(in), size, out, &length) != nullptr &&
         length == berth_mark_size;
}

}  // namespace

const BerthSealingModule* berth_sealing_1() {
  static constexpr BerthSealingModule kModule{seal, open, mark};
  return &kModule;
}
