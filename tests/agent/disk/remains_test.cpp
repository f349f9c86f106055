// What jobs leave, as the disk manager is told of it: over a real store, at times that are given.

#include "agent/disk/remains.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "runtime/async/run.hpp"
#include "tests/agent/store/fixture.hpp"
#include "tests/fakes/reclaimable.hpp"

using namespace berth;
using namespace std::chrono_literals;
using store::at;
using store::digest_of;
using store::kAnn;
using store::Sequence;

namespace {

constexpr int kHour = 3600;

class Site : public store::Fixture {
 public:
  // One whose attempt left these outputs.
  store::Sequence ended(int number, int seconds, std::uint8_t outputs = 0, std::uint8_t snapshot = 0) {
    auto job = store::new_job(number);
    if (snapshot > 0) job.request.snapshot = digest_of(snapshot);
    job.state = model::State::queued;
    const auto sequence = add(job).sequence;
    store::start_intent(db, kAnn, {sequence, 1, 1, "boot-a"});
    model::Attempt attempt;
    if (outputs > 0) attempt.outputs = digest_of(outputs);
    store::finalized(db, kAnn, {sequence, model::State::completed, model::Exited{0}, at(seconds), attempt});
    return sequence;
  }
  void send(std::uint8_t byte, int seconds) {
    store::remember(db, {store::Upload::Kind::snapshot, digest_of(byte), 1000, 5_MiB, 12, at(seconds), 5_MiB});
  }

  disk::Survey survey(disk::Reclaimable& kind, int seconds) {
    disk::SurveyContext context;
    context.now = at(seconds);
    context.limits = limits;
    context.jobs = store.remains();
    return kind.survey(context);
  }
  std::vector<std::int64_t> remove(disk::Reclaimable& kind, std::vector<std::int64_t> numbers,
                                   std::string why = "why") {
    return async::run(kind.remove(std::move(numbers), std::move(why)));
  }
  std::vector<Sequence> remove(disk::Reclaimable& kind, const std::vector<Sequence>& jobs, std::string why = "why") {
    std::vector<std::int64_t> numbers;
    for (const auto job : jobs) numbers.push_back(job.value());
    std::vector<Sequence> removed;
    for (const auto number : remove(kind, std::move(numbers), std::move(why))) removed.emplace_back(number);
    return removed;
  }

  async::Pool pool;
  store::Store store{path, system_clock(), pool};
  fakes::JobFiles files;
  disk::Limits limits;
};

const disk::Retained* staying(const disk::Survey& survey, const std::string& why) {
  const auto found = std::ranges::find_if(survey.staying, [&](const auto& each) { return each.why.find(why) == 0; });
  return found == survey.staying.end() ? nullptr : &*found;
}

std::vector<Sequence> jobs_of(const disk::Survey& survey) {
  std::vector<Sequence> jobs;
  for (const auto& candidate : survey.candidates) jobs.emplace_back(candidate.number);
  return jobs;
}

}  // namespace

