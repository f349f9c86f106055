#pragma once

// The memory that requests' bodies and answers take, bounded for each source and in all.

#include <cstdint>
#include <map>

#include "runtime/base/units.hpp"
#include "runtime/http/peer.hpp"

namespace berth::http {

class MemoryBudget {
 public:
  MemoryBudget(ByteSize per_source, ByteSize in_all) : per_source_(per_source.bytes()), in_all_(in_all.bytes()) {}

  // What one request has of it, given back at its end. The budget outlives it.
  class Share {
   public:
    Share(MemoryBudget& budget, Source source) : budget_(budget), source_(source) {}
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share() { give_back(); }
    // Error(Code::unavailable) when the source, or all together, have as much as they may. The first few kilobytes of a
    // request count for nothing.
    void take(std::uint64_t bytes);
    void give_back();

   private:
    MemoryBudget& budget_;
    Source source_;
    std::uint64_t small_ = 0;
    std::uint64_t taken_ = 0;
  };

 private:
  const std::uint64_t per_source_;
  const std::uint64_t in_all_;
  std::map<Source, std::uint64_t> sources_;
  std::uint64_t all_ = 0;
};

}  // namespace berth::http
