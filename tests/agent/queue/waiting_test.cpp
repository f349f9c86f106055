#include "agent/queue/waiting.hpp"

#include <doctest/doctest.h>

#include "agent/queue/queue.hpp"
#include "tests/agent/model/ids.hpp"

using namespace berth;
using namespace berth::queue;
using namespace std::chrono_literals;
using model::Resources;

namespace {

const Steady kStart = Steady{} + 1000h;

Entry job(Sequence sequence, Resources resources) {
  return {.sequence = sequence, .resources = resources, .ready = true};
}

std::string words(const Queue& queue, Sequence sequence, Steady now = kStart) {
  return to_words(queue.why(sequence, now), [](Sequence number) { return "job-" + std::to_string(number.value()); });
}

constexpr Resources kOneCpu{1000, ByteSize(0), 0, 1};

}  // namespace

TEST_CASE("a waiting job tells what it waits for, who has it, and how many are ahead") {
  Queue queue({2000, 8_GiB, 0, 64});
  for (const auto i : {1_job, 2_job}) {
    queue.add(job(i, kOneCpu));
    queue.start(i, kStart);
  }
  for (const auto i : {3_job, 4_job, 5_job, 6_job}) queue.add(job(i, kOneCpu));
  CHECK(words(queue, 3_job) == "waits for 1 CPU: 2 of 2 are in use by job-1 and job-2");
  CHECK(words(queue, 4_job) == "waits for 1 CPU: 2 of 2 are in use by job-1 and job-2; 1 job is ahead");
  CHECK(words(queue, 6_job) == "waits for 1 CPU: 2 of 2 are in use by job-1 and job-2; 3 jobs are ahead");
  CHECK(words(queue, 1_job) == "does not wait");
}

TEST_CASE("only the largest users are named") {
  Queue queue({0, 8_GiB, 0, 64});
  for (const auto i : {1_job, 2_job, 3_job, 4_job, 5_job}) {
    queue.add(job(i, {0, ByteSize(static_cast<std::uint64_t>(i.value()) << 28), 0, 1}));
    queue.start(i, kStart);
  }
  queue.add(job(6_job, {0, 5_GiB, 0, 1}));
  CHECK(words(queue, 6_job) ==
        "waits for 5.0 GiB of memory: 3.8 GiB of 8.0 GiB are in use by job-5, job-4, job-3 and 2 others");
}

TEST_CASE("holds, preparation, drain, size and turn have words of their own") {
  Queue queue({1000, ByteSize(0), 0, 1});
  queue.add(job(1_job, kOneCpu));
  auto entry = job(2_job, kOneCpu);
  entry.held = true;
  queue.add(entry);
  entry = job(3_job, kOneCpu);
  entry.ready = false;
  queue.add(entry);
  queue.add(job(4_job, {1000, ByteSize(0), 1, 1}));
  CHECK(words(queue, 1_job) == "starts next");
  CHECK(words(queue, 2_job) == "held by its owner: berth release job-2");
  CHECK(words(queue, 3_job) == "is being prepared; 1 job is ahead");
  CHECK(words(queue, 4_job) == "asks for 1 GPU, this node has none");
  queue.add(job(5_job, kOneCpu));
  CHECK(words(queue, 5_job) == "is number 4 in the queue");
  queue.set_drained(true);
  CHECK(words(queue, 1_job) == "the node is drained: berth resume");
}

TEST_CASE("a job that would fit tells for whom the room is kept") {
  Queue queue({2000, ByteSize(0), 0, 64}, 5min);
  queue.add(job(1_job, kOneCpu));
  queue.start(1_job, kStart);
  queue.add(job(2_job, {2000, ByteSize(0), 0, 1}));
  queue.add(job(3_job, kOneCpu));
  queue.add(job(4_job, {0, ByteSize(0), 0, 1}));
  REQUIRE(queue.next(kStart) == 3_job);
  CHECK(words(queue, 3_job) == "is number 2 in the queue");
  CHECK(words(queue, 3_job, kStart + 7min) ==
        "1 CPU, 1 slot are free but reserved for job-2, which has waited 7 minutes for 2 CPUs; 1 job is ahead");
  CHECK(words(queue, 4_job, kStart + 7min) == "is number 3 in the queue");  // it takes nothing from job 2
}

TEST_CASE("what can never fit is refused in words") {
  const Resources node{4000, 8_GiB, 0, 4};
  CHECK_FALSE(never_fits(node, node));
  CHECK(never_fits({1000, ByteSize(0), 1, 1}, node) == "asks for 1 GPU, this node has none");
  CHECK(never_fits({8000, ByteSize(0), 0, 1}, node) == "asks for 8 CPUs, this node has 4 CPUs");
  CHECK(never_fits({1000, 16_GiB, 0, 1}, node) == "asks for 16 GiB of memory, this node has 8.0 GiB of memory");
  CHECK(never_fits({1000, 1_GiB, 0, 5}, node) == "asks for 5 slots, this node has 4 slots");
}
