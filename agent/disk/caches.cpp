#include "agent/disk/caches.hpp"

#include <algorithm>
#include <set>

#include "runtime/async/attempt.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/os/identity.hpp"

namespace berth::disk {
namespace {

using async::Task;
using Numbers = std::vector<std::int64_t>;

// Tells which went: what cannot be removed has come to be needed meanwhile.
template <class Remove>
Task<Numbers> remove_each(Numbers numbers, Remove remove) {
  Numbers done;
  for (const auto number : numbers) {
    const auto removed = co_await async::attempt(remove(static_cast<std::size_t>(number)));
    if (removed) done.push_back(number);
  }
  co_return done;
}

class CheckoutsOfCode : public Reclaimable {
 public:
  explicit CheckoutsOfCode(snapshot::Checkouts& checkouts) : checkouts_(checkouts) {}
  std::string name() const override { return "checkouts"; }
  std::string description() const override { return "checkouts of code"; }
  std::uint64_t held() const override { return checkouts_.usage(); }

  Survey survey(const SurveyContext& context) override {
    needed_.clear();
    for (const auto& job : context.jobs)
      if (!job.finished && job.snapshot) needed_.insert({job.uid, *job.snapshot});
    Survey found;
    Retained staying{"live jobs run in them, or what live jobs run in builds on them",
                     checkouts_.count(),
                     checkouts_.usage(),
                     {},
                     false};
    idle_ = checkouts_.idle(needed_);
    for (std::size_t i = 0; i < idle_.size(); ++i) {
      Candidate candidate;
      candidate.number = static_cast<std::int64_t>(i);
      candidate.what = "checkout of " + idle_[i].key.digest.brief();
      candidate.why = "no live job runs in it; it is made again when needed";
      candidate.bytes = idle_[i].bytes;
      candidate.last_use = idle_[i].last_used;
      candidate.due = context.asked;
      candidate.replaceable = true;
      found.candidates.push_back(std::move(candidate));
      --staying.count;
      staying.bytes -= idle_[i].bytes;
    }
    // One that others build on must not come before them.
    for (std::size_t i = 1; i < found.candidates.size(); ++i)
      found.candidates[i].last_use = std::max(found.candidates[i].last_use, found.candidates[i - 1].last_use);
    found.staying.push_back(std::move(staying));
    return found;
  }

  Task<Numbers> remove(Numbers numbers, std::string) override {
    auto work = [this, numbers = std::move(numbers)] {
      Numbers done;
      for (const auto number : numbers)
        if (checkouts_.remove(idle_[static_cast<std::size_t>(number)].key, needed_)) done.push_back(number);
      return done;
    };
    return async::offload(pool_, std::move(work));
  }

 private:
  snapshot::Checkouts& checkouts_;
  async::Pool pool_{1};
  std::set<snapshot::Checkouts::Key> needed_;
  std::vector<snapshot::Checkouts::Idle> idle_;
};

class DownloadsOfBuilds : public Reclaimable {
 public:
  explicit DownloadsOfBuilds(environment::Builds& builds) : builds_(builds) {}
  std::string name() const override { return "downloads"; }
  std::string description() const override { return "what builds of environments have downloaded"; }
  std::uint64_t held() const override { return builds_.downloads().bytes(); }

  Survey survey(const SurveyContext& context) override {
    Survey found;
    Retained staying{"builds use it", 0, 0, {}, false};
    idle_.clear();
    for (const auto& cache : builds_.downloads().list()) {
      if (cache.in_use) {
        ++staying.count;
        staying.bytes += cache.bytes;
        continue;
      }
      const bool gone = cache.owner && os::has_no_account(*cache.owner);
      if (cache.bytes == 0 && !gone) continue;
      Candidate candidate;
      candidate.number = static_cast<std::int64_t>(idle_.size());
      candidate.what = "downloads of " + (cache.owner ? os::user_name(*cache.owner) : std::string("builds"));
      candidate.why = gone ? "its user's account is gone" : "no build uses it; what is needed is downloaded again";
      candidate.bytes = cache.bytes;
      candidate.last_use = cache.last_used;
      candidate.due = context.asked || gone;
      candidate.replaceable = true;
      found.candidates.push_back(std::move(candidate));
      idle_.push_back(cache.owner);
    }
    found.staying.push_back(std::move(staying));
    return found;
  }

  Task<Numbers> remove(Numbers numbers, std::string) override {
    return remove_each(std::move(numbers),
                       [this](std::size_t number) { return builds_.drop_downloads(idle_.at(number)); });
  }

 private:
  environment::Builds& builds_;
  std::vector<environment::Downloads::Owner> idle_;
};

class BuiltEnvironments : public Reclaimable {
 public:
  explicit BuiltEnvironments(environment::Builds& builds) : builds_(builds) {}
  std::string name() const override { return "environments"; }
  std::string description() const override { return "environments"; }
  std::uint64_t held() const override { return builds_.cache().bytes(); }

  Survey survey(const SurveyContext&) override {
    Survey found;
    Retained staying{"live jobs have them", 0, 0, {}, false};
    idle_.clear();
    for (const auto& entry : builds_.cache().list()) {
      if (entry.leased) {
        ++staying.count;
        staying.bytes += entry.bytes;
        continue;
      }
      Candidate candidate;
      candidate.number = static_cast<std::int64_t>(idle_.size());
      candidate.what = entry.words + " (" + entry.digest.brief() + ")";
      candidate.why = "no live job has it; it is built again when needed";
      candidate.bytes = entry.bytes;
      candidate.last_use = entry.last_used;
      candidate.replaceable = true;
      found.candidates.push_back(std::move(candidate));
      idle_.push_back(entry.digest);
    }
    found.staying.push_back(std::move(staying));
    return found;
  }

  Task<Numbers> remove(Numbers numbers, std::string) override {
    return remove_each(std::move(numbers), [this](std::size_t number) { return builds_.remove(idle_.at(number)); });
  }

 private:
  environment::Builds& builds_;
  std::vector<Digest> idle_;
};

}  // namespace

std::unique_ptr<Reclaimable> downloads_of_builds(environment::Builds& builds) {
  return std::make_unique<DownloadsOfBuilds>(builds);
}
std::unique_ptr<Reclaimable> built_environments(environment::Builds& builds) {
  return std::make_unique<BuiltEnvironments>(builds);
}
std::unique_ptr<Reclaimable> checkouts_of_code(snapshot::Checkouts& checkouts) {
  return std::make_unique<CheckoutsOfCode>(checkouts);
}

}  // namespace berth::disk
