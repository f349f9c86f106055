#pragma once

// Work of which only little can go on at a time: the users who want some take turns, however much each has asked for.
// One who has nothing in progress waits for no single other: where all turns are another's, one more is given.

#include <sys/types.h>

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <utility>

#include "runtime/async/event.hpp"

namespace berth::jobs {

class Turns {
 public:
  explicit Turns(std::size_t at_once) : at_once_(at_once) {}
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // While it lives, it is that user's turn. The turns outlive it.
  class Turn {
   public:
    Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)), uid_(other.uid_) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn();

   private:
    friend class Turns;
    Turn(Turns& turns, uid_t uid) : turns_(&turns), uid_(uid) {}
    Turns* turns_;
    uid_t uid_;
  };
  // In the order of asking among those of one user.
  async::Task<Turn> take(uid_t uid);

  std::size_t taken() const { return taken_; }

 private:
  struct Waiter {
    bool has_turn = false;
    async::Event given{};
  };

  bool may_have(uid_t uid) const;
  void give();
  void give_back(uid_t uid);

  std::size_t at_once_;
  std::size_t taken_ = 0;
  std::map<uid_t, std::size_t> taken_by_;
  std::map<uid_t, std::list<Waiter*>> waiting_;
  uid_t last_ = 0;  // whose turn came last
};

}  // namespace berth::jobs
