#pragma once

// A kind of thing that the disk manager gives space back from. Which go, and when, is the manager's decision
// (agent/disk/plan.hpp); a kind knows what there is, what may go, and how to remove it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/disk/plan.hpp"
#include "agent/model/job.hpp"
#include "agent/store/records.hpp"
#include "runtime/async/task.hpp"

namespace berth::disk {

// What all kinds are asked with.
struct SurveyContext {
  Instant now{};
  bool asked = false;  // by a person: what costs only time is due then
  Limits limits;
  std::vector<store::Remains> jobs;  // all that are remembered
};

// What must stay, and why.
struct Retained {
  std::string why;  // "their jobs are live"
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;  // without what `roots` hold
  Roots roots;
  bool live = false;  // and not counted against the budget yet
};

struct Survey {
  std::vector<Candidate> candidates;
  std::vector<Retained> staying;
};

// What lies in the directories of jobs. All of it blocks, and may be called on any thread.
class JobFiles {
 public:
  virtual ~JobFiles() = default;
  // What all of a job's logs take of the disk.
  virtual std::uint64_t log_bytes(const model::JobId& job) const = 0;
  // Of a job that is over: the launches up to `launch` and the job's side logs, or everything.
  virtual void remove(const model::JobId& job, std::optional<int> launch) = 0;
};

class Reclaimable {
 public:
  virtual ~Reclaimable() = default;
  // Stable, for programs: "checkouts". And for people: "checkouts of code".
  virtual std::string name() const = 0;
  virtual std::string description() const = 0;
  // Bytes of the state directory's disk, as far as nobody else counts them (the store of objects does). Quick.
  virtual std::uint64_t held() const { return 0; }
  // Blocks: for a thread of its own.
  virtual Survey survey(const SurveyContext& context) = 0;
  // Removes candidates of the last survey, by number, for the reason given. Tells which: one that came to be needed
  // meanwhile stays. Directories of jobs are only put on record as doomed (agent/store); the manager removes them.
  virtual async::Task<std::vector<std::int64_t>> remove(std::vector<std::int64_t> numbers, std::string why) = 0;
};

}  // namespace berth::disk
