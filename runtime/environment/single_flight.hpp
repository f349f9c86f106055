#pragma once

// One piece of work for all who want its result at the same time. Who abandons the wait leaves it to the others; what
// nobody waits for any more is stopped. For the loop's thread alone.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "runtime/async/attempt.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/base/error.hpp"
#include "runtime/environment/waiting.hpp"

namespace berth::environment {

template <class T>
class SingleFlight {
 public:
  struct Flight {
    std::optional<Waiting::Build> build;  // what those who wait are told; nothing where it is not worth telling
    std::stop_source stop;                // asked to stop when nobody waits any more
    bool stopping = false;                // then who comes must wait for its end and begin anew
    bool over = false;
    std::optional<Error> failure;
    std::optional<T> result;
    std::set<Waiting*> waiters;
    std::map<uid_t, std::size_t> users;  // how many of them wait on whose behalf
    std::function<void()> on_users;      // called when one comes to wait or none of his does any more
    std::function<void()> on_stop;       // called when `stopping` becomes true

    void tell() {
      for (auto* waiting : waiters) build ? waiting->tell(*build) : waiting->changed().notify_all();
    }
  };
  using Ptr = std::shared_ptr<Flight>;
  // Ends soon after a stop was asked for, with an Error; lets whatever it changes in `build` be told.
  using Work = std::function<async::Task<T>(Ptr)>;

  // The nursery is stopped before this goes.
  explicit SingleFlight(async::Nursery& nursery) : nursery_(nursery) {}

  // The result of the work under that name, begun if nobody has. Throws its Error; Cancelled when `waiting` is
  // abandoned.
  async::Task<T> wait(std::string name, std::optional<Waiting::Build> build, Waiting& waiting, Work work) {
    for (;;) {
      if (waiting.abandoned()) throw Cancelled();
      const auto flight = join(name, build, work);
      co_await until_over(flight, waiting);
      if (flight->result) co_return *flight->result;
      if (!flight->stopping) throw *flight->failure;
    }
  }

  // Begins the work for whoever comes; it is not stopped before somebody came and left.
  void begin(const std::string& name, std::optional<Waiting::Build> build, const Work& work) {
    join(name, build, work);
  }

  // Asks all of it to stop.
  void stop() {
    for (const auto& [name, flight] : flights_) flight->stop.request_stop();
  }

  std::size_t size() const { return flights_.size(); }
  bool contains(const std::string& name) const { return flights_.contains(name); }
  std::vector<Waiting::Build> building() const {
    std::vector<Waiting::Build> builds;
    for (const auto& [name, flight] : flights_) {
      if (!flight->build) continue;
      auto& build = builds.emplace_back(*flight->build);
      for (const auto& [user, count] : flight->users) build.wanted_by.insert(user);
    }
    return builds;
  }

 private:
  class Waiter {
   public:
    Waiter(Flight& flight, Waiting& waiting) : flight_(flight), waiting_(waiting) {
      flight_.waiters.insert(&waiting_);
      if (waiting_.who() && ++flight_.users[*waiting_.who()] == 1 && flight_.on_users) flight_.on_users();
    }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter() {
      flight_.waiters.erase(&waiting_);
      if (!waiting_.who() || --flight_.users[*waiting_.who()] > 0) return;
      flight_.users.erase(*waiting_.who());
      if (flight_.on_users) flight_.on_users();
    }

   private:
    Flight& flight_;
    Waiting& waiting_;
  };

  Ptr join(const std::string& name, const std::optional<Waiting::Build>& build, const Work& work) {
    if (const auto found = flights_.find(name); found != flights_.end()) return found->second;
    const auto flight = std::make_shared<Flight>();
    flight->build = build;
    flights_[name] = flight;
    nursery_.spawn(carry_out(name, flight, work));
    return flight;
  }

  async::Task<> until_over(Ptr flight, Waiting& waiting) {
    {
      const Waiter waiter(*flight, waiting);
      if (flight->build) waiting.tell(*flight->build);
      while (!flight->over && !waiting.abandoned()) co_await waiting.changed().wait();
    }
    if (flight->over) co_return;
    if (flight->waiters.empty() && !std::exchange(flight->stopping, true)) {
      flight->stop.request_stop();
      if (flight->on_stop) flight->on_stop();
    }
    throw Cancelled();
  }

  async::Task<> carry_out(std::string name, Ptr flight, Work work) {
    auto result = co_await async::attempt(work(flight));
    if (result)
      flight->result = std::move(*result);
    else
      flight->failure = result.error();
    flight->over = true;
    flights_.erase(name);
    flight->tell();
  }

  async::Nursery& nursery_;
  std::map<std::string, Ptr> flights_;
};

}  // namespace berth::environment
