#pragma once

// A driver whose launches do what a test says: their supervisors are files and a descriptor, no processes.

#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <list>

#include "agent/drivers/driver.hpp"
#include "agent/drivers/job_directories.hpp"
#include "runtime/async/event.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/lock.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::fakes {

class Driver final : public drivers::Driver {
 public:
  explicit Driver(const drivers::JobDirectories& directories) : directories_(directories) {}

  struct Launched {
    drivers::LaunchId id;
    shim::Launch plan;
    std::string directory;
    os::Fd end;                          // readable when the supervisor has ended
    std::optional<os::FileLock> claim{};  // held while it lives
  };
  std::list<Launched> launched;            // all of them, in their order
  std::list<Error> refusals;               // of the starts to come, one each
  std::list<Error> late_failures;          // of starts that had their effect
  std::list<Error> prepare_failures;
  Lack away = Lack::nothing;               // what of it is away
  async::Event came_back;
  model::Lost::Cause cause = model::Lost::Cause::shim_killed;
  std::vector<drivers::LaunchId> cleaned;
  int settled = 0;

  Launched& last() { return launched.back(); }
  // The latest of the job. (Two that may start at the same time may do so in any order.)
  Launched& of(const model::JobId& job) {
    const auto found =
        std::find_if(launched.rbegin(), launched.rend(), [&](const auto& each) { return each.id.job == job; });
    REQUIRE(found != launched.rend());
    return *found;
  }

  // As a supervisor does it: its ending first, then itself.
  void end(Launched& launch, shim::Outcome outcome, std::string stopped_because = {}) {
    shim::Ended ended;
    ended.outcome = std::move(outcome);
    ended.stopped_because = std::move(stopped_because);
    ended.started = ended.ended = system_clock().now();
    ended.duration = std::chrono::milliseconds(7);
    os::write_file(os::join(launch.directory, shim::kEndingFile), shim::to_text(ended), 0600, os::Durable::no);
    vanish(launch);
  }
  void end(Launched& launch, int exit_code) { end(launch, os::Exit{.status = exit_code}); }
  // Without a word.
  void vanish(Launched& launch) {
    launch.claim.reset();
    REQUIRE(::eventfd_write(launch.end.get(), 1) == 0);
  }
  static bool asked_to_stop(const Launched& launch) { return os::exists(os::join(launch.directory, shim::kStopFile)); }

  void begin(LiveJobs) override {}
  async::Task<> stop() override { co_return; }
  async::Task<> prepare(const drivers::LaunchId&, const model::Job&, const environment::Ready&, const os::Identity&,
                        drivers::Site&) override {
    throw_next(prepare_failures);
    co_return;
  }
  bool hands_over_keys() const override { return false; }
  async::Task<shim::Supervisor> start(const drivers::LaunchId& launch, const shim::Launch& plan, const drivers::Site&,
                                      const environment::Ready&, const std::string&) override {
    throw_next(refusals);
    auto& made =
        launched.emplace_back(Launched{launch, plan, directories_.directory(launch.job, launch.number), {}, {}});
    made.end = os::Fd(::eventfd(0, EFD_CLOEXEC));
    made.claim = os::FileLock::try_acquire(os::join(made.directory, shim::kClaimFile));
    shim::write_launch(made.directory, plan);
    shim::Started started;
    started.boot_id = os::boot_id();
    started.shim = os::process_id(::getpid()).value();
    started.time = system_clock().now();
    os::write_file(os::join(made.directory, shim::kStartedFile), shim::to_text(started), 0600, os::Durable::no);
    throw_next(late_failures);
    co_return shim::Supervisor{::getpid(), os::Fd(::dup(made.end.get())), {}};
  }
  std::string group_of(const model::JobId&, int) const override { return {}; }
  async::Task<std::optional<os::Fd>> recover(const drivers::LaunchId&) override { co_return std::nullopt; }
  async::Task<bool> settle(const drivers::LaunchId&, shim::Condition&) override {
    ++settled;
    co_return false;
  }
  async::Task<model::Lost::Cause> why_lost() override { co_return cause; }
  async::Task<> clean(const drivers::LaunchId& last) override {
    cleaned.push_back(last);
    co_return;
  }
  async::Task<> sweep() override { co_return; }
  bool is_away(Lack lack) override { return lack != Lack::nothing && lack == away; }
  async::Task<> back() override {
    while (away != Lack::nothing) co_await came_back.wait();
  }

 private:
  static void throw_next(std::list<Error>& failures) {
    if (failures.empty()) return;
    const auto failure = std::move(failures.front());
    failures.pop_front();
    throw failure;
  }

  const drivers::JobDirectories& directories_;
};

}  // namespace berth::fakes
