#include "runtime/environment/builds.hpp"

#include <sys/inotify.h>

#include <algorithm>
#include <set>

#include "runtime/async/attempt.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"

namespace berth::environment {

using async::Task;

namespace {

constexpr std::chrono::milliseconds kClaimPause{10};

void report(std::exception_ptr failure) {
  Log().error("an environment's build is in trouble", kv("error", error_from(std::move(failure)).describe()));
}

}  // namespace

// One build, and those who wait for it.
struct Builds::Flight {
  Waiting::Build build;
  bool launched = false;
  bool stopping = false;  // nobody waits any more; who comes now must wait for its end and begin anew
  bool over = false;
  std::optional<Error> failure;
  std::optional<Leased> result;
  std::set<Waiting*> riders;
};

// Somebody's wait for a flight.
class Builds::Rider {
 public:
  Rider(Flight& flight, Waiting& waiting) : flight_(flight), waiting_(waiting) {
    flight_.riders.insert(&waiting_);
  }
  Rider(const Rider&) = delete;
  Rider& operator=(const Rider&) = delete;
  ~Rider() { flight_.riders.erase(&waiting_); }

 private:
  Flight& flight_;
  Waiting& waiting_;
};

class Builds::Slot {
 public:
  explicit Slot(Builds& builds) : builds_(builds) { ++builds_.running_; }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot() {
    --builds_.running_;
    builds_.slot_free_.notify_all();
  }

