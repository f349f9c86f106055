#pragma once

// Bytes that do not shrink, and text that does; the same for the same seed.

#include <random>
#include <string>

namespace berth::objects {

inline std::string random_bytes(std::size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (auto& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

inline std::string random_text(std::size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string text;
  while (text.size() < size) text += "word" + std::to_string(random() % 500) + (random() % 8 == 0 ? "\n" : " ");
  text.resize(size);
  return text;
}

}  // namespace berth::objects
