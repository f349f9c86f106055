#pragma once

// What writer and reader of packs share. Internal to runtime/snapshot.

#include <cstdint>
#include <string_view>

namespace berth::snapshot {

inline constexpr std::string_view kPackMagic = "BRTHPAK1";
inline constexpr char kFrameRecord = 'F';
inline constexpr char kDeltaRecord = 'D';
inline constexpr char kEndRecord = 'E';

enum class ManifestEncoding : std::uint8_t { raw = 0, zstd = 1, delta = 2 };

// Frames of several objects are at most this large before compression; a larger one holds a single object.
inline constexpr std::uint64_t kLargestFrame = 8ULL << 20;

}  // namespace berth::snapshot
