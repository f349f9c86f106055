#include "agent/jobs/kinds.hpp"

#include <algorithm>
#include <set>

#include "runtime/async/attempt.hpp"
#include "runtime/os/identity.hpp"

namespace berth::jobs {
namespace {

using async::Task;
using std::chrono::milliseconds;
using store::Remains;
using Numbers = std::vector<std::int64_t>;

// Code is sent before the job that uses it: so long may lie between the two; and so long when space is short.
constexpr auto kUnusedFor = std::chrono::hours(24);
constexpr auto kUnusedForWhenShort = std::chrono::hours(1);

class CheckoutsOfCode : public Governed {
 public:
  CheckoutsOfCode(snapshot::Checkouts& checkouts, async::Pool& pool) : checkouts_(checkouts), pool_(pool) {}
  std::string name() const override { return "checkouts"; }
  std::string words() const override { return "checkouts of code"; }

  Holding survey(const Scene& scene) override {
    needed_.clear();
    for (const auto& job : scene.jobs)
      if (!job.finished && job.snapshot) needed_.insert({job.uid, *job.snapshot});
    Holding holding;
    Staying staying{"live jobs run in them, or what live jobs run in builds on them", checkouts_.count(),
                    checkouts_.usage(), {}, false};
    idle_ = checkouts_.idle(needed_);
    for (std::size_t i = 0; i < idle_.size(); ++i) {
      Candidate candidate;
      candidate.number = static_cast<std::int64_t>(i);
      candidate.what = "checkout of " + idle_[i].key.digest.brief();
      candidate.why = "no live job runs in it; it is made again when needed";
      candidate.bytes = idle_[i].bytes;
      candidate.last_use = idle_[i].last_used;
      candidate.due = scene.asked;
      candidate.replaceable = true;
      holding.candidates.push_back(std::move(candidate));
      --staying.count;
      staying.bytes -= idle_[i].bytes;
    }
    // One that others build on must not come before them.
    for (std::size_t i = 1; i < holding.candidates.size(); ++i)
      holding.candidates[i].last_use = std::max(holding.candidates[i].last_use, holding.candidates[i - 1].last_use);
    holding.staying.push_back(std::move(staying));
    return holding;
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
  async::Pool& pool_;
  std::set<snapshot::Checkouts::Key> needed_;
  std::vector<snapshot::Checkouts::Idle> idle_;
};

class UnusedUploads : public Governed {
 public:
  explicit UnusedUploads(store::Store& store) : store_(store) {}
  std::string name() const override { return "uploads"; }
  std::string words() const override { return "code that was sent, but that no job uses"; }

  Holding survey(const Scene& scene) override {
    Holding holding;
    Staying staying{"a job may still follow what was sent a moment ago", 0, 0, {}, false};
    unused_.clear();
    for (const auto& [upload, used] : store_.uploads()) {
      if (used && upload.created < scene.now - kUnusedForWhenShort) continue;  // goes with the job
      const bool code = upload.kind == store::Upload::Kind::snapshot;
      if (used || upload.created >= scene.now - kUnusedForWhenShort) {
        if (!used) ++staying.count;
        (code ? staying.roots.snapshots : staying.roots.objects).push_back(upload.digest);
        continue;
      }
      Candidate candidate;
      candidate.number = static_cast<std::int64_t>(unused_.size());
      candidate.what = (code ? "code " : "diff ") + upload.digest.brief();
      candidate.why = "no job uses it since it was sent " + to_local_text(upload.created);
      candidate.last_use = upload.created;
      candidate.due = upload.created < scene.now - kUnusedFor;
      candidate.replaceable = true;
      (code ? candidate.roots.snapshots : candidate.roots.objects).push_back(upload.digest);
      holding.candidates.push_back(std::move(candidate));
      unused_.push_back(upload);
    }
    holding.staying.push_back(std::move(staying));
    return holding;
  }

  Task<Numbers> remove(Numbers numbers, std::string) override {
    std::vector<store::Upload> wanted;
    for (const auto number : numbers) wanted.push_back(unused_[static_cast<std::size_t>(number)]);
    const auto gone = co_await store_.forget_uploads(std::move(wanted));
    Numbers done;
    for (const auto number : numbers)
      if (std::find(gone.begin(), gone.end(), unused_[static_cast<std::size_t>(number)]) != gone.end())
        done.push_back(number);
    co_return done;
  }

 private:
  store::Store& store_;
  std::vector<store::Upload> unused_;
};

// What a kind of things of ended jobs has in common: how long it is kept.
class OfJobs : public Governed {
 protected:
  struct Retention {
    const char* key;  // of the configuration
    std::optional<milliseconds> time;
  };

