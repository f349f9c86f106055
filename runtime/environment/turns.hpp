#pragma once

// Whose build is next, of those that somebody or several wait for. Users take turns: who has the fewest running goes
// first, then who has waited longest since his last one. However long the builds of one user take, another one gets a
// place: beyond the places that there are for all, a user of whom nothing runs gets one, as long as fewer users than
// places have some. What it costs grows with the users, not with what they wait for. Pure.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <sys/types.h>

namespace berth::environment {

class Turns {
 public:
  using User = std::optional<uid_t>;  // nothing: the agent's own

  explicit Turns(std::size_t places) : places_(places) {}
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // That may run at the same time, with the places beyond those for all.
  std::size_t most() const { return places_ + most_users() - 1; }

  // One that waits, from its making until it begins or goes. It has the best turn of all who want it: nobody waits for
  // another's turn where he has one himself.
  class Ticket {
   public:
    Ticket(Turns& turns, User user) : turns_(turns), number_(++turns.tickets_) { wanted_by({user}); }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    ~Ticket() { leave(); }
    void wanted_by(std::set<User> users) {
      leave();
      users_ = std::move(users);
      for (const auto& user : users_) turns_.waiting_[user].emplace(number_, this);
    }
    bool may_begin() const { return whose_turn().has_value(); }
    // By whose turn it may begin; nothing where it may not.
    std::optional<User> whose_turn() const {
      const auto next = turns_.next();
      if (!next || next->first != this) return std::nullopt;
      return std::optional<User>(std::in_place, next->second);
    }
    void leave() {
      for (const auto& user : users_) {
        const auto found = turns_.waiting_.find(user);
        found->second.erase(number_);
        if (found->second.empty()) turns_.waiting_.erase(found);
      }
      users_.clear();
    }

   private:
    Turns& turns_;
    std::uint64_t number_;  // in the order in which they came
    std::set<User> users_;
  };

  // The one that may begin now, and by whose turn.
  std::optional<std::pair<Ticket*, User>> next() const {
    std::optional<std::pair<Ticket*, User>> best;
    auto least = std::tuple<std::size_t, std::uint64_t, std::uint64_t>();
    for (const auto& [user, tickets] : waiting_) {
      if (!has_place(user)) continue;
      const auto turn = std::tuple(running_of(user), served(user), tickets.begin()->first);
      if (best && turn >= least) continue;
      best.emplace(tickets.begin()->second, user);
      least = turn;
    }
    return best;
  }

  void begin(User user) {
    ++running_[user];
    ++all_;
    served_[user] = ++count_;
  }
  void end(User user) {
    --all_;
    if (--running_[user] == 0) running_.erase(user);
  }

 private:
  std::size_t running_of(User user) const {
    const auto found = running_.find(user);
    return found == running_.end() ? 0 : found->second;
  }
  std::uint64_t served(User user) const {
    const auto found = served_.find(user);
    return found == served_.end() ? 0 : found->second;
  }
  bool has_place(User user) const {
    return all_ < places_ || (running_of(user) == 0 && running_.size() < most_users());
  }
  std::size_t most_users() const { return places_ > 2 ? places_ : 2; }

  std::size_t places_;
  std::map<User, std::map<std::uint64_t, Ticket*>> waiting_;
  std::map<User, std::size_t> running_;
  std::size_t all_ = 0;  // that run
  std::map<User, std::uint64_t> served_;
  std::uint64_t count_ = 0;
  std::uint64_t tickets_ = 0;
};

}  // namespace berth::environment
