#pragma once

// Who works at the same time: each owner's work waits for its turn among that owner's own, so that somebody who asks
// for very much waits for himself, and nobody else for him.

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "runtime/async/event.hpp"
#include "runtime/async/task.hpp"

namespace berth::async {

class Shares {
  struct Line;

 public:
  using Owner = std::uint64_t;  // a uid

  // At most so many of each owner at once. Outlives all that waits for it and every Share.
  explicit Shares(std::size_t most) : most_(most) {}
  Shares(const Shares&) = delete;
  Shares& operator=(const Shares&) = delete;

  // Held while one works.
  class Share {
   public:
    Share() = default;
    Share(Shares& shares, Owner owner) : shares_(&shares), owner_(owner) {}
    Share(Share&& other) noexcept : shares_(std::exchange(other.shares_, nullptr)), owner_(other.owner_) {}
    Share& operator=(Share&& other) noexcept {
      std::swap(shares_, other.shares_);
      std::swap(owner_, other.owner_);
      return *this;
    }
    ~Share() {
      if (shares_ != nullptr) shares_->end(owner_);
    }

   private:
    Shares* shares_ = nullptr;
    Owner owner_ = 0;
  };

  Task<Share> take(Owner owner);

 private:
  struct Line {
    std::size_t working = 0;
    std::size_t waiting = 0;
    Event freed;
  };
  void end(Owner owner);

  const std::size_t most_;
  std::map<Owner, Line> lines_;
};

}  // namespace berth::async
