#include "runtime/environment/places.hpp"

#include <functional>
#include <optional>
#include <set>
#include <utility>

namespace berth::environment {

struct Places::Waiter : Turns::Ticket {
  using Ticket::Ticket;
  async::Event look;  // it may be its turn, or its flight is stopping
};

namespace {

std::set<Turns::User> users_of(const SingleFlight<Leased>::Flight& flight, Turns::User asker) {
  std::set<Turns::User> users;
  for (const auto& [user, count] : flight.users) users.insert(user);
  if (users.empty()) users.insert(asker);
  return users;
}

// Has the flight tell who waits for it and when it is to stop, for as long as this is there.
class Listening {
 public:
  using Flight = SingleFlight<Leased>::Flight;
  Listening(Flight& flight, std::function<void()> on_users, std::function<void()> on_stop)
      : flight_(flight), stop_(flight.on_stop) {
    flight_.on_users = std::move(on_users);
    flight_.on_stop = [act = std::move(on_stop), then = stop_] {
      act();
      if (then) then();
    };
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;
  ~Listening() {
    flight_.on_users = nullptr;
    flight_.on_stop = std::move(stop_);
  }

 private:
  Flight& flight_;
  std::function<void()> stop_;  // as it was
};

}  // namespace

Places::Place::Place(Places& places, Turns::User user) : places_(places), user_(user) {
  places_.turns_.begin(user_);
  places_.wake_next();  // there may be more places
}

Places::Place::~Place() {
  places_.turns_.end(user_);
  places_.wake_next();
}

async::Task<std::unique_ptr<Places::Place>> Places::wait(SingleFlight<Leased>::Ptr flight, Turns::User asker) {
  Waiter waiter(turns_, asker);
  const auto update = [&] {
    waiter.wanted_by(users_of(*flight, asker));
    wake_next();
  };
  const auto stop = [&] { waiter.look.notify_all(); };
  const Listening listening(*flight, update, stop);
  update();
  std::optional<Turns::User> turn;
  while (!flight->stopping) {
    turn = waiter.whose_turn();
    if (turn) break;
    co_await waiter.look.wait();
  }
  waiter.leave();
  if (flight->stopping) {
    wake_next();
    co_return nullptr;
  }
  co_return take(*turn);
}

// Whoever begins or goes without wakes the one after.
void Places::wake_next() {
  if (const auto next = turns_.next()) static_cast<Waiter*>(next->first)->look.notify_all();
}

}  // namespace berth::environment
