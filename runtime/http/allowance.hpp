#pragma once

// The memory that requests' bodies and answers take, bounded for each user and in all.

#include <sys/types.h>

#include <cstdint>
#include <map>

#include "runtime/base/units.hpp"

namespace berth::http {

class MemoryBudget {
 public:
  MemoryBudget(ByteSize per_user, ByteSize in_all) : per_user_(per_user.bytes()), in_all_(in_all.bytes()) {}

  // What one request has of it, given back at its end. The budget outlives it.
  class Share {
   public:
    Share(MemoryBudget& budget, uid_t user) : budget_(budget), user_(user) {}
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share() { give_back(); }
    // Error(Code::unavailable) when the user, or all together, have as much as they may. The first few kilobytes of a
    // request count for nothing.
    void take(std::uint64_t bytes);
    void give_back();

   private:
    MemoryBudget& budget_;
    uid_t user_;
    std::uint64_t small_ = 0;
    std::uint64_t taken_ = 0;
  };

 private:
  const std::uint64_t per_user_;
  const std::uint64_t in_all_;
  std::map<uid_t, std::uint64_t> users_;
  std::uint64_t all_ = 0;
};

}  // namespace berth::http