TEST_CASE_FIXTURE(Site, "logs may go when their job has been over for as long as all is kept, live jobs' never") {
  const auto kind = disk::logs_of_jobs(store, files, system_clock());
  const auto old = ended(1, 0);
  ended(2, 20 * kHour);
  add_running(3);
  const auto found = survey(*kind, 25 * kHour);
  REQUIRE(jobs_of(found) == std::vector<Sequence>{old});
  const auto& candidate = found.candidates.front();
  CHECK(candidate.what == "log of " + get(old).id);
  CHECK(candidate.bytes == 1'000);
  CHECK(candidate.last_use == at(0));
  CHECK_FALSE(candidate.due);
  const auto* live = staying(found, "their jobs are live");
  REQUIRE(live != nullptr);
  CHECK(live->live);
  CHECK(live->count == 1);
  const auto* fresh = staying(found, "their jobs ended less than");
  REQUIRE(fresh != nullptr);
  CHECK(fresh->bytes == 1'000);

  CHECK(remove(*kind, {old}, "the disk is full") == std::vector<Sequence>{old});
  CHECK(get(old).log_removed->why == "the disk is full");
  CHECK(jobs_of(survey(*kind, 25 * kHour)).empty());
}

TEST_CASE_FIXTURE(Site, "what was kept as long as the configuration says is due, before anything else is asked") {
  limits.keep_logs = 10h;
  limits.keep_jobs = 40h;
  const auto logs = disk::logs_of_jobs(store, files, system_clock());
  const auto outputs = disk::outputs_of_jobs(store, system_clock());
  const auto records = disk::records_of_jobs(store, system_clock());
  const auto job = ended(1, 0, 8);

  CHECK(jobs_of(survey(*logs, 10 * kHour - 1)).empty());
  const auto due = survey(*logs, 10 * kHour);
  REQUIRE(due.candidates.size() == 1);
  CHECK(due.candidates[0].due);
  CHECK(due.candidates[0].why.find("keep_logs") != std::string::npos);

  for (auto* kind : {logs.get(), outputs.get(), records.get()}) {
    INFO(kind->name());
    const auto all = survey(*kind, 40 * kHour);
    REQUIRE(jobs_of(all) == std::vector<Sequence>{job});
    CHECK(all.candidates[0].due);
  }
  const auto by_outputs = survey(*outputs, 40 * kHour);
  CHECK(by_outputs.candidates[0].why.find("keep_jobs") != std::string::npos);
  CHECK(by_outputs.candidates[0].roots.snapshots == std::vector{digest_of(8)});
  limits.keep_outputs = 5h;
  CHECK(survey(*outputs, 40 * kHour).candidates[0].why.find("keep_outputs") != std::string::npos);
}

TEST_CASE_FIXTURE(Site, "outputs that are removed are told of, and are none any more") {
  const auto kind = disk::outputs_of_jobs(store, system_clock());
  const auto with = ended(1, 0, 8);
  ended(2, 0);
  CHECK(jobs_of(survey(*kind, 25 * kHour)) == std::vector<Sequence>{with});
  CHECK(remove(*kind, {with}) == std::vector<Sequence>{with});
  CHECK(get(with).outputs_removed);
  CHECK(jobs_of(survey(*kind, 25 * kHour)).empty());
}

TEST_CASE_FIXTURE(Site, "a record goes with its code; one that holds nothing is no help") {
  const auto kind = disk::records_of_jobs(store, system_clock());
  send(7, 0);
  const auto with_code = ended(1, 0, 0, 7);
  const auto bare = ended(2, 0);
  const auto found = survey(*kind, 25 * kHour);
  REQUIRE(jobs_of(found) == std::vector<Sequence>{with_code});
  CHECK(found.candidates[0].roots.snapshots == std::vector{digest_of(7)});
  const auto* idle = staying(found, "they take next to no space");
  REQUIRE(idle != nullptr);
  CHECK(idle->count == 1);
  const auto runs = add_running(3);
  CHECK(remove(*kind, {with_code, runs}) == std::vector<Sequence>{with_code});
  CHECK_FALSE(store::find(db, with_code));
  CHECK(store::find(db, bare));
}

TEST_CASE_FIXTURE(Site, "code that was sent goes when no job has come for it, a fresh one never") {
  const auto kind = disk::unused_uploads(store);
  send(1, 0);
  send(2, 24 * kHour);
  send(3, 0);  // of a job that is there
  auto job = store::new_job(1);
  job.request.snapshot = digest_of(3);
  add(job);
  auto found = survey(*kind, 24 * kHour + 60);
  REQUIRE(found.candidates.size() == 1);
  CHECK(found.candidates[0].roots.snapshots == std::vector{digest_of(1)});
  CHECK(found.candidates[0].due);  // a day is long enough
  CHECK(found.candidates[0].replaceable);
  const auto* fresh = staying(found, "a job may still follow");
  REQUIRE(fresh != nullptr);
  CHECK(fresh->count == 1);
  CHECK(fresh->roots.snapshots == std::vector{digest_of(2)});

  found = survey(*kind, 26 * kHour);
  REQUIRE(found.candidates.size() == 2);
  const auto later = std::ranges::find_if(found.candidates, [](const auto& each) { return !each.due; });
  REQUIRE(later != found.candidates.end());
  const auto number = later->number;
  send(2, 26 * kHour);  // once more: somebody is about to use it
  CHECK(remove(*kind, std::vector{number}).empty());
  CHECK(store::find_upload(db, digest_of(2), 1000));
  CHECK(remove(*kind, std::vector{1 - number}) == std::vector{1 - number});
  CHECK_FALSE(store::find_upload(db, digest_of(1), 1000));
}
