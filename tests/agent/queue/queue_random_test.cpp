// The queue against the naive one, over random histories: the same decisions at every step, and what must
// always hold.

#include <doctest/doctest.h>

#include <cstdlib>
#include <random>

#include "tests/agent/queue/naive_queue.hpp"

#include "tests/agent/model/ids.hpp"

using namespace berth;
using namespace berth::queue;
using namespace std::chrono_literals;

namespace {

class History {
 public:
  explicit History(std::uint64_t seed)
      : random_(seed),
        capacity_(any_capacity()),
        patience_(std::chrono::seconds(any(0, 20))),
        queue_(capacity_, patience_),
        naive_(capacity_, patience_) {
    set_devices();
  }

  void step() {
    now_ += std::chrono::milliseconds(any(0, 3000));
    change();
    schedule();
    REQUIRE(queue_.used() == naive_.used());
    REQUIRE(queue_.waiting() == naive_.waiting().size());
    if (const auto sequence = any_waiting()) REQUIRE(queue_.why(*sequence, now_).ahead == naive_.ahead(*sequence));
  }

 private:
  int any(int least, int most) { return std::uniform_int_distribution(least, most)(random_); }
  bool rarely() { return any(0, 9) == 0; }

  model::Resources any_capacity() {
    return {static_cast<std::uint32_t>(any(1, 8)) * 1000, ByteSize(static_cast<std::uint64_t>(any(0, 8))), 0,
            static_cast<std::uint16_t>(any(1, 8))};
  }

  // Some of four GPUs of which each is withheld now and then, or not there at all.
  void set_devices() {
    std::vector<Device> devices;
    for (unsigned i = 0; i < 4; ++i) {
      if (rarely()) continue;
      Device device{"GPU-" + std::to_string(i), "", ByteSize(8 + i % 2 * 4), std::nullopt};
      if (rarely()) device.withheld = "broken";
      devices.push_back(device);
    }
    queue_.set_devices(devices);
    naive_.set_devices(devices);
  }

  Entry any_entry() {
    Entry entry{.sequence = Sequence(++last_)};
    entry.resources = {static_cast<std::uint32_t>(any(0, 4)) * 1000, ByteSize(static_cast<std::uint64_t>(any(0, 4))),
                       static_cast<std::uint16_t>(std::max(0, any(0, 6) - 3)),
                       static_cast<std::uint16_t>(rarely() ? 2 : 1)};
    if (entry.resources.gpus > 0 && any(0, 1) == 0)
      entry.resources.gpu_memory = ByteSize(static_cast<std::uint64_t>(any(1, 13)));
    entry.priority = any(-1, 1);
    entry.held = rarely();
    entry.ready = !rarely();
    if (any(0, 1) == 0) entry.limit = std::chrono::seconds(any(1, 15));
    return entry;
  }

  std::optional<Sequence> any_waiting() {
    if (naive_.waiting().empty()) return std::nullopt;
    return naive_.waiting()[static_cast<std::size_t>(any(0, static_cast<int>(naive_.waiting().size()) - 1))]
        .entry.sequence;
  }

  void add(const Entry& entry) {
    queue_.add(entry);
    naive_.add(entry);
  }

  void finish_any() {
    if (naive_.running().empty()) return;
    const auto runner =
        naive_.running()[static_cast<std::size_t>(any(0, static_cast<int>(naive_.running().size()) - 1))];
    REQUIRE(queue_.finish(runner.entry.sequence));
    naive_.finish(runner.entry.sequence);
    if (rarely()) add(runner.entry);  // started again, in its old place
  }

  void change() {
    const auto some = any_waiting();
    switch (any(0, 12)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return add(any_entry());
      case 4:
        if (some) {
          const int priority = any(-1, 1);
          queue_.set_priority(*some, priority);
          naive_.set_priority(*some, priority);
        }
        return;
      case 5:
        if (some) {
          const bool held = rarely();
          queue_.set_held(*some, held);
          naive_.set_held(*some, held);
        }
        return;
      case 6:
        if (some) {
          const bool ready = !rarely();
          queue_.set_ready(*some, ready);
          naive_.set_ready(*some, ready);
        }
        return;
      case 7:
        if (some && rarely()) {
          REQUIRE(queue_.remove(*some));
          naive_.remove(*some);
        }
        return;
      case 8:
        if (rarely()) set_devices();
        return;
      case 9:
        drained_ = rarely() && rarely();
        queue_.set_drained(drained_);
        naive_.set_drained(drained_);
        return;
      default:
        return finish_any();
    }
  }