  // The reason for which something of the job is due, if it is.
  static std::optional<std::string> due(const Remains& job, const Scene& scene,
                                        std::initializer_list<Retention> retentions) {
    for (const auto& [key, time] : retentions)
      if (time && *job.finished + *time <= scene.now)
        return "because it ended longer ago than " + std::string(key) + ", which is " + to_words(*time);
    return std::nullopt;
  }

  class Sorter {
   public:
    explicit Sorter(const Scene& scene) : scene_(scene) {
      staying_[0].why = "their jobs are live";
      staying_[0].live = true;
      staying_[1].why = "their jobs ended less than " + to_words(scene.limits.keep_at_least) + " ago (keep_at_least)";
      staying_[2].why = "they take next to no space";
    }
    // With `idle`, the thing takes too little space to go for it.
    void add(const Remains& job, std::string what, std::uint64_t bytes, Roots roots, std::optional<std::string> due,
             bool idle) {
      auto* stays = reason_to_stay(job, due.has_value(), idle);
      if (stays != nullptr) {
        ++stays->count;
        stays->bytes += bytes;
        auto& kept = stays->roots;
        kept.snapshots.insert(kept.snapshots.end(), roots.snapshots.begin(), roots.snapshots.end());
        kept.objects.insert(kept.objects.end(), roots.objects.begin(), roots.objects.end());
        return;
      }
      Candidate candidate;
      candidate.number = job.sequence;
      candidate.what = std::move(what);
      candidate.why = due ? *due : "the job ended on " + to_local_text(*job.finished);
      candidate.bytes = bytes;
      candidate.last_use = *job.finished;
      candidate.due = due.has_value();
      candidate.roots = std::move(roots);
      holding_.candidates.push_back(std::move(candidate));
    }
    Holding take() {
      for (auto& staying : staying_)
        if (staying.count > 0) holding_.staying.push_back(std::move(staying));
      return std::move(holding_);
    }

   private:
    Staying* reason_to_stay(const Remains& job, bool due, bool idle) {
      if (!job.finished) return &staying_[0];
      if (due) return nullptr;
      if (*job.finished > scene_.now - scene_.limits.keep_at_least) return &staying_[1];
      return idle ? &staying_[2] : nullptr;
    }

    const Scene& scene_;
    Staying staying_[3];
    Holding holding_;
  };
};

class LogsOfJobs : public OfJobs {
 public:
  LogsOfJobs(store::Store& store, const Workplaces& workplaces, const Clock& clock)
      : store_(store), workplaces_(workplaces), clock_(clock) {}
  std::string name() const override { return "logs"; }
  std::string words() const override { return "logs of jobs"; }

  Holding survey(const Scene& scene) override {
    Sorter sorter(scene);
    for (const auto& job : scene.jobs) {
      if (!job.has_log) continue;
      const auto bytes = workplaces_.log_bytes(job.id);
      auto why = job.finished ? due(job, scene, {{"keep_logs", scene.limits.keep_logs}, {"keep_jobs", scene.limits.keep_jobs}})
                              : std::nullopt;
      sorter.add(job, "log of " + job.id, bytes, {}, std::move(why), bytes == 0);
    }
    return sorter.take();
  }

  Task<Numbers> remove(Numbers numbers, std::string why) override {
    model::Removal removal{clock_.now(), std::move(why)};
    return store_.remove_logs(std::move(numbers), std::move(removal));
  }

 private:
  store::Store& store_;
  const Workplaces& workplaces_;
  const Clock& clock_;
};

class OutputsOfJobs : public OfJobs {
 public:
  OutputsOfJobs(store::Store& store, const Clock& clock) : store_(store), clock_(clock) {}
  std::string name() const override { return "outputs"; }
  std::string words() const override { return "outputs of jobs"; }

  Holding survey(const Scene& scene) override {
    Sorter sorter(scene);
    for (const auto& job : scene.jobs) {
      if (job.outputs.empty()) continue;
      auto why = job.finished
                     ? due(job, scene, {{"keep_outputs", scene.limits.keep_outputs}, {"keep_jobs", scene.limits.keep_jobs}})
                     : std::nullopt;
      sorter.add(job, "outputs of " + job.id, 0, {job.outputs, {}}, std::move(why), false);
    }
    return sorter.take();
  }

  Task<Numbers> remove(Numbers numbers, std::string why) override {
    model::Removal removal{clock_.now(), std::move(why)};
    return store_.remove_outputs(std::move(numbers), std::move(removal));
  }

