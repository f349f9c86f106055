#include "runtime/async/watcher.hpp"

#include <sys/inotify.h>

#include <utility>

#include "runtime/async/attempt.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::async {
namespace {

constexpr std::chrono::milliseconds kPollPause{250};

}  // namespace

Watcher::Watch::Watch(Watcher& watcher, std::string path, std::uint32_t mask)
    : watcher_(watcher), path_(std::move(path)), mask_(mask) {
  if (!begin()) watcher_.polled_.push_back(this);
}

// Whether there is a watch now.
bool Watcher::Watch::begin() {
  try {
    number_ = watcher_.add(path_, mask_);
  } catch (const Error& error) {
    if (error.code() == Code::not_found && watcher_.inotify_) throw;
    watcher_.why_polled_ = error.message();
    return false;
  }
  watcher_.watches_[number_].push_back(this);
  return true;
}

Watcher::Watch::~Watch() {
  watcher_.polled_.remove(this);
  const auto found = watcher_.watches_.find(number_);
  if (found == watcher_.watches_.end()) return;
  found->second.remove(this);
  if (!found->second.empty()) return;
  watcher_.watches_.erase(found);
  watcher_.inotify_->remove(number_);
}

Task<> Watcher::Watch::changed() {
  while (!happened_) co_await event_.wait();
  happened_ = false;
}

Watcher::Watcher(Executor executor, Nursery::OnFailure on_failure) : nursery_(executor, std::move(on_failure)) {
  try {
    inotify_.emplace();
  } catch (const Error& error) {  // it is asked for again with every watch
    why_polled_ = error.message();
  }
}

// Instances are limited, too.
int Watcher::add(const std::string& path, std::uint32_t mask) {
  if (!inotify_) inotify_.emplace();
  if (!std::exchange(dispatching_, true)) nursery_.spawn(dispatch());
  return inotify_->add(path, mask);
}

std::unique_ptr<Watcher::Watch> Watcher::watch(const std::string& path, std::uint32_t mask) {
  auto watch = std::make_unique<Watch>(*this, path, mask);
  if (watch->number_ < 0 && !std::exchange(polling_, true)) nursery_.spawn(poll());
  return watch;
}

Task<> Watcher::appearance(std::string path) {
  const auto directory = watch(os::parent_of(path), IN_MOVED_TO);
  while (!os::exists(path)) co_await directory->changed();
}

Task<> Watcher::stop() { co_await nursery_.stop_and_join(); }

void Watcher::happened(Watch& watch) {
  watch.happened_ = true;
  watch.event_.notify_all();
}

// Where the kernel gives no more events everybody looks.
Task<> Watcher::dispatch() {
  const auto ended = co_await attempt(read_events());
  why_polled_ = ended ? "no more events come" : ended.error().message();
  for (auto& [number, watches] : watches_) {
    for (auto* watch : watches) {
      watch->number_ = -1;
      polled_.push_back(watch);
    }
  }
  watches_.clear();
  inotify_.reset();
  dispatching_ = false;
  if (!polled_.empty() && !std::exchange(polling_, true)) nursery_.spawn(poll());
}

Task<> Watcher::read_events() {
  for (;;) {
    co_await readable(inotify_->fd().get());
    for (const auto& event : inotify_->read()) {
      if ((event.mask & IN_Q_OVERFLOW) != 0) {  // some were lost: everybody must look
        for (auto& [number, watches] : watches_)
          for (auto* watch : watches) happened(*watch);
        continue;
      }
      const auto found = watches_.find(event.watch);
      if (found == watches_.end()) continue;
      for (auto* watch : found->second) happened(*watch);
      // The file itself is gone, and the number may be given to another.
      if ((event.mask & IN_IGNORED) != 0) watches_.erase(found);
    }
  }
}

Task<> Watcher::poll() {
  while (!polled_.empty()) {
    co_await sleep_for(kPollPause);
    for (auto each = polled_.begin(); each != polled_.end();) {
      auto* watch = *each++;
      happened(*watch);
      if (begin_again(*watch)) polled_.remove(watch);
    }
  }
  polling_ = false;
}

// What is gone by now has nothing to watch, and whoever looks sees that.
bool Watcher::begin_again(Watch& watch) {
  try {
    return watch.begin();
  } catch (const Error&) {
    return false;
  }
}

}  // namespace berth::async
