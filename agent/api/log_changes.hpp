#pragma once

// What wakes a follower when the log has grown: inotify, or, where its reader has as many watches as one person may
// take of the machine's, or there are none left, a look now and then.

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "agent/model/principal.hpp"
#include "runtime/async/watcher.hpp"

namespace berth::api {

// How many watches each reader's followers hold.
class WatchAllowance {
 public:
  static constexpr std::size_t kMostPerReader = 64;
  // Nothing when the reader has all that one may have. Ends with the lease, which the allowance outlives.
  class Lease {
   public:
    Lease(WatchAllowance& allowance, model::LimitKey reader) : allowance_(allowance), reader_(reader) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease();

   private:
    WatchAllowance& allowance_;
    model::LimitKey reader_;
  };
  std::unique_ptr<Lease> take(model::LimitKey reader);

 private:
  std::map<model::LimitKey, std::size_t> taken_;
};

class LogChanges {
 public:
  LogChanges(async::Watcher& watcher, WatchAllowance& allowance, model::LimitKey reader, const std::string& log);
  // Returns when the log may have grown.
  async::Task<> changed();
  // It has: where nobody tells, one looks again soon.
  void grew();

 private:
  std::unique_ptr<WatchAllowance::Lease> lease_;
  std::unique_ptr<async::Watcher::Watch> watch_;
  std::chrono::milliseconds pause_;
};

}  // namespace berth::api
