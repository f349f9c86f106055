#include "runtime/environment/builds.hpp"

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

Builds::Builds(async::Executor executor, async::Watcher& watcher, BuildSettings settings)
    : settings_(std::move(settings)),
      cache_(settings_.directory),
      directories_(settings_, cache_),
      watcher_(watcher),
      nursery_(std::move(executor), report) {}

Task<> Builds::stop() {
  directories_.downloads().stop();
  co_await nursery_.stop_and_join();
}

// --- those who want an environment

Task<Leased> Builds::ensure(Recipe recipe, Waiting& waiting) {
  while (!recovered_) co_await recovery_done_.wait();
  const auto digest = objects::sha256(recipe.canonical);
  if (!flights_.contains(digest.hex())) {
    auto look = [&] { return cache_.lease(digest); };
    auto leased = co_await async::offload(pool_, look);
    if (leased) co_return std::move(*leased);
  }
  Waiting::Build build;
  build.digest = digest;
  build.words = recipe.words;
  build.owner = recipe.owner;
  build.since = system_clock().now();
  SingleFlight<Leased>::Work work = [this, recipe = std::move(recipe)](Flying flight) { return make(flight, recipe); };
  co_return co_await flights_.wait(digest.hex(), std::move(build), waiting, std::move(work));
}

// Nobody waits for it any more.
void Builds::give_up(const Waiting::Build& build) {
  log_.info("build stopped: nobody waits for it any more", kv("environment", build.digest.brief()));
  if (!build.running) return;
  shim::Stop stop;
  stop.grace = settings_.stop_grace;
  stop.reason = shim::kStoppedCanceled;
  shim::request_stop(directories_.launch_directory(build.digest), stop);
}

Task<> Builds::remove(Digest digest) {
  if (flights_.contains(digest.hex()))
    throw Error(Code::conflict, "the environment " + digest.brief() + " is being built",
                "cancel the jobs that wait for it, and its build ends");
  auto work = [&] { cache_.remove(digest); };
  co_await async::offload(pool_, work);
}

Task<std::optional<Leased>> Builds::lease(Digest digest) {
  auto look = [&] { return cache_.lease(digest); };
  co_return co_await async::offload(pool_, look);
}

Task<std::optional<bool>> Builds::is_as_built(Digest digest) {
  auto look = [&]() -> std::optional<bool> {
    if (!cache_.is_published(digest)) return std::nullopt;
    return cache_.is_as_built(digest);
  };
  co_return co_await async::offload(pool_, look);
}

Task<std::vector<Entry>> Builds::list() {
  auto look = [&] { return cache_.list(); };
  co_return co_await async::offload(pool_, look);
}

Task<std::string> Builds::show(Digest digest) {
  auto look = [&] { return cache_.show(digest); };
  co_return co_await async::offload(pool_, look);
}

Task<> Builds::drop_downloads(Downloads::Owner owner) {
  if (!recovered_)
    throw Error(Code::conflict, "it is not known yet which builds of an earlier agent go on", "try again in a moment");
  auto work = [&] { return downloads().remove(downloads().set_aside(owner)); };
  const auto removal = co_await async::offload(counting_, work);
  if (removal.left > 0)
    throw Error(Code::io, "not all that builds have downloaded can be removed: " + removal.first_failure);
}

// What cannot be counted is not kept: nobody could tell what it takes.
Task<> Builds::count_downloads() {
  downloads_changed_ = true;
  if (std::exchange(counts_downloads_, true)) co_return;
  while (std::exchange(downloads_changed_, false)) {
    auto count = [&] { return downloads().list(); };
    const auto counted = co_await async::attempt(async::offload(counting_, count));
    if (!counted) log_.warn("what builds have downloaded cannot be counted", kv("error", counted.error().describe()));
    const auto all = counted ? *counted : std::vector<Downloads::Entry>();
    for (const auto& entry : all) {
      if (entry.countable || entry.in_use) continue;
      const auto dropped = co_await async::attempt(drop_downloads(entry.owner));
      log_.warn("downloads of builds that could not be counted were removed",
                kv("uid", entry.owner ? std::to_string(*entry.owner) : "all"),
                kv("left", dropped ? "" : dropped.error().describe()));
    }
  }
  counts_downloads_ = false;
}

Task<> Builds::remove_left_downloads(std::vector<std::string> paths) {
  auto work = [&] { return downloads().remove(paths); };
  const auto removal = co_await async::offload(counting_, work);
  if (removal.left > 0) log_.warn("old downloads of builds cannot be removed", kv("error", removal.first_failure));
}

std::vector<Waiting::Build> Builds::building() const { return flights_.building(); }

// --- a build

