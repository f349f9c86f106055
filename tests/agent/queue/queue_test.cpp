#include "agent/queue/queue.hpp"

#include <doctest/doctest.h>

#include <malloc.h>

#include <string>

using namespace berth;
using namespace berth::queue;
using namespace std::chrono_literals;
using model::Resources;

namespace {

const Steady kStart = Steady{} + 1000h;

Resources cpus(unsigned count, unsigned slots = 1) {
  return {count * 1000, ByteSize(0), 0, static_cast<std::uint16_t>(slots)};
}

Entry job(Sequence sequence, Resources resources = cpus(1), int priority = 0) {
  return {.sequence = sequence, .resources = resources, .priority = priority, .ready = true};
}

Entry limited(Sequence sequence, std::chrono::milliseconds limit, Resources resources = cpus(1)) {
  auto entry = job(sequence, resources);
  entry.limit = limit;
  return entry;
}

// Starts all that may start, in order.
std::vector<Sequence> start_all(Queue& queue, Steady now = kStart) {
  std::vector<Sequence> started;
  while (const auto sequence = queue.next(now)) {
    queue.start(*sequence, now);
    started.push_back(*sequence);
  }
  return started;
}

using Started = std::vector<Sequence>;

}  // namespace

TEST_CASE("jobs start in the order of submission, as many as fit") {
  Queue queue(cpus(2, 2));
  CHECK_FALSE(queue.next(kStart));
  for (Sequence i = 1; i <= 4; ++i) queue.add(job(i));
  CHECK(start_all(queue) == Started{1, 2});
  CHECK(queue.used() == cpus(2, 2));
  CHECK(queue.finish(1));
  CHECK_FALSE(queue.finish(1));
  CHECK(start_all(queue) == Started{3});
  CHECK(queue.waiting() == 1);
  CHECK(queue.running() == 2);
}

TEST_CASE("a higher priority goes first, and may be changed while a job waits") {
  Queue queue(cpus(1));
  queue.add(job(1));
  queue.add(job(2, cpus(1), 5));
  queue.add(job(3));
  queue.set_priority(3, 10);
  CHECK(queue.next(kStart) == 3);
  queue.set_priority(3, -1);
  CHECK(queue.next(kStart) == 2);
}

TEST_CASE("jobs that are held or not ready are passed over and keep their place") {
  Queue queue(cpus(1));
  queue.add(job(1));
  queue.add(job(2));
  queue.set_held(1, true);
  CHECK(queue.next(kStart) == 2);
  queue.set_ready(2, false);
  CHECK_FALSE(queue.next(kStart));
  queue.set_held(1, false);
  CHECK(queue.next(kStart) == 1);
  CHECK(queue.remove(1));
  CHECK_FALSE(queue.remove(1));
  queue.set_ready(2, true);
  CHECK(queue.next(kStart) == 2);
}

TEST_CASE("a drained node starts nothing") {
  Queue queue(cpus(1));
  queue.add(job(1));
  queue.set_drained(true);
  CHECK_FALSE(queue.next(kStart));
  queue.set_drained(false);
  CHECK(queue.next(kStart) == 1);
}

TEST_CASE("a job that asks for more than the node has blocks nobody") {
  Queue queue(cpus(2, 8), 0ms);
  queue.add(job(1));
  queue.start(1, kStart);
  queue.add(job(2, cpus(3)));
  queue.add(job(3));
  CHECK(queue.next(kStart) == 3);
  CHECK(queue.next(kStart + 1h) == 3);
}

TEST_CASE("small jobs pass a large one until its patience is over") {
  Queue queue(cpus(2, 8), 5min);
  for (Sequence i = 1; i <= 2; ++i) queue.add(job(i));
  start_all(queue);
  queue.add(job(3, cpus(2)));
  queue.add(job(4));
  queue.add(job(5));
  CHECK_FALSE(queue.next(kStart));
  queue.finish(1);
  CHECK(queue.next(kStart + 5min) == 4);
  CHECK_FALSE(queue.next(kStart + 5min + 1ms));
  queue.finish(2);
  CHECK(start_all(queue, kStart + 6min) == Started{3});
}

TEST_CASE("patience counts from when the head was first blocked, also if another was the head in between") {
  Queue queue(cpus(2, 8), 5min);
  queue.add(job(1));
  start_all(queue);
  queue.add(job(2, cpus(2)));
  CHECK_FALSE(queue.next(kStart));
  queue.add(job(3, cpus(2), 1));
  CHECK_FALSE(queue.next(kStart + 3min));
  queue.remove(3);
  queue.add(job(4));
  CHECK(queue.next(kStart + 4min) == 4);
  CHECK_FALSE(queue.next(kStart + 6min));
}

TEST_CASE("holding the head gives its reservation up") {
  Queue queue(cpus(2, 8), 1min);
  queue.add(job(1));
  start_all(queue);
  queue.add(job(2, cpus(2)));
  queue.add(job(3));
  queue.next(kStart);
  CHECK_FALSE(queue.next(kStart + 2min));
  queue.set_held(2, true);
  CHECK(queue.next(kStart + 2min) == 3);
  queue.set_held(2, false);
  CHECK(queue.next(kStart + 2min) == 3);
}

