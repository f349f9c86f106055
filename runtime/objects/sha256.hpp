#pragma once

// SHA-256, by the processor's own instructions where it has them.

#include <array>
#include <cstdint>
#include <string_view>

#include "runtime/base/digest.hpp"

namespace berth::objects {

Digest sha256(std::string_view bytes);

// In pieces; finish() once.
class Sha256 {
 public:
  Sha256();
  void update(std::string_view bytes);
  Digest finish();

 private:
  alignas(8) std::array<unsigned char, 128> state_;
};

}  // namespace berth::objects