Task<Leased> Builds::make(Flying flight, Recipe recipe) {
  flight->build->since = system_clock().now();
  flight->on_stop = [this, flying = flight.get()] { give_up(*flying->build); };
  auto result = co_await async::attempt(build(flight, std::move(recipe)));
  co_return co_await complete(flight, std::move(result));
}

Task<Leased> Builds::build(Flying flight, Recipe recipe) {
  const auto digest = flight->build->digest;
  const auto stopped = [&] { return Error(Code::conflict, "nobody waits for the " + recipe.words + " any more"); };
  const auto place = co_await places_.wait(flight, recipe.asker);
  if (!place) throw stopped();
  recipe.asker = place->user();
  auto look = [&] { return cache_.lease(digest); };  // somebody's build may have ended since the caller looked
  auto leased = co_await async::offload(pool_, look);
  if (leased) co_return std::move(*leased);
  auto prepare = [&] { return directories_.prepare(digest, recipe); };
  const auto launch = co_await async::offload(pool_, prepare);
  if (flight->stopping) throw stopped();
  const auto directory = directories_.launch_directory(digest);
  if (!launcher_) launcher_.emplace(settings_.shim_program);
  const auto supervisor = launcher_->launch(directory, launch, shim::Handover::files);
  flight->build->running = true;
  flight->build->since = system_clock().now();
  flight->build->log = directories_.log_file(digest);
  log_.info("build started", kv("environment", digest.brief()), kv("what", recipe.words));
  flight->tell();
  co_await ended_or_gone(directory, supervisor.pidfd.get());
  co_return co_await settle_when_over(flight);
}

Task<Leased> Builds::settle_when_over(Flying flight) {
  const auto digest = flight->build->digest;
  const auto condition = co_await outcome(directories_.launch_directory(digest));
  auto settle = [&] { return directories_.settle(digest, condition); };
  co_return co_await async::offload(pool_, settle);
}

// The end of a build, well or not. A stop of this agent does not come here: the build goes on.
Task<Leased> Builds::complete(Flying flight, Result<Leased> result) {
  auto& build = *flight->build;
  build.running = false;
  if (result) {
    nursery_.spawn(harden(build.digest));
    log_.info("environment built", kv("environment", build.digest.brief()), kv("what", build.words));
  } else {
    co_await clear_away(build);
    // No more of it: a tool's own words may hold what it was given, and whoever waits is told them.
    log_.info("build failed", kv("environment", build.digest.brief()), kv("code", berth::name(result.error().code())));
  }
  nursery_.spawn(count_downloads());
  if (flights_.size() == 1) launcher_.reset();  // this was the last
  co_return std::move(result.value());
}

Task<> Builds::clear_away(Waiting::Build& build) {
  const auto digest = build.digest;
  auto clear = [&] { return directories_.abandon(digest); };
  auto cleared = co_await async::attempt(async::offload(pool_, clear));
  if (cleared)
    build.log = *cleared;
  else
    log_.warn("what is left of a build cannot be removed", kv("environment", digest.brief()),
              kv("error", cleared.error().describe()));
}

// Until the supervisor has written the ending, or is gone.
Task<> Builds::ended_or_gone(std::string directory, int supervisor) {
  auto ended = watcher_.appearance(os::join(directory, shim::kEndingFile));
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
  auto find = [&] { return downloads().left_over(); };
  auto left = co_await async::offload(pool_, find);
  nursery_.spawn(remove_left_downloads(std::move(left)));
  recovered_ = true;
  nursery_.spawn(count_downloads());
  recovery_done_.notify_all();
}

Task<> Builds::adopt(Digest digest) {
  const auto begun = directories_.begun(digest);
  bool goes_on = false;
  if (begun) {
    const auto condition = shim::inspect(directories_.launch_directory(digest));
    goes_on = std::holds_alternative<shim::Running>(condition) || std::holds_alternative<shim::Over>(condition);
  }
  if (!goes_on) {
    auto clear = [&] { return directories_.abandon(digest); };
    co_await async::offload(pool_, clear);
    co_return;
  }
  Waiting::Build build;
  build.digest = digest;
  build.words = begun->words;
  build.owner = begun->owner;
  build.since = begun->since;
  build.log = directories_.log_file(digest);
  build.running = true;
  log_.info("build adopted", kv("environment", digest.brief()), kv("what", begun->words));
  directories_.adopt(digest, *begun);
  SingleFlight<Leased>::Work work = [this, user = begun->asker](Flying flight) { return go_on(flight, user); };
  flights_.begin(digest.hex(), std::move(build), work);
}

Task<Leased> Builds::go_on(Flying flight, Turns::User user) {
  flight->on_stop = [this, flying = flight.get()] { give_up(*flying->build); };
  const auto place = places_.take(user);
  auto result = co_await async::attempt(settle_when_over(flight));
  co_return co_await complete(flight, std::move(result));
}

}  // namespace berth::environment
