#include "agent/store/store.hpp"

#include <doctest/doctest.h>

#include "runtime/async/attempt.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "tests/agent/model/ids.hpp"
#include "tests/agent/store/fixture.hpp"

using namespace berth;
using namespace berth::store;
using async::Task;
using model::State;

namespace {

struct OpenStore {
  os::TempDir directory;
  std::string path = directory / "agent.db";
  async::Pool pool;
  Store opened{path, system_clock(), pool, FakeRandom()};
};

Code code_of_opening(const std::string& path, std::string& hint) {
  async::Pool pool;
  try {
    Store store(path, system_clock(), pool);
  } catch (const Error& error) {
    hint = error.hint();
    return error.code();
  }
  FAIL("it was opened");
  return Code::internal;
}

}  // namespace

TEST_CASE_FIXTURE(OpenStore, "a job's life through the loop, and what a reader sees after each step") {
  auto life = [](Store& store) -> Task<> {
    std::vector<NewJob> jobs{new_job(1)};
    const auto submitted = co_await store.submit(std::move(jobs));
    const auto sequence = submitted.at(0).job.sequence;
    CHECK(store.columns(sequence)->state == State::preparing);
    CHECK(store.id_of(sequence) == submitted[0].job.id);
    Prepared made;
    made.environment_record = "{}";
    co_await store.prepared(sequence, std::move(made));
    CHECK(store.columns(sequence)->state == State::queued);
    co_await store.set_priority(sequence, 3, "ann");
    co_await store.set_held(sequence, false, "ann");
    StartIntent intent{sequence, 1, 1, "boot", {"GPU-1"}};
    co_await store.start_intent(std::move(intent));
    CHECK(store.live().at(0).boot_id == "boot");
    model::Attempt attempt;
    attempt.ending = model::Exited{0};
    co_await store.ended(sequence, attempt);
    Final final{sequence, State::completed, model::Exited{0}, at(2), std::nullopt};
    co_await store.finalized(std::move(final));
    CHECK(store.live().empty());
    Filter filter;
    const auto all = co_await store.list(std::move(filter));
    CHECK(all.size() == 1);
    const auto rows = co_await store.listed(all);
    CHECK(rows.at(0).job.id == store.look_up("@last", 1000).id);
    co_await store.set_drained(true);
    CHECK(store.drained());
    Upload upload{Upload::Kind::snapshot, digest_of(1), 1000, 1_MiB, 1, at(0), 1_MiB};
    co_await store.remember(std::move(upload));
    CHECK(store.find_upload(digest_of(1), 1000));
    CHECK(store.roots().snapshots.size() == 1);
    std::vector<Upload> unused{store.uploads().front().upload};
    const auto gone = co_await store.forget_uploads(std::move(unused));
    CHECK(gone.size() == 1);
    CHECK(store.roots().snapshots.empty());
    co_await store.reopen(sequence, State::queued, "ann");
    Final again{sequence, State::failed, model::Lost{}, at(3), std::nullopt};
    co_await store.finalized(std::move(again));
    std::vector<Sequence> old(1, sequence);
    const model::Removal removal{at(4), "to make room"};
    auto removed = co_await store.remove_logs(old, removal);
    CHECK(removed == old);
    CHECK(store.columns(sequence)->log_removed == removal);
    removed = co_await store.remove_outputs(old, removal);
    CHECK(removed == old);
    CHECK(store.sweep_due());
    co_await store.swept();
    CHECK_FALSE(store.sweep_due());
    removed = co_await store.forget(old, at(0));
    CHECK(removed == old);
    CHECK_FALSE(store.columns(sequence));
    CHECK(store.remains().empty());
    CHECK(store.doomed().size() == 1);
    std::vector<model::JobId> settled{store.doomed().front().job};
    co_await store.settle(std::move(settled));
    CHECK(store.doomed().empty());
  };
  async::run(life(opened));
}

TEST_CASE_FIXTURE(OpenStore, "a refused transition is an error of its task, and the store goes on") {
  auto body = [](Store& store) -> Task<> {
    Prepared made;
    const auto refused = co_await async::attempt(store.prepared(99_job, std::move(made)));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code() == Code::not_found);
    std::vector<NewJob> jobs{new_job(1)};
    co_await store.submit(std::move(jobs));
    CHECK(store.live().size() == 1);
  };
  async::run(body(opened));
}

TEST_CASE_FIXTURE(OpenStore, "many tasks write at the same time, each its own transaction") {
  auto body = [](Store& store) -> Task<> {
    auto fail = [](std::exception_ptr failure) { std::rethrow_exception(failure); };
    int existed = 0;
    auto all = [&](async::Nursery& nursery) -> Task<> {
      for (int i = 0; i < 500; ++i) {
        nursery.spawn([&store, &existed, i]() -> Task<> {
          std::vector<NewJob> jobs{new_job(i / 2)};
          const auto submitted = co_await store.submit(std::move(jobs));
          existed += submitted.at(0).existed ? 1 : 0;
        });
      }
      co_return;
    };
    co_await async::with_nursery(fail, all);
    CHECK(existed == 250);
    CHECK(store.live().size() == 250);
  };
  async::run(body(opened), std::chrono::seconds(60));
}

TEST_CASE_FIXTURE(OpenStore, "what was acknowledged is there when the store is opened again") {
  auto body = [](Store& store) -> Task<> {
    std::vector<NewJob> jobs{new_job(1), new_job(2)};
    co_await store.submit(std::move(jobs));
    store.stop();
    const auto late = co_await async::attempt(store.set_drained(true));
    CHECK(late.error().code() == Code::unavailable);
  };
  async::run(body(opened));
  Store again(path, system_clock(), pool);
  CHECK(again.live().size() == 2);
}

TEST_CASE("a file that is no database is refused with the remedy, and so is a newer one") {
  os::TempDir directory;
  const auto path = directory / "agent.db";
  os::write_file(path, std::string(10'000, 'x'), 0600, os::Durable::no);
  std::string hint;
  CHECK(code_of_opening(path, hint) == Code::corrupt);
  CHECK(hint ==
        "move " + path + " (and " + path + "-wal, -shm) away to start empty: the jobs' directories in jobs/ stay");
  os::remove_file(path);
  db::Connection::open(path).execute("PRAGMA user_version = 99");
  CHECK(code_of_opening(path, hint) == Code::unsupported);
}
