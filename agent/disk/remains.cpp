#include "agent/disk/remains.hpp"

#include <algorithm>

namespace berth::disk {
namespace {

using async::Task;
using std::chrono::milliseconds;
using store::Remains;
using store::Sequence;
using Numbers = std::vector<std::int64_t>;

// Code is sent before the job that uses it: so long may lie between the two; and so long when space is short.
constexpr auto kUnusedFor = std::chrono::hours(24);
constexpr auto kUnusedForWhenShort = std::chrono::hours(1);

class UnusedUploads : public Reclaimable {
 public:
  explicit UnusedUploads(store::Store& store) : store_(store) {}
  std::string name() const override { return "uploads"; }
  std::string description() const override { return "code that was sent, but that no job uses"; }

  Survey survey(const SurveyContext& context) override {
    Survey found;
    Retained staying{"a job may still follow what was sent a moment ago", 0, 0, {}, false};
    unused_.clear();
    for (const auto& [upload, used] : store_.uploads()) {
      if (used && upload.created < context.now - kUnusedForWhenShort) continue;  // goes with the job
      const bool code = upload.kind == store::Upload::Kind::snapshot;
      if (used || upload.created >= context.now - kUnusedForWhenShort) {
        if (!used) ++staying.count;
        (code ? staying.roots.snapshots : staying.roots.objects).push_back(upload.digest);
        continue;
      }
      Candidate candidate;
      candidate.number = static_cast<std::int64_t>(unused_.size());
      candidate.what = (code ? "code " : "diff ") + upload.digest.brief();
      candidate.why = "no job uses it since it was sent " + to_local_text(upload.created);
      candidate.last_use = upload.created;
      candidate.due = upload.created < context.now - kUnusedFor;
      candidate.replaceable = true;
      (code ? candidate.roots.snapshots : candidate.roots.objects).push_back(upload.digest);
      found.candidates.push_back(std::move(candidate));
      unused_.push_back(upload);
    }
    found.staying.push_back(std::move(staying));
    return found;
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
class OfJobs : public Reclaimable {
 protected:
  struct Retention {
    const char* key;  // of the configuration
    std::optional<milliseconds> time;
  };

  // The reason for which something of the job is due, if it is.
  static std::optional<std::string> due(const Remains& job, const SurveyContext& context,
                                        std::initializer_list<Retention> retentions) {
    for (const auto& [key, time] : retentions)
      if (time && *job.finished + *time <= context.now)
        return "because it ended longer ago than " + std::string(key) + ", which is " + to_words(*time);
    return std::nullopt;
  }

  // The number of a candidate is its job's.
  static std::vector<Sequence> jobs_of(const Numbers& numbers) { return {numbers.begin(), numbers.end()}; }
  static Task<Numbers> numbers_of(Task<std::vector<Sequence>> jobs) {
    const auto done = co_await std::move(jobs);
    Numbers numbers;
    for (const auto job : done) numbers.push_back(job.value());
    co_return numbers;
  }

  class Sorter {
   public:
    explicit Sorter(const SurveyContext& context) : context_(context) {
      staying_[0].why = "their jobs are live";
      staying_[0].live = true;
      staying_[1].why = "their jobs ended less than " + to_words(context.limits.keep_at_least) + " ago (keep_at_least)";
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
      candidate.number = job.sequence.value();
      candidate.what = std::move(what);
      candidate.why = due ? *due : "the job ended on " + to_local_text(*job.finished);
      candidate.bytes = bytes;
      candidate.last_use = *job.finished;
      candidate.due = due.has_value();
      candidate.roots = std::move(roots);
      found_.candidates.push_back(std::move(candidate));
    }
    Survey take() {
      for (auto& staying : staying_)
        if (staying.count > 0) found_.staying.push_back(std::move(staying));
      return std::move(found_);
    }

   private:
    Retained* reason_to_stay(const Remains& job, bool due, bool idle) {
      if (!job.finished) return &staying_[0];
      if (due) return nullptr;
      if (*job.finished > context_.now - context_.limits.keep_at_least) return &staying_[1];
      return idle ? &staying_[2] : nullptr;
    }

    const SurveyContext& context_;
    Retained staying_[3];
    Survey found_;
  };
};

class LogsOfJobs : public OfJobs {
 public:
  LogsOfJobs(store::Store& store, const JobFiles& files, const Clock& clock)
      : store_(store), files_(files), clock_(clock) {}
  std::string name() const override { return "logs"; }
  std::string description() const override { return "logs of jobs"; }

  Survey survey(const SurveyContext& context) override {
    Sorter sorter(context);
    for (const auto& job : context.jobs) {
      if (!job.has_log) continue;
      const auto bytes = files_.log_bytes(job.id);
      auto why = job.finished ? due(job, context,
                                    {{"keep_logs", context.limits.keep_logs}, {"keep_jobs", context.limits.keep_jobs}})
                              : std::nullopt;
      sorter.add(job, "log of " + job.id, bytes, {}, std::move(why), bytes == 0);
    }
    return sorter.take();
  }

  Task<Numbers> remove(Numbers numbers, std::string why) override {
    model::Removal removal{clock_.now(), std::move(why)};
    return numbers_of(store_.remove_logs(jobs_of(numbers), std::move(removal)));
  }

 private:
  store::Store& store_;
  const JobFiles& files_;
  const Clock& clock_;
};

class OutputsOfJobs : public OfJobs {
 public:
  OutputsOfJobs(store::Store& store, const Clock& clock) : store_(store), clock_(clock) {}
  std::string name() const override { return "outputs"; }
  std::string description() const override { return "outputs of jobs"; }

  Survey survey(const SurveyContext& context) override {
    Sorter sorter(context);
    for (const auto& job : context.jobs) {
      if (job.outputs.empty()) continue;
      auto why = job.finished
                     ? due(job, context,
                           {{"keep_outputs", context.limits.keep_outputs}, {"keep_jobs", context.limits.keep_jobs}})
                     : std::nullopt;
      sorter.add(job, "outputs of " + job.id, 0, {job.outputs, {}}, std::move(why), false);
    }
    return sorter.take();
  }

  Task<Numbers> remove(Numbers numbers, std::string why) override {
    model::Removal removal{clock_.now(), std::move(why)};
    return numbers_of(store_.remove_outputs(jobs_of(numbers), std::move(removal)));
  }

 private:
  store::Store& store_;
  const Clock& clock_;
};

class RecordsOfJobs : public OfJobs {
 public:
  RecordsOfJobs(store::Store& store, const Clock& clock) : store_(store), clock_(clock) {}
  std::string name() const override { return "jobs"; }
  std::string description() const override { return "records of jobs, with their code"; }

  Survey survey(const SurveyContext& context) override {
    Sorter sorter(context);
    for (const auto& job : context.jobs) {
      Roots roots;
      if (job.snapshot) roots.snapshots.push_back(*job.snapshot);
      if (job.context) roots.snapshots.push_back(*job.context);
      if (job.diff) roots.objects.push_back(*job.diff);
      auto why = job.finished ? due(job, context, {{"keep_jobs", context.limits.keep_jobs}}) : std::nullopt;
      const bool idle = roots.snapshots.empty() && roots.objects.empty();
      sorter.add(job, "all of " + job.id, 0, std::move(roots), std::move(why), idle);
    }
    return sorter.take();
  }

  Task<Numbers> remove(Numbers numbers, std::string) override {
    return numbers_of(store_.forget(jobs_of(numbers), clock_.now() - kUnusedForWhenShort));
  }

 private:
  store::Store& store_;
  const Clock& clock_;
};

}  // namespace

std::unique_ptr<Reclaimable> unused_uploads(store::Store& store) { return std::make_unique<UnusedUploads>(store); }
std::unique_ptr<Reclaimable> logs_of_jobs(store::Store& store, const JobFiles& files, const Clock& clock) {
  return std::make_unique<LogsOfJobs>(store, files, clock);
}
std::unique_ptr<Reclaimable> outputs_of_jobs(store::Store& store, const Clock& clock) {
  return std::make_unique<OutputsOfJobs>(store, clock);
}
std::unique_ptr<Reclaimable> records_of_jobs(store::Store& store, const Clock& clock) {
  return std::make_unique<RecordsOfJobs>(store, clock);
}

}  // namespace berth::disk
