#pragma once

// What libberth_sealing.so offers: AES-256-GCM and HMAC-SHA-256, by OpenSSL. A C interface, so that nothing of OpenSSL
// or of the C++ library crosses it.

#include <cstddef>

extern "C" {

inline constexpr std::size_t berth_key_size = 32;
inline constexpr std::size_t berth_nonce_size = 12;
inline constexpr std::size_t berth_tag_size = 16;
inline constexpr std::size_t berth_mark_size = 32;

struct BerthSealingModule {
  // `out` gets `size` bytes and the tag behind them. False: OpenSSL would not.
  bool (*seal)(const unsigned char* key, const unsigned char* nonce, const char* context, std::size_t context_size,
               const char* in, std::size_t size, char* out);
  // `in` holds `size` bytes with the tag behind them; `out` gets `size`. False: the key or the context is another one,
  // or something was changed; `out` is worth nothing then.
  bool (*open)(const unsigned char* key, const unsigned char* nonce, const char* context, std::size_t context_size,
               const char* in, std::size_t size, char* out);
  bool (*mark)(const unsigned char* key, const char* in, std::size_t size, unsigned char* out);
};

// The name carries the version of this interface.
[[gnu::visibility("default")]] const BerthSealingModule* berth_sealing_1();
}
