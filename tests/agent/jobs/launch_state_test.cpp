#include "agent/jobs/launch_state.hpp"

#include <doctest/doctest.h>

#include <array>
#include <deque>
#include <set>
#include <string>
#include <tuple>
#include <vector>

using berth::jobs::Again;
using berth::jobs::Came;
using berth::jobs::may_be_supervised;
using berth::jobs::next;
using berth::jobs::Stage;

namespace {

constexpr int kLaunchTries = 3;

// A supervisor of one launch, and what it leaves; the agent may be anywhere.
enum class Shim { none, starting, running, ended, gone };

// All that counts of the world and of the agent: small, so that every state that can be reached is.
struct World {
  Stage stage = Stage::intending;
  bool agent_up = true;
  bool adopted = false;
  bool error = false;      // starting a supervisor failed, as far as the agent knows
  int tries = 1;
  bool knows_supervisor = false;
  bool canceled = false;   // asked for and acknowledged
  bool stop_file = false;  // in the launch's directory
  // On disk.
  int recorded_launch = 0;  // of the intent
  enum class Record { queued, running, finalizing, over } record = Record::queued;
  // The current launch.
  int launch = 1;
  Shim shim = Shim::none;
  bool revoked = false;
  bool started_file = false;
  bool ending_file = false;
  // An earlier launch that was given up: revoked, yet its supervisor may still come.
  Shim late = Shim::none;
  bool slot = true;
  int starts = 0;    // of the command
  int releases = 0;  // of the slot
  int faults = 0;    // that were injected so far
  int crashes = 0;
  // How the agent has it on record.
  enum class End { none, start_failed, lost, exited, canceled } end = End::none;

  auto key() const {
    return std::make_tuple(stage, agent_up, adopted, error, tries, knows_supervisor, canceled, stop_file,
                           recorded_launch, record, launch, shim, revoked, started_file, ending_file, late, slot,
                           starts, releases, faults, crashes, end);
  }
  bool operator<(const World& other) const { return key() < other.key(); }
  bool runs() const { return shim == Shim::running; }
};

// What the agent does at its stage, with each way in which it can come out. `fault`: the call fails, `after` its effect
// or before.
enum class Fault { none, before, after };

std::string describe(const World& world) {
  return "stage " + std::to_string(static_cast<int>(world.stage)) + " shim " +
         std::to_string(static_cast<int>(world.shim)) + " late " + std::to_string(static_cast<int>(world.late)) +
         " starts " + std::to_string(world.starts) + " end " + std::to_string(static_cast<int>(world.end)) +
         " canceled " + std::to_string(world.canceled) + " faults " + std::to_string(world.faults);
}

// The files decide; finding that nothing ran revokes.
Came look(World& world) {
  const bool alive = world.knows_supervisor && (world.shim == Shim::starting || world.shim == Shim::running);
  if (world.ending_file) {
    world.end = world.canceled && world.stop_file ? World::End::canceled : World::End::exited;
    return Came::ended;
  }
  if (alive || world.shim == Shim::running) return Came::running;  // it holds its claim
  if (world.started_file) {
    world.end = World::End::lost;
    return Came::ended;
  }
  world.revoked = true;  // one that is starting finds that, and leaves
  if (world.canceled) {
    world.end = World::End::canceled;
    return Came::ended;
  }
  if (world.error) world.end = World::End::start_failed;
  return Came::never_ran;
}

Came perform(World& world, Fault fault) {
  const auto failed = [&] { return fault != Fault::none; };
  const auto effect = [&](auto act) {
    if (fault != Fault::before) act();
  };
  switch (world.stage) {
    case Stage::intending:
      if (world.canceled) {
        world.end = World::End::canceled;
        return Came::canceled;
      }
      effect([&] {
        world.recorded_launch = world.launch;
        world.record = World::Record::running;
      });
      if (failed()) {
        world.end = World::End::start_failed;
        return Came::failed;
      }
      return Came::done;
    case Stage::launching:
      if (world.canceled) {
        world.end = World::End::canceled;
        return Came::canceled;
      }
      effect([&] { world.shim = Shim::starting; });
      world.knows_supervisor = !failed();
      world.error = failed();
      return failed() ? Came::failed : Came::done;
    case Stage::watching:
      return failed() ? Came::failed : Came::done;
    case Stage::looking:
      return failed() ? Came::failed : look(world);
    case Stage::relaunching:
      if (failed()) return Came::failed;  // a launch's number is never used again, so the next one's is taken last
      // What comes late of the old launch finds it revoked.
      if (world.shim == Shim::starting) world.late = Shim::starting;
      world.shim = Shim::none;
      world.revoked = world.started_file = world.ending_file = world.stop_file = false;
      world.knows_supervisor = false;
      ++world.launch;
      if (!world.adopted) ++world.tries;
      world.adopted = false;
      return Came::done;
    case Stage::settling:
      return failed() ? Came::failed : Came::done;
    case Stage::releasing:
      effect([&] {
        world.releases += world.slot ? 1 : 0;
        world.slot = false;
      });
      return failed() ? Came::failed : Came::done;
    case Stage::noting:
      effect([&] { world.record = World::Record::finalizing; });
      return failed() ? Came::failed : Came::done;
    case Stage::gathering:
      return failed() ? Came::failed : Came::done;
    case Stage::recording:
      effect([&] { world.record = World::Record::over; });
      return failed() ? Came::failed : Came::done;
    case Stage::over:
      break;
  }
  return Came::done;
}

World step(World world, Fault fault) {
  const auto came = perform(world, fault);
  const bool again = world.adopted || (!world.error && world.tries < kLaunchTries);
  world.stage = next(world.stage, came, again ? Again::yes : Again::no);
  if (world.stage == Stage::settling && world.end == World::End::none) world.end = World::End::start_failed;
  if (fault != Fault::none) ++world.faults;
  return world;
}

World crash(World world) {
  world.agent_up = false;
  ++world.crashes;
  return world;
}

// The next agent starts from what is on record.
World recover(World world) {
  world.agent_up = true;
  world.knows_supervisor = false;
  world.error = false;
  world.adopted = true;
  switch (world.record) {
    case World::Record::queued:
      world.stage = Stage::intending;
      world.adopted = false;
      world.slot = true;
      world.releases = 0;
      break;
    case World::Record::running:
      world.stage = Stage::looking;
      world.launch = world.recorded_launch;
      world.slot = true;
      world.releases = 0;
      break;
    case World::Record::finalizing:
      world.stage = Stage::gathering;
      world.slot = false;
      world.releases = 1;
      break;
    case World::Record::over:
      world.stage = Stage::over;
      world.slot = false;
      world.releases = 1;
      break;
  }
  return world;
}

// Everything that may happen next.
std::vector<World> successors(const World& world, int most_faults, int most_crashes) {
  std::vector<World> all;
  const auto add = [&](auto change) {
    World after = world;
    change(after);
    all.push_back(after);
  };
  // The supervisor.
  if (world.shim == Shim::starting) {
    add([](World& w) {
      if (w.revoked) {
        w.shim = Shim::gone;
      } else if (w.stop_file) {
        w.ending_file = true;
        w.shim = Shim::ended;
      } else {
        w.started_file = true;
        w.shim = Shim::running;
        ++w.starts;
      }
    });
    add([](World& w) { w.shim = Shim::gone; });  // killed before it could start
  }
  if (world.shim == Shim::running) {
    add([](World& w) {
      w.ending_file = true;
      w.shim = Shim::ended;
    });
    add([](World& w) { w.shim = Shim::gone; });
  }
  if (world.late == Shim::starting) add([](World& w) { w.late = Shim::gone; });  // it finds its launch revoked
  if (!world.agent_up) {
    all.push_back(recover(world));
    return all;
  }
  if (world.stage == Stage::over) return all;
  if (!world.canceled)
    add([](World& w) {
      w.canceled = true;
      w.stop_file = may_be_supervised(w.stage);
    });
  if (world.canceled && !world.stop_file && may_be_supervised(world.stage))
    add([](World& w) { w.stop_file = true; });  // asked again: after a launch, an adoption, or a failure
  if (world.crashes < most_crashes) all.push_back(crash(world));
  all.push_back(step(world, Fault::none));
  if (world.faults < most_faults) {
    all.push_back(step(world, Fault::before));
    all.push_back(step(world, Fault::after));
  }
  return all;
}

}  // namespace

