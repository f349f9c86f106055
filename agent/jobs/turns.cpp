#include "agent/jobs/turns.hpp"

namespace berth::jobs {

Turns::Turn::~Turn() {
  if (turns_ != nullptr) turns_->give_back(uid_);
}

async::Task<Turns::Turn> Turns::take(uid_t uid) {
  Waiter waiter;
  auto& line = waiting_[uid];
  const auto place = line.insert(line.end(), &waiter);
  // Whoever is stopped meanwhile leaves the line, or gives back what he was given.
  const auto leave = [&](void*) { waiter.has_turn ? give_back(uid) : void(line.erase(place)); };
  std::unique_ptr<void, decltype(leave)> in_line(this, leave);
  give();
  while (!waiter.has_turn) co_await waiter.given.wait();
  in_line.release();
  co_return Turn(*this, uid);
}

bool Turns::may_have(uid_t uid) const {
  if (taken_ < at_once_) return true;
  return taken_ == at_once_ && taken_by_.size() == 1 && !taken_by_.contains(uid);
}

// From the user after the one whose turn came last.
void Turns::give() {
  auto user = waiting_.upper_bound(last_);
  for (std::size_t passed = 0; passed < waiting_.size();) {
    if (user == waiting_.end()) user = waiting_.begin();
    const auto uid = user->first;
    if (user->second.empty() || !may_have(uid)) {
      ++user;
      ++passed;
      continue;
    }
    auto* waiter = user->second.front();
    user->second.pop_front();
    ++taken_;
    ++taken_by_[uid];
    last_ = uid;
    waiter->has_turn = true;
    waiter->given.notify_all();
    ++user;
    passed = 0;
  }
}

void Turns::give_back(uid_t uid) {
  --taken_;
  const auto mine = taken_by_.find(uid);
  if (--mine->second == 0) taken_by_.erase(mine);
  give();
}

}  // namespace berth::jobs
