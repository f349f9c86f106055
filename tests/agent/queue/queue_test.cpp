#include "agent/queue/queue.hpp"

#include <doctest/doctest.h>

#include <malloc.h>

#include <string>

#include "tests/agent/model/ids.hpp"

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
  for (int i = 1; i <= 4; ++i) queue.add(job(Sequence(i)));
  CHECK(start_all(queue) == Started{1_job, 2_job});
  CHECK(queue.used() == cpus(2, 2));
  CHECK(queue.finish(1_job));
  CHECK_FALSE(queue.finish(1_job));
  CHECK(start_all(queue) == Started{3_job});
  CHECK(queue.waiting() == 1);
  CHECK(queue.running() == 2);
}

TEST_CASE("a higher priority goes first, and may be changed while a job waits") {
  Queue queue(cpus(1));
  queue.add(job(1_job));
  queue.add(job(2_job, cpus(1), 5));
  queue.add(job(3_job));
  queue.set_priority(3_job, 10);
  CHECK(queue.next(kStart) == 3_job);
  queue.set_priority(3_job, -1);
  CHECK(queue.next(kStart) == 2_job);
}

TEST_CASE("jobs that are held or not ready are passed over and keep their place") {
  Queue queue(cpus(1));
  queue.add(job(1_job));
  queue.add(job(2_job));
  queue.set_held(1_job, true);
  CHECK(queue.next(kStart) == 2_job);
  queue.set_ready(2_job, false);
  CHECK_FALSE(queue.next(kStart));
  queue.set_held(1_job, false);
  CHECK(queue.next(kStart) == 1_job);
  CHECK(queue.remove(1_job));
  CHECK_FALSE(queue.remove(1_job));
  queue.set_ready(2_job, true);
  CHECK(queue.next(kStart) == 2_job);
}

TEST_CASE("a drained node starts nothing") {
  Queue queue(cpus(1));
  queue.add(job(1_job));
  queue.set_drained(true);
  CHECK_FALSE(queue.next(kStart));
  queue.set_drained(false);
  CHECK(queue.next(kStart) == 1_job);
}

TEST_CASE("a job that asks for more than the node has blocks nobody") {
  Queue queue(cpus(2, 8), 0ms);
  queue.add(job(1_job));
  queue.start(1_job, kStart);
  queue.add(job(2_job, cpus(3)));
  queue.add(job(3_job));
  CHECK(queue.next(kStart) == 3_job);
  CHECK(queue.next(kStart + 1h) == 3_job);
}

TEST_CASE("small jobs pass a large one until its patience is over") {
  Queue queue(cpus(2, 8), 5min);
  for (int i = 1; i <= 2; ++i) queue.add(job(Sequence(i)));
  start_all(queue);
  queue.add(job(3_job, cpus(2)));
  queue.add(job(4_job));
  queue.add(job(5_job));
  CHECK_FALSE(queue.next(kStart));
  queue.finish(1_job);
  CHECK(queue.next(kStart + 5min) == 4_job);
  CHECK_FALSE(queue.next(kStart + 5min + 1ms));
  queue.finish(2_job);
  CHECK(start_all(queue, kStart + 6min) == Started{3_job});
}

TEST_CASE("patience counts from when the head was first blocked, also if another was the head in between") {
  Queue queue(cpus(2, 8), 5min);
  queue.add(job(1_job));
  start_all(queue);
  queue.add(job(2_job, cpus(2)));
  CHECK_FALSE(queue.next(kStart));
  queue.add(job(3_job, cpus(2), 1));
  CHECK_FALSE(queue.next(kStart + 3min));
  queue.remove(3_job);
  queue.add(job(4_job));
  CHECK(queue.next(kStart + 4min) == 4_job);
  CHECK_FALSE(queue.next(kStart + 6min));
}

TEST_CASE("holding the head gives its reservation up") {
  Queue queue(cpus(2, 8), 1min);
  queue.add(job(1_job));
  start_all(queue);
  queue.add(job(2_job, cpus(2)));
  queue.add(job(3_job));
  queue.next(kStart);
  CHECK_FALSE(queue.next(kStart + 2min));
  queue.set_held(2_job, true);
  CHECK(queue.next(kStart + 2min) == 3_job);
  queue.set_held(2_job, false);
  CHECK(queue.next(kStart + 2min) == 3_job);
}

TEST_CASE("a job that ends before the head can start passes a firm reservation") {
  Queue queue(cpus(2, 8), 0ms);
  queue.add(limited(1_job, 60min));
  start_all(queue);
  queue.add(job(2_job, cpus(2)));
  queue.add(job(3_job));
  queue.add(limited(4_job, 50min));
  queue.add(limited(5_job, 30min));
  queue.next(kStart);
  CHECK(queue.next(kStart + 10min) == 4_job);
  CHECK(queue.next(kStart + 11min) == 5_job);
  CHECK_FALSE(queue.next(kStart + 31min));
  CHECK_FALSE(queue.next(kStart + 2h));  // job 1 is late: the head may start any moment
}

