#pragma once

// Tells coroutines that files or directories have changed. One inotify instance serves the whole program, because
// closing one blocks its thread for many milliseconds while a single watch comes and goes at no cost.

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "runtime/async/event.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/task.hpp"
#include "runtime/os/inotify.hpp"

namespace berth::async {

class Watcher {
 public:
  // One file or directory, watched while this lives; it must not outlive the watcher.
  class Watch {
   public:
    Watch(Watcher& watcher, int number);
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch();

    // Returns when something has happened since the last return, or since the watch began.
    Task<> changed();

   private:
    friend class Watcher;
    Watcher& watcher_;
    int number_;
    bool happened_ = false;
    Event event_;
  };

  Watcher(Executor executor, Nursery::OnFailure on_failure);

  // `mask` is inotify(7)'s; one file is to be watched with the same mask by all.
  std::unique_ptr<Watch> watch(const std::string& path, std::uint32_t mask);

  // Returns when the file has been moved to its place, or is there already. Its directory must be there.
  Task<> appearance(std::string path);

  // Needed only after a watch().
  Task<> stop();

 private:
  Task<> dispatch();
  void happened(Watch& watch);

  os::Inotify inotify_;
  std::unordered_map<int, std::list<Watch*>> watches_;
  Nursery nursery_;
};

}  // namespace berth::async
