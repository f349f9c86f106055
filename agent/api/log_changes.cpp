#include "agent/api/log_changes.hpp"

#include <sys/inotify.h>

#include <algorithm>

#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"

namespace berth::api {
namespace {

constexpr std::chrono::milliseconds kFirstPause{50};
constexpr std::chrono::milliseconds kLongestPause{1000};

}  // namespace

std::unique_ptr<WatchAllowance::Lease> WatchAllowance::take(model::LimitKey reader) {
  auto& taken = taken_[reader];
  if (taken >= kMostPerReader) return nullptr;
  ++taken;
  return std::make_unique<Lease>(*this, reader);
}

WatchAllowance::Lease::~Lease() {
  const auto found = allowance_.taken_.find(reader_);
  if (--found->second == 0) allowance_.taken_.erase(found);
}

LogChanges::LogChanges(async::Watcher& watcher, WatchAllowance& allowance, model::LimitKey reader,
                       const std::string& log)
    : lease_(allowance.take(reader)), pause_(kFirstPause) {
  if (!lease_) return;
  try {
    watch_ = watcher.watch(log, IN_MODIFY);
  } catch (const Error&) {  // the machine has no more of them
    lease_.reset();
  }
}

async::Task<> LogChanges::changed() {
  if (watch_) {
    co_await watch_->changed();
    co_return;
  }
  co_await async::sleep_for(pause_);
  pause_ = std::min(pause_ * 2, kLongestPause);
}

void LogChanges::grew() { pause_ = kFirstPause; }

}  // namespace berth::api
