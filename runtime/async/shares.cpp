#include "runtime/async/shares.hpp"

namespace berth::async {
namespace {

// Counts a waiter for as long as it waits, however that ends.
class Counted {
 public:
  explicit Counted(std::size_t& number) : number_(number) { ++number_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --number_; }

 private:
  std::size_t& number_;
};

}  // namespace

Task<Shares::Share> Shares::take(Owner owner) {
  auto& line = lines_[owner];
  while (line.working >= most_) {
    const Counted waiting(line.waiting);
    co_await line.freed.wait();
  }
  ++line.working;
  co_return Share(*this, owner);
}

void Shares::end(Owner owner) {
  const auto found = lines_.find(owner);
  auto& line = found->second;
  --line.working;
  if (line.waiting > 0)
    line.freed.notify_all();
  else if (line.working == 0)
    lines_.erase(found);
}

}  // namespace berth::async
