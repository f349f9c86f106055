#include "runtime/environment/places.hpp"

#include <functional>
#include <optional>
#include <set>
#include <utility>

namespace berth::environment {
namespace {

std::set<Turns::User> users_of(const Flights<Leased>::Flight& flight, Turns::User asker) {
  std::set<Turns::User> users;
  for (const auto& [user, count] : flight.users) users.insert(user);
  if (users.empty()) users.insert(asker);
  return users;
}

// Has the flight tell who waits for it, for as long as this is there.
class Listening {
 public:
  Listening(Flights<Leased>::Flight& flight, std::function<void()> act) : flight_(flight) {
    flight_.on_users = std::move(act);
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;
  ~Listening() { flight_.on_users = nullptr; }

 private:
  Flights<Leased>::Flight& flight_;
};

}  // namespace

Places::Place::Place(Places& places, Turns::User user) : places_(places), user_(user) {
  places_.turns_.begin(user_);
  places_.look_again();  // another one may be next
}

Places::Place::~Place() {
  places_.turns_.end(user_);
  places_.look_again();
}

async::Task<std::unique_ptr<Places::Place>> Places::wait(Flights<Leased>::Ptr flight, Turns::User asker) {
  Turns::Ticket ticket(turns_, asker);
  const auto update = [&] {
    ticket.wanted_by(users_of(*flight, asker));
    look_again();
  };
  const Listening listening(*flight, update);
  update();
  std::optional<Turns::User> turn;
  for (;;) {
    turn = closed_ ? std::nullopt : ticket.whose_turn();
    if (turn || flight->stopping) break;
    co_await changed_.wait();
  }
  ticket.leave();
  look_again();
  if (flight->stopping) co_return nullptr;
  co_return take(*turn);
}

void Places::open() {
  closed_ = false;
  look_again();
}

}  // namespace berth::environment
