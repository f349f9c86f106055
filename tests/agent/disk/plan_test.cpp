#include "agent/disk/plan.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

using namespace berth;
using namespace berth::disk;

namespace {

constexpr std::uint64_t kGiB = 1ULL << 30;
constexpr std::size_t kReplaceableKinds = 2;

Instant at(int seconds) { return from_unix_micros(1'700'000'000'000'000 + seconds * 1'000'000LL); }

Candidate candidate(std::size_t kind, std::int64_t number, std::uint64_t bytes, int last_use, bool due = false) {
  Candidate made;
  made.kind = kind;
  made.number = number;
  made.bytes = bytes;
  made.last_use = at(last_use);
  made.due = due;
  made.replaceable = kind < kReplaceableKinds;
  return made;
}

Limits limits() {
  Limits limits;
  limits.reserved = 1_GiB;
  return limits;
}

State state(std::uint64_t free, std::uint64_t kept = 0, std::uint64_t incoming = 0) {
  return {free * kGiB, 100 * kGiB, kept * kGiB, incoming * kGiB};
}

std::vector<std::int64_t> numbers(const std::vector<Candidate>& candidates, std::size_t count) {
  std::vector<std::int64_t> result;
  for (std::size_t i = 0; i < count; ++i) result.push_back(candidates[i].number);
  return result;
}

std::vector<std::int64_t> going(std::vector<Candidate> candidates, const std::vector<Need>& needs) {
  put_in_order(candidates);
  return numbers(candidates, choose(candidates, needs).going);
}

using Numbers = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("with plenty of disk nothing is needed") {
  CHECK(needs_of(state(50), limits()).empty());
  CHECK(needs_of(state(10), limits()).empty());
  CHECK(percent_full(state(50)) == 50);
  CHECK(percent_full({}) == 0);
}

TEST_CASE("above the high mark so much is needed as leads down to the low one") {
  const auto needs = needs_of(state(8), limits());
  REQUIRE(needs.size() == 1);
  CHECK(needs[0].bytes == doctest::Approx(12.0 * kGiB).epsilon(0.001));
  CHECK(needs[0].least == doctest::Approx(2.0 * kGiB).epsilon(0.001));
  CHECK(needs[0].why == "disk 92 % full, and cleaning starts at 90 %");
}

TEST_CASE("what is about to come counts as if it were there") {
  CHECK(needs_of(state(12), limits()).empty());
  const auto needs = needs_of(state(12, 0, 5), limits());
  REQUIRE(needs.size() == 1);
  CHECK(needs[0].why == "disk 88 % full with 5.0 GiB to come, and cleaning starts at 90 %");
}

TEST_CASE("room for new work is a need of its own, whatever the marks are") {
  auto lax = limits();
  lax.high = lax.low = 100;
  const State full{kGiB / 2, 100 * kGiB, 0, 0};
  const auto needs = needs_of(full, lax);
  REQUIRE(needs.size() == 1);
  CHECK(needs[0].bytes == kGiB / 2);
  CHECK(needs[0].why == "512 MiB free, and new work needs 1.0 GiB");
}

TEST_CASE("a budget is kept by itself, as a size or as a share of the disk") {
  auto with = limits();
  with.budget = Share{20_GiB, 0};
  CHECK(needs_of(state(50, 20), with).empty());
  auto needs = needs_of(state(50, 21), with);
  REQUIRE(needs.size() == 1);
  CHECK(needs[0].bytes == doctest::Approx(3.0 * kGiB).epsilon(0.001));  // to nine tenths of it
  CHECK(needs[0].least == 0);
  CHECK(needs[0].why == "21 GiB kept, and disk_budget is 20 GiB");
  with.budget = Share{ByteSize(), 30};
  CHECK(needs_of(state(50, 30), with).empty());
  CHECK(needs_of(state(50, 30, 1), with).size() == 1);
}

TEST_CASE("what is due goes without a need, and nothing else does") {
  const std::vector<Candidate> candidates{candidate(0, 1, 10, 5), candidate(2, 2, 10, 5, true), candidate(3, 3, 10, 5)};
  CHECK(going(candidates, {}) == Numbers{2});
}

TEST_CASE("kind goes after kind, the longest unused of each first, until it is enough") {
  const std::vector<Candidate> candidates{candidate(3, 31, 10, 1), candidate(2, 22, 10, 9), candidate(2, 21, 10, 3),
                                          candidate(0, 1, 10, 8)};
  CHECK(going(candidates, {{1, 0, ""}}) == Numbers{1});
  CHECK(going(candidates, {{11, 0, ""}}) == Numbers{1, 21});
  CHECK(going(candidates, {{30, 0, ""}}) == Numbers{1, 21, 22});
  CHECK(going(candidates, {{1000, 0, ""}}) == Numbers{1, 21, 22, 31});
  CHECK(going(candidates, {{5, 0, ""}, {15, 0, ""}}) == Numbers{1, 21});
}

TEST_CASE("what is due counts towards the need") {
  const std::vector<Candidate> candidates{candidate(0, 1, 10, 8), candidate(3, 31, 20, 1, true)};
  CHECK(going(candidates, {{20, 0, ""}}) == Numbers{31});
  CHECK(going(candidates, {{21, 0, ""}}) == Numbers{31, 1});
}

TEST_CASE("where all of it would not help, only what can be made again goes") {
  const std::vector<Candidate> candidates{candidate(0, 1, 10, 8), candidate(1, 2, 10, 8), candidate(2, 21, 10, 3)};
  const std::vector<Need> hopeless{{500, 100, "others fill the disk"}};
  auto sorted = candidates;
  put_in_order(sorted);
  const auto choice = choose(sorted, hopeless);
  CHECK(numbers(sorted, choice.going) == Numbers{1, 2});
  CHECK(choice.hopeless.size() == 1);
  CHECK(choice.need == &hopeless[0]);
  CHECK(going(candidates, {{500, 100, ""}, {25, 25, ""}}) == Numbers{1, 2, 21});  // this one can be met
  CHECK(going(candidates, {{500, 30, ""}}) == Numbers{1, 2, 21});
}

TEST_CASE("nothing goes in vain: not what others need, nor what gives nothing back at the end") {
  auto shared = candidate(3, 31, 0, 1);
  shared.useless = true;
  const std::vector<Candidate> candidates{shared, candidate(3, 32, 0, 2), candidate(3, 33, 10, 3),
                                          candidate(3, 34, 0, 4)};
  CHECK(going(candidates, {{100, 0, ""}}) == Numbers{32, 33});  // 33 is free only once 32 is gone
  shared.due = true;
  CHECK(going({shared, candidate(3, 32, 0, 2)}, {{100, 0, ""}}) == Numbers{31});
}

TEST_CASE("whatever there is and is needed, the choice keeps its promises") {
  std::mt19937 random(20261121);
  const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
  for (int round = 0; round < 3000; ++round) {
    std::vector<Candidate> candidates;
    for (unsigned i = 0; i < below(40); ++i)
      candidates.push_back(
          candidate(below(5), i, below(4) == 0 ? 0 : below(1000), static_cast<int>(below(50)), below(6) == 0));
    std::vector<Need> needs;
    for (unsigned i = 0; i < below(3); ++i) needs.push_back({below(15'000), below(2) == 0 ? 0 : below(15'000), ""});
    for (auto& need : needs) need.least = std::min(need.least, need.bytes);

    auto sorted = candidates;
    put_in_order(sorted);
    const auto choice = choose(sorted, needs);
    std::uint64_t all = 0, most = 0, met = 0, sum = 0;
    std::set<std::int64_t> seen;
    for (const auto& one : sorted) {
      all += one.bytes;
      seen.insert(one.number);
    }
    CHECK(seen.size() == candidates.size());  // none is lost or doubled
    for (const auto& need : needs) {
      most = std::max(most, need.bytes);
      if (all >= need.least) met = std::max(met, need.bytes);
    }
    REQUIRE(choice.going <= sorted.size());
    for (std::size_t i = 0; i < sorted.size(); ++i) {
      const auto& one = sorted[i];
      const bool goes = i < choice.going;
      if (one.due) CHECK(goes);
      if (goes && !one.due) {
        CHECK(sum < most);                       // nothing beyond what is wanted
        if (!one.replaceable) CHECK(sum < met);  // nor in vain
      }
      // What stays goes no earlier than what goes: later kind, or later use.
      if (goes && i > 0 && one.due == sorted[i - 1].due)
        CHECK(std::pair(sorted[i - 1].kind, sorted[i - 1].last_use) <= std::pair(one.kind, one.last_use));
      if (goes) sum += one.bytes;
    }
    CHECK(choice.bytes == sum);
    const auto next = std::find_if(sorted.begin() + static_cast<std::ptrdiff_t>(choice.going), sorted.end(),
                                   [](const Candidate& one) { return one.bytes > 0; });
    if (next != sorted.end()) CHECK(sum >= (next->replaceable ? most : met));  // enough, or nothing more would help
    if (choice.going > 0) CHECK((sorted[choice.going - 1].due || sorted[choice.going - 1].bytes > 0));
    auto again = candidates;
    std::shuffle(again.begin(), again.end(), random);
    put_in_order(again);
    CHECK(choose(again, needs).bytes >= std::min(all, met));
  }
}

namespace {

Candidate image(std::int64_t number, std::uint64_t bytes, int last_use, bool elsewhere) {
  auto made = candidate(1, number, bytes, last_use);
  made.image = true;
  made.elsewhere = elsewhere;
  return made;
}

ImageDisk image_disk(bool shared, std::uint64_t free, std::uint64_t kept) {
  return {"/var/lib/docker", shared, state(free, kept)};
}

// Those that go, and then those that stay, as the choice left them.
Numbers going(std::vector<Candidate> candidates, const std::vector<Need>& needs, const std::vector<Need>& image_needs) {
  put_in_order(candidates);
  const auto count = candidates.size();
  const auto choice = choose(candidates, needs, image_needs);
  CHECK(candidates.size() == count);
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < choice.going; ++i) bytes += candidates[i].bytes;
  CHECK(choice.bytes == bytes);
  return numbers(candidates, choice.going);
}

}  // namespace

TEST_CASE("images on a disk of their own are given back for that disk alone") {
  const std::vector<Candidate> all{candidate(0, 1, 10 * kGiB, 5), image(2, 10 * kGiB, 3, true),
                                   image(3, 10 * kGiB, 4, true), candidate(2, 4, 10 * kGiB, 1)};
  const auto none = std::vector<Need>{};
  const std::vector<Need> full{{5 * kGiB, 0, "the state's disk is full"}};
  const std::vector<Need> images_full{{15 * kGiB, 0, "the engine's disk is full"}};
  CHECK(going(all, full, none) == Numbers{1});
  CHECK(going(all, none, images_full) == Numbers{2, 3});
  CHECK(going(all, full, images_full) == Numbers{1, 2, 3});
  const std::vector<Need> all_is_wanted{{100 * kGiB, 0, "everything"}};
  CHECK(going(all, all_is_wanted, none) == Numbers{1, 4});
}

TEST_CASE("images on the state directory's disk help it, and what goes for it counts for their budget") {
  const std::vector<Candidate> all{candidate(0, 1, 10 * kGiB, 5), image(2, 10 * kGiB, 3, false),
                                   image(3, 10 * kGiB, 4, false), candidate(2, 4, 10 * kGiB, 1)};
  const auto none = std::vector<Need>{};
  const std::vector<Need> full{{15 * kGiB, 0, "the disk is full"}};
  const std::vector<Need> budget{{15 * kGiB, 0, "image_budget"}};
  CHECK(going(all, full, none) == Numbers{1, 2});
  CHECK(going(all, none, budget) == Numbers{2, 3});
  CHECK(going(all, full, budget) == Numbers{1, 2, 3});
}

TEST_CASE("when the engine's disk needs space") {
  auto with = limits();
  CHECK(needs_of(image_disk(false, 11, 50), with).empty());
  auto needs = needs_of(image_disk(false, 5, 50), with);
  REQUIRE(needs.size() == 1);
  CHECK(needs[0].bytes == 15 * kGiB);  // down to disk_low
  CHECK(needs[0].why.find("/var/lib/docker is, is 95 % full") != std::string::npos);
  CHECK(needs_of(image_disk(true, 5, 50), with).empty());  // that is the state directory's need
  with.image_budget = Share{40_GiB, 0};
  for (const bool shared : {false, true}) {
    needs = needs_of(image_disk(shared, 50, 50), with);
    REQUIRE(needs.size() == 1);
    CHECK(needs[0].why.find("image_budget is 40 GiB") != std::string::npos);
    CHECK(needs[0].bytes > 13 * kGiB);
    CHECK(needs[0].bytes < 15 * kGiB);
  }
  with.image_budget = Share{ByteSize(), 60};
  CHECK(needs_of(image_disk(false, 50, 50), with).empty());
  // Where the engine's disk is not this machine's, only a size can be kept to.
  ImageDisk unknown;
  unknown.state.kept = 50 * kGiB;
  CHECK(needs_of(unknown, with).empty());
  with.image_budget = Share{40_GiB, 0};
  CHECK(needs_of(unknown, with).size() == 1);
}
