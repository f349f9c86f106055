#include "agent/cli/upload.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"

namespace berth::cli {
namespace {

constexpr std::size_t kSmall = 4U << 20;
constexpr std::size_t kMostPending = 8U << 20;  // the maker waits above

}  // namespace

Upload::Upload(http::Client& client, std::string target, std::string content_type)
    : client_(client), target_(std::move(target)), content_type_(std::move(content_type)) {}

Upload::~Upload() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    broken_off_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Upload::take(std::string_view bytes) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_ || pending_.size() < kMostPending; });
  if (failure_) std::rethrow_exception(failure_);
  if (done_) throw Error(Code::internal, "the agent answered before it had everything");
  pending_ += bytes;
  if (!thread_.joinable() && pending_.size() > kSmall) thread_ = std::thread([this] { send(); });
  lock.unlock();
  changed_.notify_all();
}

std::string Upload::finish() {
  if (!thread_.joinable()) return client_.request("POST", target_, pending_, content_type_, http::Repeatable::yes).body;
  {
    const std::lock_guard lock(mutex_);
    complete_ = true;
  }
  changed_.notify_all();
  thread_.join();
  if (failure_) std::rethrow_exception(failure_);
  return std::move(answer_);
}

void Upload::send() {
  std::string answer;
  std::exception_ptr failure;
  try {
    const auto producer = [this](std::span<char> room) { return produce(room); };
    answer = client_.upload("POST", target_, std::nullopt, producer, content_type_).body;
  } catch (...) {
    failure = std::current_exception();
  }
  {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
    failure_ = failure;
    done_ = true;
  }
  changed_.notify_all();
}

std::size_t Upload::produce(std::span<char> room) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return complete_ || broken_off_ || !pending_.empty(); });
  if (broken_off_) throw Cancelled();
  const auto size = std::min(room.size(), pending_.size() - taken_);
  std::copy_n(pending_.begin() + static_cast<std::ptrdiff_t>(taken_), size, room.begin());
  taken_ += size;
  if (taken_ == pending_.size()) {
    pending_.clear();
    taken_ = 0;
  }
  lock.unlock();
  changed_.notify_all();
  return size;
}

}  // namespace berth::cli
