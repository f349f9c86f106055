#include "runtime/async/watcher.hpp"

#include <sys/inotify.h>

#include "runtime/async/wait.hpp"
#include "runtime/os/file.hpp"

namespace berth::async {

Watcher::Watch::Watch(Watcher& watcher, int number) : watcher_(watcher), number_(number) {
  watcher_.watches_[number_].push_back(this);
}

Watcher::Watch::~Watch() {
  const auto found = watcher_.watches_.find(number_);
  if (found == watcher_.watches_.end()) return;
  found->second.remove(this);
  if (!found->second.empty()) return;
  watcher_.watches_.erase(found);
  watcher_.inotify_.remove(number_);
}

Task<> Watcher::Watch::changed() {
  while (!happened_) co_await event_.wait();
  happened_ = false;
}

Watcher::Watcher(Executor executor, Nursery::OnFailure on_failure) : nursery_(executor, std::move(on_failure)) {}

std::unique_ptr<Watcher::Watch> Watcher::watch(const std::string& path, std::uint32_t mask) {
  if (nursery_.size() == 0) nursery_.spawn(dispatch());
  return std::make_unique<Watch>(*this, inotify_.add(path, mask));
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

Task<> Watcher::dispatch() {
  for (;;) {
    co_await readable(inotify_.fd().get());
    for (const auto& event : inotify_.read()) {
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

}  // namespace berth::async
