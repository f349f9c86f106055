#pragma once

// Tells coroutines that files or directories have changed. One inotify instance serves the whole program, because
// closing one blocks its thread for many milliseconds while a single watch comes and goes at no cost. Where no watch
// can be had (a user's are limited, and an editor may use them up) the watcher has everybody look a few times a second,
// until it gets one.

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
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
    Watch(Watcher& watcher, std::string path, std::uint32_t mask);
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch();

    // Returns when something has happened since the last return, or since the watch began.
    Task<> changed();

   private:
    friend class Watcher;
    bool begin();
    Watcher& watcher_;
    const std::string path_;
    const std::uint32_t mask_;
    int number_ = -1;  // -1: looked at from time to time
    bool happened_ = false;
    Event event_;
  };

  Watcher(Executor executor, Nursery::OnFailure on_failure);

  // `mask` is inotify(7)'s; one file is to be watched with the same mask by all. Code::not_found where there is none.
  std::unique_ptr<Watch> watch(const std::string& path, std::uint32_t mask);

  // Returns when the file has been moved to its place, or is there already. Its directory must be there.
  Task<> appearance(std::string path);

  // How many have no watch, and why; for those who tell the operator.
  std::size_t polled() const { return polled_.size(); }
  const std::string& why_polled() const { return why_polled_; }

  // Needed only after a watch().
  Task<> stop();

 private:
  int add(const std::string& path, std::uint32_t mask);
  Task<> dispatch();
  Task<> read_events();
  Task<> poll();
  static bool begin_again(Watch& watch);
  void happened(Watch& watch);

  std::optional<os::Inotify> inotify_;
  std::unordered_map<int, std::list<Watch*>> watches_;
  std::list<Watch*> polled_;
  std::string why_polled_;
  bool dispatching_ = false;
  bool polling_ = false;
  Nursery nursery_;
};

}  // namespace berth::async
