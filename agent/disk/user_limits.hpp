#pragma once

// How much of the node one user may take.

#include <cstddef>
#include <optional>

#include "agent/disk/plan.hpp"

namespace berth::disk {

struct UserLimits {
  std::size_t jobs = 50'000;         // that have not ended
  std::optional<Share> storage;  // what he sent and his jobs put out, before compression; nothing: no limit
  ByteSize transit{128ULL << 30};    // on its way at a time, where `storage` is not less
  friend bool operator==(const UserLimits&, const UserLimits&) = default;
};

}  // namespace berth::disk
