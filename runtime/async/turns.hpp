#pragma once

// Who works at the same time: each owner's work waits for its turn among that owner's own, so that somebody who asks for
// very much waits for himself, and nobody else for him.

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "runtime/async/event.hpp"
#include "runtime/async/task.hpp"

namespace berth::async {

class Turns {
  struct Line;

 public:
  using Owner = std::uint64_t;  // a uid

  // At most so many of each owner at once. Outlives all that waits for it and every Turn.
  explicit Turns(std::size_t most) : most_(most) {}
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // Held while one works.
  class Turn {
   public:
    Turn() = default;
    Turn(Turns& turns, Owner owner) : turns_(&turns), owner_(owner) {}
    Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)), owner_(other.owner_) {}
    Turn& operator=(Turn&& other) noexcept {
      std::swap(turns_, other.turns_);
      std::swap(owner_, other.owner_);
      return *this;
    }
    ~Turn() {
      if (turns_ != nullptr) turns_->end(owner_);
    }

   private:
    Turns* turns_ = nullptr;
    Owner owner_ = 0;
  };

  Task<Turn> take(Owner owner);

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
