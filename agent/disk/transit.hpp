#pragma once

// What each user has on the disk that is on its way: packs that come and that go, and files that are unpacked. All of
// it is charged here before it is written and given back when it is gone, so that it is bounded, whoever never moves
// on.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "runtime/async/task.hpp"
#include "runtime/base/units.hpp"

namespace berth::disk {

class Transit {
  struct Book;

 public:
  explicit Transit(async::Executor executor);
  Transit(const Transit&) = delete;
  Transit& operator=(const Transit&) = delete;

  // What one transfer takes, given back with it, on any thread; empty: nothing.
  class Charge {
   public:
    Charge() = default;
    Charge(Charge&& other) noexcept
        : book_(std::move(other.book_)), user_(other.user_), bytes_(std::exchange(other.bytes_, 0)) {}
    Charge& operator=(Charge&& other) noexcept {
      std::swap(book_, other.book_);
      std::swap(user_, other.user_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Charge() { set(0); }

    std::uint64_t bytes() const { return bytes_; }
    // Of the same user, but for this.
    std::uint64_t others() const;
    // So much from now on. Whether that is too much is for the caller to say.
    void set(std::uint64_t bytes);

   private:
    friend class Transit;
    Charge(std::shared_ptr<Book> book, uid_t user) : book_(std::move(book)), user_(user) {}

    std::shared_ptr<Book> book_;
    uid_t user_ = 0;
    std::uint64_t bytes_ = 0;
  };

  // Of nothing yet.
  Charge open(uid_t user) const { return {book_, user}; }
  // Waits until it fits into `most` beside what else of the user's is on its way; one that is more has its turn alone.
  async::Task<Charge> wait(uid_t user, std::uint64_t bytes, std::uint64_t most) const;

 private:
  std::shared_ptr<Book> book_;
};

}  // namespace berth::disk
