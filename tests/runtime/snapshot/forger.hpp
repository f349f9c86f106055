#pragma once

// Packs written by hand, for tests.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/objects/sha256.hpp"
#include "runtime/snapshot/manifest.hpp"

namespace berth::snapshot {

struct Forger {
  std::string pack = "BRTHPAK1";

  static std::string number(std::uint64_t value) {
    std::string text;
    for (; value >= 0x80; value >>= 7) text += static_cast<char>(value | 0x80);
    return text += static_cast<char>(value);
  }
  Forger& digest(const Digest& digest) {
    pack.append(reinterpret_cast<const char*>(digest.bytes.data()), 32);
    return *this;
  }
  // With bases, which it names and makes no use of.
  Forger& manifest(const Manifest& manifest, std::initializer_list<Digest> bases = {}) {
    digest(manifest.id());
    pack += number(bases.size());
    for (const auto& base : bases) digest(base);
    pack += std::string(1, '\0') + number(manifest.bytes().size()) + number(manifest.bytes().size());
    pack += manifest.bytes();
    return *this;
  }
  Forger& frame(std::vector<std::uint64_t> sizes, char encoding, std::string_view stored) {
    pack += "F" + number(sizes.size());
    for (const auto size : sizes) pack += number(size);
    pack += encoding;
    pack += number(stored.size());
    pack += stored;
    return *this;
  }
  Forger& delta(std::uint64_t base, std::uint64_t entry, std::uint64_t size, std::string_view stored) {
    pack += "D" + number(base) + number(entry) + number(size) + number(stored.size());
    pack += stored;
    return *this;
  }
  Forger& end(std::uint64_t count) {
    pack += "E" + number(count);
    return *this;
  }
};

inline Manifest one_file(std::string_view content) {
  ManifestBuilder builder;
  builder.file("f", false, content.size(), objects::sha256(content));
  return builder.finish();
}

}  // namespace berth::snapshot
