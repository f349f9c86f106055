#pragma once

// A kind of thing that the disk governor gives space back from. Which go, and when, is the governor's decision
// (agent/jobs/disk_plan.hpp); a kind knows what there is, what may go, and how to remove it.

#include <cstdint>
#include <string>
#include <vector>

#include "agent/jobs/disk_plan.hpp"
#include "agent/store/records.hpp"
#include "runtime/async/task.hpp"

namespace berth::jobs {

// What all kinds are asked with.
struct Scene {
  Instant now{};
  bool asked = false;  // by a person: what costs only time is due then
  DiskLimits limits;
  std::vector<store::Remains> jobs;  // all that are remembered
};

// What must stay, and why.
struct Staying {
  std::string why;  // "their jobs are live"
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;  // without what `roots` hold
  Roots roots;
  bool live = false;  // and not counted against the budget yet
};

struct Holding {
  std::vector<Candidate> candidates;
  std::vector<Staying> staying;
};

class Governed {
 public:
  virtual ~Governed() = default;
  // Stable, for programs: "checkouts". And for people: "checkouts of code".
  virtual std::string name() const = 0;
  virtual std::string words() const = 0;
  // Blocks: for a thread of its own.
  virtual Holding survey(const Scene& scene) = 0;
  // Removes candidates of the last survey, by number, for the reason given. Tells which: one that came to be needed
  // meanwhile stays. Directories of jobs are only put on record as doomed (agent/store); the governor removes them.
  virtual async::Task<std::vector<std::int64_t>> remove(std::vector<std::int64_t> numbers, std::string why) = 0;
};

}  // namespace berth::jobs
