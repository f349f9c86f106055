#pragma once

// Places for what is made for users, who get them in turn (turns.hpp): waits for one, and holds it. For the loop's
// thread alone.

#include <cstddef>
#include <memory>

#include "runtime/async/event.hpp"
#include "runtime/async/task.hpp"
#include "runtime/environment/ready.hpp"
#include "runtime/environment/single_flight.hpp"
#include "runtime/environment/turns.hpp"

namespace berth::environment {

class Places {
 public:
  explicit Places(std::size_t at_once) : turns_(at_once) {}
  Places(const Places&) = delete;
  Places& operator=(const Places&) = delete;

  // Given back when it goes, which is before Places do.
  class Place {
   public:
    Place(Places& places, Turns::User user);
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place();
    Turns::User user() const { return user_; }

   private:
    Places& places_;
    Turns::User user_;
  };

  // By the turn of any who waits for the flight now, or of `asker` where that is nobody in particular. Nothing once the
  // flight is stopping.
  async::Task<std::unique_ptr<Place>> wait(SingleFlight<Leased>::Ptr flight, Turns::User asker);
  // Of what goes on already, whether there is one or not.
  std::unique_ptr<Place> take(Turns::User user) { return std::make_unique<Place>(*this, user); }

  // That may be held at the same time, but for those taken.
  std::size_t most() const { return turns_.most(); }

 private:
  struct Waiter;
  void wake_next();

  Turns turns_;
};

}  // namespace berth::environment
