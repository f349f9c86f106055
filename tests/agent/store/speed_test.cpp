#include "runtime/db/writer.hpp"
#include "tests/agent/store/fixture.hpp"

using namespace berth;
using namespace berth::store;

namespace {

#ifdef NDEBUG
constexpr double kLeastRate = 5000;
#else
constexpr double kLeastRate = 500;  // with sanitizers
#endif

template <class F>
double seconds(F work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "ten thousand submissions in one durable batch, and reading them back") {
  constexpr int kJobs = 10'000;
  std::vector<NewJob> jobs;
  for (int i = 0; i < kJobs; ++i) jobs.push_back(new_job(i));
  const auto writing = seconds([&] {
    db::Writer writer(db::Connection::open(path));
    writer.write(
        db::Durable::yes,
        [&](db::Connection& connection) { CHECK(submit(connection, jobs, at(0), random).size() == kJobs); },
        [](std::exception_ptr failure) { CHECK_FALSE(failure); });
    writer.stop();
  });
  auto reader = db::Connection::open(path, {.access = db::Access::read_only});
  std::size_t found = 0;
  const auto listing_live = seconds([&] { found = live(reader).size(); });
  CHECK(found == kJobs);
  const auto listing = seconds([&] { found = listed(reader, list(reader, {.limit = kJobs})).size(); });
  CHECK(found == kJobs);
  const auto lookup = seconds([&] {
    for (int i = 1; i <= 1000; ++i) CHECK(find(reader, Sequence(i)));
  });
  const auto rate = kJobs / writing;
  const auto bytes = os::read_file(path).size() / kJobs;
  MESSAGE(rate, " submissions/s; live list ", listing_live, " s; full list ", listing, " s; 1000 look-ups ", lookup,
          " s; ", bytes, " bytes a job");
  CHECK(rate > kLeastRate);
}