TEST_CASE("whatever fails, and whoever dies: a job runs once at a time, is never lost, and gives back its slot once") {
  std::set<World> seen;
  std::deque<World> open{World{}};
  seen.insert(World{});
  std::size_t ended = 0;
  while (!open.empty()) {
    const auto world = open.front();
    open.pop_front();
    const auto all = successors(world, 3, 2);
    CAPTURE(describe(world));
    // Never two that may run the command.
    REQUIRE(!(world.runs() && world.late == Shim::running));
    // A slot is free only when nothing of the job runs.
    if (!world.slot) REQUIRE(!world.runs());
    REQUIRE(world.releases <= 1);
    if (world.stage >= Stage::settling) REQUIRE(!world.runs());
    // What is said to have failed to start did not run.
    if (world.stage >= Stage::settling && world.end == World::End::start_failed) REQUIRE(!world.started_file);
    // One start per launch that was not given up; only a launch that never ran is followed by another.
    REQUIRE(world.starts <= 1);
    if (world.stage == Stage::over && world.agent_up) {
      REQUIRE(world.record == World::Record::over);
      REQUIRE((world.shim != Shim::starting || world.revoked));  // it will leave
      ++ended;
    }
    for (const auto& after : all)
      if (seen.insert(after).second) open.push_back(after);
  }
  CHECK(ended > 100);
  MESSAGE("states: " << seen.size());
}

TEST_CASE("from every state that can be reached the record is reached once nothing fails any more") {
  std::set<World> seen;
  std::deque<World> open{World{}};
  seen.insert(World{});
  while (!open.empty()) {
    const auto world = open.front();
    open.pop_front();
    for (const auto& after : successors(world, 2, 1))
      if (seen.insert(after).second) open.push_back(after);
    // Without faults: the agent goes on, a canceled job is asked to stop, and the supervisor does its work.
    auto rest = world.agent_up ? world : recover(world);
    int steps = 0;
    while (rest.stage != Stage::over && ++steps < 100) {
      if (rest.canceled && may_be_supervised(rest.stage)) rest.stop_file = true;
      const auto supervisor = successors(rest, 0, 0);
      if (rest.shim == Shim::starting || rest.shim == Shim::running) rest = supervisor.front();
      rest = step(rest, Fault::none);
    }
    CAPTURE(describe(world));
    REQUIRE(rest.stage == Stage::over);
    REQUIRE(rest.record == World::Record::over);
  }
}

TEST_CASE("no way leads from a started launch to the record but past a look at it") {
  for (const auto stage : {Stage::launching, Stage::watching, Stage::looking}) {
    for (const auto came : {Came::done, Came::failed, Came::running}) {
      for (const auto again : {Again::no, Again::yes}) {
        const auto after = next(stage, came, again);
        CHECK((after == Stage::watching || after == Stage::looking));
      }
    }
  }
  for (const auto stage : {Stage::settling, Stage::releasing, Stage::noting, Stage::recording})
    CHECK(next(stage, Came::failed, Again::no) == stage);
}
