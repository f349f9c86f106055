#include "runtime/db/writer.hpp"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>

#include "runtime/base/error.hpp"

namespace berth::db {
namespace {

// A larger batch would keep its first writer waiting for little gain.
constexpr std::size_t kMostPerCommit = 4096;
constexpr auto kRenewPatience = std::chrono::milliseconds(200);

}  // namespace

Writer::Writer(Connection connection) : connection_(std::move(connection)), path_(connection_->path()) {
  // The process' signals are its loop's business: this thread takes none.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { serve(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), "db-writer");
}

Writer::~Writer() { stop(); }

void Writer::write(Durable durable, Work work, Done done) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) {
      waiting_.push_back({durable, std::move(work), std::move(done), nullptr});
      available_.notify_one();
      return;
    }
  }
  done(std::make_exception_ptr(Error(Code::unavailable, "the database " + path_ + " is closing")));
}

void Writer::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    available_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Writer::serve() {
  std::vector<Item> batch;
  std::unique_lock lock(mutex_);
  while (true) {
    available_.wait(lock, [this] { return stopping_ || renewal_ || !waiting_.empty(); });
    if (renewal_) {
      connection_.reset();
      open_ = std::exchange(renewal_, nullptr);
      closed_.notify_all();
      if (waiting_.empty()) continue;  // it is opened with the next work, which is told why not
    }
    if (waiting_.empty()) return;
    const auto count = static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kMostPerCommit));
    batch.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(waiting_.begin() + count));
    waiting_.erase(waiting_.begin(), waiting_.begin() + count);
    lock.unlock();
    commit(batch);
    for (auto& item : batch) {
      item.done(std::move(item.failure));
      item = {};  // what it holds goes before the next one is told
    }
    batch.clear();
    lock.lock();
  }
}

void Writer::renew(std::function<Connection()> open) {
  std::unique_lock lock(mutex_);
  renewal_ = std::move(open);
  available_.notify_one();
  closed_.wait_for(lock, kRenewPatience, [this] { return !renewal_; });
}

// One transaction for all of them; what fails for the transaction fails for each.
void Writer::commit(std::vector<Item>& batch) {
  try {
    if (!connection_) connection_.emplace(open_());
    // Before, lest something is written where nobody finds it, and after it, lest that is promised.
    connection_->check_files();
    const bool durable =
        std::any_of(batch.begin(), batch.end(), [](const Item& item) { return item.durable == Durable::yes; });
    connection_->set_durable(durable ? Durable::yes : Durable::no);
    Transaction transaction(*connection_);
    run_all(batch);
    transaction.commit();
    connection_->check_files();
  } catch (...) {
    const auto error = error_from(std::current_exception());  // each gets its own: they go to different threads
    for (auto& item : batch)
      if (!item.failure) item.failure = std::make_exception_ptr(error);
  }
}

void Writer::run_all(std::vector<Item>& batch) {
  for (auto& item : batch) {
    run_one(item);
    // On a full disk SQLite may undo the whole transaction: then none of the others is written either.
    if (!connection_->in_transaction()) std::rethrow_exception(item.failure);
  }
}

void Writer::run_one(Item& item) {
  try {
    Savepoint savepoint(*connection_);
    item.work(*connection_);
    savepoint.keep();
  } catch (...) {
    item.failure = std::current_exception();
  }
}

}  // namespace berth::db
