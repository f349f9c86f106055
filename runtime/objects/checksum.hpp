#pragma once

// A quick 64-bit checksum against accidents (torn writes, bad disks) in Berth's own index and cache files. It
// is part of their formats. It is no protection against intent: objects themselves are verified by SHA-256.

#include <cstdint>
#include <string_view>

namespace berth::objects {

std::uint64_t checksum64(std::string_view bytes);

}  // namespace berth::objects
