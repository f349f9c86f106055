#include "agent/disk/transit.hpp"

#include <boost/asio/post.hpp>
#include <map>
#include <mutex>

#include "runtime/async/event.hpp"

namespace berth::disk {

struct Transit::Book {
  explicit Book(async::Executor on) : executor(std::move(on)) {}

  std::uint64_t of(uid_t user) {
    const std::lock_guard lock(mutex);
    const auto found = users.find(user);
    return found == users.end() ? 0 : found->second;
  }

  void change(uid_t user, std::uint64_t before, std::uint64_t after) {
    const std::lock_guard lock(mutex);
    auto& bytes = users[user];
    bytes = bytes - before + after;
    if (bytes == 0) users.erase(user);
  }

  async::Executor executor;
  async::Event freed;  // the loop's
  std::mutex mutex;
  std::map<uid_t, std::uint64_t> users;  // guarded by mutex
};

Transit::Transit(async::Executor executor) : book_(std::make_shared<Book>(std::move(executor))) {}

std::uint64_t Transit::Charge::others() const { return book_ ? book_->of(user_) - bytes_ : 0; }

void Transit::Charge::set(std::uint64_t bytes) {
  const auto before = std::exchange(bytes_, bytes);
  if (!book_ || before == bytes) return;
  book_->change(user_, before, bytes);
  if (bytes < before) boost::asio::post(book_->executor, [book = book_] { book->freed.notify_all(); });
}

async::Task<Transit::Charge> Transit::wait(uid_t user, std::uint64_t bytes, std::uint64_t most) const {
  const auto book = book_;
  for (;;) {
    const auto others = book->of(user);
    if (others == 0 || (bytes <= most && others <= most - bytes)) break;
    co_await book->freed.wait();
  }
  auto charge = open(user);
  charge.set(bytes);
  co_return charge;
}

}  // namespace berth::disk
