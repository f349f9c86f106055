#pragma once

// Whose build is next, of those that somebody or several wait for. Users take turns: who has the fewest running goes first, then who has waited longest since his
// last one. However long the builds of one user take, another one gets a place: beyond the places that there are for all,
// a user of whom nothing runs gets one, as long as fewer users than places have some. Pure.

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <sys/types.h>

namespace berth::environment {

class Turns {
 public:
  using User = std::optional<uid_t>;  // nothing: the agent's own

  explicit Turns(std::size_t places) : places_(places) {}

  // That may run at the same time, with the places beyond those for all.
  std::size_t most() const { return places_ + most_users() - 1; }

  // One that waits, from its making until it begins or goes. It has the best turn of all who want it: nobody waits for
  // another's turn where he has one himself.
  class Ticket {
   public:
    Ticket(Turns& turns, User user) : turns_(turns), at_(turns.join({user})) {}
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    ~Ticket() { leave(); }
    void wanted_by(std::set<User> users) { *at_ = std::move(users); }
    bool may_begin() const { return whose_turn().has_value(); }
    // By whose turn it may begin; nothing where it may not.
    std::optional<User> whose_turn() const {
      const auto next = turns_.next();
      if (!waits_ || next.first != at_) return std::nullopt;
      return next.second;
    }
    void leave() {
      if (waits_) turns_.waiting_.erase(at_);
      waits_ = false;
    }

   private:
    Turns& turns_;
    std::list<std::set<User>>::iterator at_;
    bool waits_ = true;
  };

  void begin(User user) {
    ++running_[user];
    served_[user] = ++count_;
  }
  void end(User user) {
    if (--running_[user] == 0) running_.erase(user);
  }

 private:
  using Place = std::list<std::set<User>>::iterator;

  Place join(std::set<User> users) { return waiting_.insert(waiting_.end(), std::move(users)); }

  // Of those that may begin now, and by whose turn; the list's end for none.
  std::pair<Place, User> next() {
    std::pair<Place, User> best{waiting_.end(), {}};
    for (auto at = waiting_.begin(); at != waiting_.end(); ++at)
      for (const auto& user : *at)
        if (has_place(user) && (best.first == waiting_.end() || goes_before(user, best.second))) best = {at, user};
    return best;
  }

  std::size_t running_of(User user) const {
    const auto found = running_.find(user);
    return found == running_.end() ? 0 : found->second;
  }
  std::uint64_t served(User user) const {
    const auto found = served_.find(user);
    return found == served_.end() ? 0 : found->second;
  }
  bool has_place(User user) const {
    std::size_t all = 0;
    for (const auto& [one, count] : running_) all += count;
    if (all < places_) return true;
    return running_of(user) == 0 && running_.size() < most_users();
  }
  std::size_t most_users() const { return places_ > 2 ? places_ : 2; }
  bool goes_before(User left, User right) const {
    if (running_of(left) != running_of(right)) return running_of(left) < running_of(right);
    return served(left) < served(right);
  }

  std::size_t places_;
  std::list<std::set<User>> waiting_;  // in the order in which they came
  std::map<User, std::size_t> running_;
  std::map<User, std::uint64_t> served_;
  std::uint64_t count_ = 0;
};

}  // namespace berth::environment