 private:
  Builds& builds_;
};

Builds::Builds(async::Executor executor, async::Watcher& watcher, BuildSettings settings)
    : settings_(std::move(settings)),
      cache_(settings_.directory),
      workshop_(settings_, cache_),
      watcher_(watcher),
      launcher_(settings_.shim_program),
      nursery_(std::move(executor), report) {}

Task<> Builds::stop() {
  co_await nursery_.stop_and_join();
}

// --- those who want an environment

Task<Leased> Builds::ensure(Recipe recipe, Waiting& waiting) {
  while (!recovered_) co_await recovery_done_.wait();
  const auto digest = objects::sha256(recipe.canonical);
  for (;;) {
    if (!flights_.contains(digest)) {
      auto look = [&] { return cache_.lease(digest); };
      auto leased = co_await async::offload(pool_, look);
      if (leased) co_return std::move(*leased);
    }
    const auto flight = join(recipe, digest);
    co_await ride(flight, waiting);
    if (flight->result) co_return *flight->result;
    if (!flight->stopping) throw *flight->failure;
  }
}

Builds::FlightPtr Builds::join(Recipe recipe, const Digest& digest) {
  if (const auto found = flights_.find(digest); found != flights_.end()) return found->second;
  const auto flight = std::make_shared<Flight>();
  flight->build.digest = digest;
  flight->build.words = recipe.words;
  flight->build.since = system_clock().now();
  flights_[digest] = flight;
  nursery_.spawn(fly(flight, std::move(recipe)));
  return flight;
}

Task<> Builds::ride(FlightPtr flight, Waiting& waiting) {
  {
    const Rider rider(*flight, waiting);
    waiting.tell(flight->build);
    while (!flight->over && !waiting.abandoned()) co_await waiting.changed().wait();
  }
  if (flight->over) co_return;
  if (flight->riders.empty()) give_up(*flight);
  throw Cancelled();
}

void Builds::give_up(Flight& flight) {
  if (flight.stopping) return;
  log_.info("build stopped: nobody waits for it any more", kv("environment", flight.build.digest.brief()));
  flight.stopping = true;
  slot_free_.notify_all();
  if (!flight.launched) return;
  shim::Stop stop;
  stop.grace = settings_.stop_grace;
  stop.reason = shim::kStoppedCanceled;
  shim::request_stop(workshop_.launch_directory(flight.build.digest), stop);
}

Task<> Builds::remove(Digest digest) {
  if (flights_.contains(digest))
    throw Error(Code::conflict, "the environment " + digest.brief() + " is being built",
                "cancel the jobs that wait for it, and its build ends");
  auto work = [&] { cache_.remove(digest); };
  co_await async::offload(pool_, work);
}

Task<> Builds::drop_downloads() {
  if (!flights_.empty() || dropping_)
    throw Error(Code::conflict, "environments are being built with what would be removed",
                "wait until they are there");
  dropping_ = true;
  auto work = [&] { workshop_.drop_downloads(); };
  const auto dropped = co_await async::attempt(async::offload(pool_, work));
  dropping_ = false;
  slot_free_.notify_all();
  dropped.value();
}

std::vector<Waiting::Build> Builds::building() const {
  std::vector<Waiting::Build> builds;
  for (const auto& [digest, flight] : flights_) builds.push_back(flight->build);
  return builds;
}

void Builds::tell(Flight& flight) {
  for (auto* waiting : flight.riders) waiting->tell(flight.build);
}

// --- a build

Task<> Builds::fly(FlightPtr flight, Recipe recipe) {
  auto result = co_await async::attempt(build(flight, std::move(recipe)));
  co_await land(flight, std::move(result));
}

Task<Leased> Builds::build(FlightPtr flight, Recipe recipe) {
  const auto digest = flight->build.digest;
  const auto stopped = [&] {
    return Error(Code::conflict, "nobody waits for the " + recipe.words + " any more");
  };
  while ((running_ >= settings_.at_once || dropping_) && !flight->stopping) co_await slot_free_.wait();
  if (flight->stopping) throw stopped();
  const Slot slot(*this);
  auto look = [&] {
    return cache_.lease(digest);
  };  // somebody's build may have ended since the caller looked
  auto leased = co_await async::offload(pool_, look);
  if (leased) co_return std::move(*leased);
  auto prepare = [&] { return workshop_.prepare(digest, recipe); };
  const auto launch = co_await async::offload(pool_, prepare);
  if (flight->stopping) throw stopped();
  const auto directory = workshop_.launch_directory(digest);
  const auto supervisor = launcher_.launch(directory, launch);
  flight->launched = true;
  flight->build.running = true;
  flight->build.since = system_clock().now();
  flight->build.log = workshop_.log_file(digest);
  log_.info("build started", kv("environment", digest.brief()), kv("what", recipe.words));
  tell(*flight);
  co_await ended_or_gone(directory, supervisor.pidfd.get());
  co_return co_await settle_when_over(flight);
}

Task<Leased> Builds::settle_when_over(FlightPtr flight) {
  const auto digest = flight->build.digest;
  const auto condition = co_await outcome(workshop_.launch_directory(digest));
  auto settle = [&] { return workshop_.settle(digest, condition); };
  co_return co_await async::offload(pool_, settle);
}

// The end of a flight, told to all who wait. A stop of this agent does not come here: the build goes on.
Task<> Builds::land(FlightPtr flight, Result<Leased> result) {
  const auto digest = flight->build.digest;
  if (result) {
    flight->result = *result;
    nursery_.spawn(harden(digest));
    log_.info("environment built", kv("environment", digest.brief()), kv("what", flight->build.words));
  } else {
    flight->failure = result.error();
    auto clear = [&] { return workshop_.abandon(digest); };
    auto cleared = co_await async::attempt(async::offload(pool_, clear));
    if (cleared)
      flight->build.log = *cleared;
    else
      log_.warn("what is left of a build cannot be removed", kv("environment", digest.brief()),
                kv("error", cleared.error().describe()));
    log_.info("build failed", kv("environment", digest.brief()), kv("error", flight->failure->describe()));
  }
  flight->build.running = false;
  flight->over = true;
  flights_.erase(digest);
  tell(*flight);
}

// Until the supervisor has written the ending, or is gone.
Task<> Builds::ended_or_gone(std::string directory, int supervisor) {
  const auto ending = os::join(directory, shim::kEndingFile);
  const auto watch = watcher_.watch(directory, IN_MOVED_TO);
  const auto written = [](const std::string& file, async::Watcher::Watch& changes) -> Task<> {
    while (!os::exists(file)) co_await changes.changed();
  };
  auto ended = written(ending, *watch);
  auto gone = async::readable(supervisor);
  co_await async::run_until(std::move(ended), std::move(gone));
}

Task<shim::Condition> Builds::outcome(std::string directory) {
  for (;;) {
    auto condition = shim::inspect(directory);
    const auto* running = std::get_if<shim::Running>(&condition);
    if (running == nullptr) co_return condition;
    if (running->shim) co_await ended_or_gone(directory, running->shim->get());
    // About to start, or to end: it is a matter of milliseconds.
    co_await async::sleep_for(kClaimPause);
  }
}

Task<> Builds::harden(Digest digest) {
  auto work = [&] { cache_.harden(digest); };
  co_await async::offload(pool_, work);
}

// --- after a restart

Task<> Builds::recover() {
  auto look = [&] {
    cache_.sweep();
    return cache_.unfinished();
  };
  const auto unfinished = co_await async::offload(pool_, look);
  for (const auto& digest : unfinished) {
    const auto adopted = co_await async::attempt(adopt(digest));
    if (!adopted)
      log_.warn("a half-made environment cannot be removed", kv("environment", digest.brief()),
                kv("error", adopted.error().describe()));
  }
  auto ask = [&] { return cache_.not_hardened(); };
  const auto soft = co_await async::offload(pool_, ask);
  for (const auto& digest : soft) nursery_.spawn(harden(digest));
  recovered_ = true;
  recovery_done_.notify_all();
}

Task<> Builds::adopt(Digest digest) {
  const auto begun = workshop_.begun(digest);
  bool goes_on = false;
  if (begun) {
    const auto condition = shim::inspect(workshop_.launch_directory(digest));
    goes_on =
        std::holds_alternative<shim::Running>(condition) || std::holds_alternative<shim::Over>(condition);
  }
  if (!goes_on) {
    auto clear = [&] { return workshop_.abandon(digest); };
    co_await async::offload(pool_, clear);
    co_return;
  }
  const auto flight = std::make_shared<Flight>();
  flight->build.digest = digest;
  flight->build.words = begun->words;
  flight->build.since = begun->since;
  flight->build.log = workshop_.log_file(digest);
  flight->build.running = true;
  flight->launched = true;
  flights_[digest] = flight;
  log_.info("build adopted", kv("environment", digest.brief()), kv("what", begun->words));
  nursery_.spawn(fly_on(flight));
}

Task<> Builds::fly_on(FlightPtr flight) {
  const Slot slot(*this);
  auto result = co_await async::attempt(settle_when_over(flight));
  co_await land(flight, std::move(result));
}

}  // namespace berth::environment