TEST_CASE("a job that ends before the head can start passes a firm reservation") {
  Queue queue(cpus(2, 8), 0ms);
  queue.add(limited(1, 60min));
  start_all(queue);
  queue.add(job(2, cpus(2)));
  queue.add(job(3));
  queue.add(limited(4, 50min));
  queue.add(limited(5, 30min));
  queue.next(kStart);
  CHECK(queue.next(kStart + 10min) == 4);
  CHECK(queue.next(kStart + 11min) == 5);
  CHECK_FALSE(queue.next(kStart + 31min));
  CHECK_FALSE(queue.next(kStart + 2h));  // job 1 is late: the head may start any moment
}

TEST_CASE("when the head can start is unknown while a job without limit holds what it needs") {
  Queue queue(cpus(3, 8), 0ms);
  queue.add(limited(1, 60min));
  queue.add(job(2));
  start_all(queue);
  queue.add(job(3, cpus(3)));
  queue.add(limited(4, 1min));
  queue.next(kStart);
  CHECK_FALSE(queue.next(kStart + 1s));
  queue.finish(2);
  CHECK(queue.next(kStart + 1s) == 4);
}

TEST_CASE("a job that needs nothing the head is short of passes a firm reservation") {
  const Resources node{4000, 8_GiB, 1, 8};
  Queue queue(node, 0ms);
  queue.set_devices({{"GPU-a", "", 80_GiB, std::nullopt}});
  queue.add(job(1, {1000, ByteSize(0), 1, 1}));
  start_all(queue);
  queue.add(job(2, {1000, 4_GiB, 1, 1}));        // waits for the GPU
  queue.add(job(3, {3000, ByteSize(0), 0, 1}));  // would leave it no CPU
  queue.add(job(4, {0, 6_GiB, 0, 1}));           // would leave it too little memory
  queue.add(job(5, {2000, 4_GiB, 0, 1}));
  queue.next(kStart);
  CHECK(start_all(queue, kStart + 1s) == Started{5});
  queue.finish(1);
  CHECK(start_all(queue, kStart + 2s) == Started{2});
}

TEST_CASE("after a restart running jobs are taken over even where they do not fit any more") {
  Queue queue(cpus(1));
  for (Sequence i = 1; i <= 2; ++i) {
    queue.add(job(i, cpus(2)));
    queue.start(i, kStart);
  }
  queue.add(job(3));
  CHECK_FALSE(queue.next(kStart));
  queue.finish(1);
  CHECK_FALSE(queue.next(kStart));
  queue.finish(2);
  CHECK(queue.next(kStart) == 3);
}

TEST_CASE("a hundred thousand waiting jobs are small, and do not slow a step") {
  constexpr Sequence kJobs = 100'000;
  Queue queue(cpus(1), 5min);
  queue.add(job(1));
  start_all(queue);
  const auto before = ::mallinfo2().uordblks;
  for (Sequence i = 2; i <= kJobs + 1; ++i) queue.add(limited(i, std::chrono::seconds(i % 10 + 1)));
  const auto bytes = (::mallinfo2().uordblks - before) / kJobs;
  const auto begin = std::chrono::steady_clock::now();
  for (Sequence i = 1; i <= 1000; ++i) {
    REQUIRE(queue.finish(i));
    REQUIRE(queue.next(kStart) == i + 1);
    queue.start(i + 1, kStart);
    REQUIRE_FALSE(queue.next(kStart));
    REQUIRE(queue.why(i + kJobs / 2, kStart).ahead == kJobs / 2 - 2);
  }
  const auto step = (std::chrono::steady_clock::now() - begin) / 1000;
  MESSAGE(bytes << " bytes a waiting job, " << step / 1ns << " ns a step");
  CHECK(bytes < 512);
  CHECK(step < 1ms);
}

TEST_CASE("the waiting jobs are listed in their order, held ones last, as many as asked for") {
  Queue queue(cpus(1));
  for (Sequence i = 1; i <= 5; ++i) queue.add(job(i));
  queue.set_priority(4, 10);
  queue.set_held(1, true);
  queue.set_held(5, true);
  queue.set_priority(5, 3);
  queue.set_ready(2, false);
  CHECK(queue.first_waiting(10) == Started{4, 2, 3, 5, 1});
  CHECK(queue.first_waiting(4) == Started{4, 2, 3, 5});
  CHECK(queue.first_waiting(2) == Started{4, 2});
  CHECK(queue.first_waiting(0).empty());
  queue.start(4, kStart);
  CHECK(queue.first_waiting(10) == Started{2, 3, 5, 1});
}

TEST_CASE("what has come to be more than the node has is passed over and says so, until the node has as much again") {
  Queue queue(cpus(4, 4));
  queue.add(job(1, cpus(2)));
  CHECK(start_all(queue) == Started{1});
  queue.add(job(2, cpus(4)));
  queue.add(job(3, cpus(2)));
  auto unready = job(4, cpus(3));
  unready.ready = false;
  queue.add(unready);
  queue.set_held(4, true);
  CHECK(queue.too_big() == 0);

  queue.set_capacity(cpus(2, 4), 0ms);  // a reservation would be firm at once
  CHECK(queue.is_running(1));
  CHECK(queue.too_big() == 2);
  CHECK(queue.why(2, kStart).reason == Waiting::Reason::too_big);
  CHECK(queue.why(3, kStart).reason == Waiting::Reason::resources);
  CHECK(start_all(queue).empty());
  queue.finish(1);
  CHECK(start_all(queue, kStart + 1h) == Started{3});
  queue.finish(3);

  queue.set_capacity(cpus(4, 4), 0ms);
  CHECK(queue.too_big() == 0);
  CHECK(start_all(queue) == Started{2});
}