TEST_CASE("when the head can start is unknown while a job without limit holds what it needs") {
  Queue queue(cpus(3, 8), 0ms);
  queue.add(limited(1_job, 60min));
  queue.add(job(2_job));
  start_all(queue);
  queue.add(job(3_job, cpus(3)));
  queue.add(limited(4_job, 1min));
  queue.next(kStart);
  CHECK_FALSE(queue.next(kStart + 1s));
  queue.finish(2_job);
  CHECK(queue.next(kStart + 1s) == 4_job);
}

TEST_CASE("a job that needs nothing the head is short of passes a firm reservation") {
  const Resources node{4000, 8_GiB, 1, 8};
  Queue queue(node, 0ms);
  queue.set_devices({{"GPU-a", "", 80_GiB, std::nullopt}});
  queue.add(job(1_job, {1000, ByteSize(0), 1, 1}));
  start_all(queue);
  queue.add(job(2_job, {1000, 4_GiB, 1, 1}));        // waits for the GPU
  queue.add(job(3_job, {3000, ByteSize(0), 0, 1}));  // would leave it no CPU
  queue.add(job(4_job, {0, 6_GiB, 0, 1}));           // would leave it too little memory
  queue.add(job(5_job, {2000, 4_GiB, 0, 1}));
  queue.next(kStart);
  CHECK(start_all(queue, kStart + 1s) == Started{5_job});
  queue.finish(1_job);
  CHECK(start_all(queue, kStart + 2s) == Started{2_job});
}

TEST_CASE("after a restart running jobs are taken over even where they do not fit any more") {
  Queue queue(cpus(1));
  for (const auto i : {1_job, 2_job}) {
    queue.add(job(i, cpus(2)));
    queue.start(i, kStart);
  }
  queue.add(job(3_job));
  CHECK_FALSE(queue.next(kStart));
  queue.finish(1_job);
  CHECK_FALSE(queue.next(kStart));
  queue.finish(2_job);
  CHECK(queue.next(kStart) == 3_job);
}

TEST_CASE("a hundred thousand waiting jobs are small, and do not slow a step") {
  constexpr int kJobs = 100'000;
  Queue queue(cpus(1), 5min);
  queue.add(job(1_job));
  start_all(queue);
  const auto before = ::mallinfo2().uordblks;
  for (int i = 2; i <= kJobs + 1; ++i) queue.add(limited(Sequence(i), std::chrono::seconds(i % 10 + 1)));
  const auto bytes = (::mallinfo2().uordblks - before) / kJobs;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 1; i <= 1000; ++i) {
    REQUIRE(queue.finish(Sequence(i)));
    REQUIRE(queue.next(kStart) == Sequence(i + 1));
    queue.start(Sequence(i + 1), kStart);
    REQUIRE_FALSE(queue.next(kStart));
    REQUIRE(queue.why(Sequence(i + kJobs / 2), kStart).ahead == kJobs / 2 - 2);
  }
  const auto step = (std::chrono::steady_clock::now() - begin) / 1000;
  MESSAGE(bytes << " bytes a waiting job, " << step / 1ns << " ns a step");
  CHECK(bytes < 512);
  CHECK(step < 1ms);
}

TEST_CASE("the waiting jobs are listed in their order, held ones last, as many as asked for") {
  Queue queue(cpus(1));
  for (int i = 1; i <= 5; ++i) queue.add(job(Sequence(i)));
  queue.set_priority(4_job, 10);
  queue.set_held(1_job, true);
  queue.set_held(5_job, true);
  queue.set_priority(5_job, 3);
  queue.set_ready(2_job, false);
  CHECK(queue.first_waiting(10) == Started{4_job, 2_job, 3_job, 5_job, 1_job});
  CHECK(queue.first_waiting(4) == Started{4_job, 2_job, 3_job, 5_job});
  CHECK(queue.first_waiting(2) == Started{4_job, 2_job});
  CHECK(queue.first_waiting(0).empty());
  queue.start(4_job, kStart);
  CHECK(queue.first_waiting(10) == Started{2_job, 3_job, 5_job, 1_job});
}

TEST_CASE("what has come to be more than the node has is passed over and says so, until the node has as much again") {
  Queue queue(cpus(4, 4));
  queue.add(job(1_job, cpus(2)));
  CHECK(start_all(queue) == Started{1_job});
  queue.add(job(2_job, cpus(4)));
  queue.add(job(3_job, cpus(2)));
  auto unready = job(4_job, cpus(3));
  unready.ready = false;
  queue.add(unready);
  queue.set_held(4_job, true);
  CHECK(queue.too_big() == 0);

  queue.set_capacity(cpus(2, 4), 0ms);  // a reservation would be firm at once
  CHECK(queue.is_running(1_job));
  CHECK(queue.too_big() == 2);
  CHECK(queue.why(2_job, kStart).reason == Waiting::Reason::too_big);
  CHECK(queue.why(3_job, kStart).reason == Waiting::Reason::resources);
  CHECK(start_all(queue).empty());
  queue.finish(1_job);
  CHECK(start_all(queue, kStart + 1h) == Started{3_job});
  queue.finish(3_job);

  queue.set_capacity(cpus(4, 4), 0ms);
  CHECK(queue.too_big() == 0);
  CHECK(start_all(queue) == Started{2_job});
}