 private:
  store::Store& store_;
  const Clock& clock_;
};

class RecordsOfJobs : public OfJobs {
 public:
  RecordsOfJobs(store::Store& store, const Clock& clock) : store_(store), clock_(clock) {}
  std::string name() const override { return "jobs"; }
  std::string words() const override { return "records of jobs, with their code"; }

  Holding survey(const Scene& scene) override {
    Sorter sorter(scene);
    for (const auto& job : scene.jobs) {
      Roots roots;
      if (job.snapshot) roots.snapshots.push_back(*job.snapshot);
      if (job.context) roots.snapshots.push_back(*job.context);
      if (job.diff) roots.objects.push_back(*job.diff);
      auto why = job.finished ? due(job, scene, {{"keep_jobs", scene.limits.keep_jobs}}) : std::nullopt;
      const bool idle = roots.snapshots.empty() && roots.objects.empty();
      sorter.add(job, "all of " + job.id, 0, std::move(roots), std::move(why), idle);
    }
    return sorter.take();
  }

  Task<Numbers> remove(Numbers numbers, std::string) override {
    return store_.forget(std::move(numbers), clock_.now() - kUnusedForWhenShort);
  }

 private:
  store::Store& store_;
  const Clock& clock_;
};

class DownloadsOfBuilds : public Governed {
 public:
  explicit DownloadsOfBuilds(environment::Builds& builds) : builds_(builds) {}
  std::string name() const override { return "downloads"; }
  std::string words() const override { return "what builds of environments have downloaded"; }

  Holding survey(const Scene& scene) override {
    Holding holding;
    Staying staying{"builds use it", 0, 0, {}, false};
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
      candidate.due = scene.asked || gone;
      candidate.replaceable = true;
      holding.candidates.push_back(std::move(candidate));
      idle_.push_back(cache.owner);
    }
    holding.staying.push_back(std::move(staying));
    return holding;
  }

  Task<Numbers> remove(Numbers numbers, std::string) override {
    Numbers done;
    for (const auto number : numbers) {
      const auto removed = co_await async::attempt(builds_.drop_downloads(idle_.at(static_cast<std::size_t>(number))));
      if (removed) done.push_back(number);  // else a build has come to use it
    }
    co_return done;
  }

 private:
  environment::Builds& builds_;
  std::vector<environment::Downloads::Owner> idle_;
};

class BuiltEnvironments : public Governed {
 public:
  explicit BuiltEnvironments(environment::Builds& builds) : builds_(builds) {}
  std::string name() const override { return "environments"; }
  std::string words() const override { return "environments"; }

  Holding survey(const Scene&) override {
    Holding holding;
    Staying staying{"live jobs have them", 0, 0, {}, false};
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
      holding.candidates.push_back(std::move(candidate));
      idle_.push_back(entry.digest);
    }
    holding.staying.push_back(std::move(staying));
    return holding;
  }

  Task<Numbers> remove(Numbers numbers, std::string) override {
    Numbers done;
    for (const auto number : numbers) {
      const auto removed = co_await async::attempt(builds_.remove(idle_.at(static_cast<std::size_t>(number))));
      if (removed) done.push_back(number);  // else a job has come to hold it
    }
    co_return done;
  }

 private:
  environment::Builds& builds_;
  std::vector<Digest> idle_;
};

}  // namespace

std::unique_ptr<Governed> downloads_of_builds(environment::Builds& builds) {
  return std::make_unique<DownloadsOfBuilds>(builds);
}
std::unique_ptr<Governed> built_environments(environment::Builds& builds) {
  return std::make_unique<BuiltEnvironments>(builds);
}
std::unique_ptr<Governed> checkouts_of_code(snapshot::Checkouts& checkouts, async::Pool& pool) {
  return std::make_unique<CheckoutsOfCode>(checkouts, pool);
}
std::unique_ptr<Governed> unused_uploads(store::Store& store) { return std::make_unique<UnusedUploads>(store); }
std::unique_ptr<Governed> logs_of_jobs(store::Store& store, const Workplaces& workplaces, const Clock& clock) {
  return std::make_unique<LogsOfJobs>(store, workplaces, clock);
}
std::unique_ptr<Governed> outputs_of_jobs(store::Store& store, const Clock& clock) {
  return std::make_unique<OutputsOfJobs>(store, clock);
}
std::unique_ptr<Governed> records_of_jobs(store::Store& store, const Clock& clock) {
  return std::make_unique<RecordsOfJobs>(store, clock);
}

}  // namespace berth::jobs