  void schedule() {
    while (true) {
      const auto chosen = queue_.next(now_);
      REQUIRE(chosen == naive_.next(now_));
      REQUIRE(queue_.next(now_) == chosen);
      if (!chosen) return;
      check_choice(*chosen);
      const auto head = firm_head();
      const auto promised = head ? naive_.start_of(head->entry.resources, now_) : std::nullopt;
      const auto devices = queue_.start(*chosen, now_);
      REQUIRE(devices == naive_.start(*chosen, now_));
      REQUIRE(devices == queue_.devices_of(*chosen));
      check_devices();
      // Nobody who passes a firm head makes it start later.
      if (promised) REQUIRE(naive_.start_of(head->entry.resources, now_) <= promised);
    }
  }

  void check_choice(Sequence chosen) {
    REQUIRE_FALSE(drained_);
    for (const auto& waiter : naive_.waiting()) {
      if (waiter.entry.sequence != chosen) continue;
      REQUIRE(waiter.entry.ready);
      REQUIRE_FALSE(waiter.entry.held);
      REQUIRE(naive_.fits_now(waiter.entry.resources));
    }
  }

  // Nobody beside a job that has its GPU alone, and never more declared than there is.
  void check_devices() {
    for (const auto& use : queue_.devices()) {
      REQUIRE(use.alone + (use.sharing > 0 ? 1 : 0) <= 1);
      REQUIRE(use.declared <= use.device.memory);
      REQUIRE(queue_.holders_of(use.device.uuid).size() == static_cast<std::size_t>(use.alone + use.sharing));
    }
  }

  // The first that may start but for its size, when it does not fit and has waited longer than patience. The
  // naive queue keeps its list sorted.
  std::optional<NaiveQueue::Waiter> firm_head() const {
    for (const auto& waiter : naive_.waiting()) {
      const auto& entry = waiter.entry;
      if (!entry.ready || entry.held || !naive_.fits_idle(entry.resources)) continue;
      if (naive_.fits_now(entry.resources)) return std::nullopt;
      if (waiter.blocked && now_ - *waiter.blocked > patience_) return waiter;
      return std::nullopt;
    }
    return std::nullopt;
  }

  std::mt19937_64 random_;
  model::Resources capacity_;
  std::chrono::milliseconds patience_;
  Queue queue_;
  NaiveQueue naive_;
  Steady now_ = Steady{} + 1000h;
  std::int64_t last_ = 0;
  bool drained_ = false;
};

// BERTH_TEST_ROUNDS asks for a longer run.
int rounds() {
  const char* text = std::getenv("BERTH_TEST_ROUNDS");
  return text != nullptr ? std::atoi(text) : 40;
}

}  // namespace

TEST_CASE("the queue decides as the naive one does") {
  for (int seed = 1; seed <= rounds(); ++seed) {
    CAPTURE(seed);
    History history(static_cast<std::uint64_t>(seed));
    for (int i = 0; i < 1000; ++i) history.step();
  }
}

TEST_CASE("a firm head is never starved by an endless stream of small jobs") {
  constexpr model::Resources kNode{4000, ByteSize(0), 0, 64};
  Queue queue(kNode, 1min);
  const auto ready = [](Sequence sequence, unsigned cpus) {
    return Entry{.sequence = sequence, .resources = {cpus * 1000, ByteSize(0), 0, 1}, .ready = true};
  };
  std::mt19937_64 random(5);
  Steady now = Steady{} + 1000h;
  std::vector<Sequence> running;
  queue.add(ready(1_job, 1));
  queue.start(*queue.next(now), now);
  running.push_back(1_job);
  queue.add(ready(2_job, 4));  // needs the whole node
  bool started = false;
  for (int i = 3; i < 1000 && !started; ++i) {
    now += 1s;
    queue.add(ready(Sequence(i), 1));
    while (const auto chosen = queue.next(now)) {
      queue.start(*chosen, now);
      running.push_back(*chosen);
      started = started || *chosen == 2_job;
    }
    if (running.empty()) continue;
    const auto index = static_cast<std::ptrdiff_t>(random() % running.size());
    queue.finish(running[static_cast<std::size_t>(index)]);
    running.erase(running.begin() + index);
  }
  CHECK(started);
  CHECK(now - (Steady{} + 1000h) < 2min);
}
