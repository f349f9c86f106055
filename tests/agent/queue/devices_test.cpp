#include "agent/queue/devices.hpp"

#include <doctest/doctest.h>

#include "agent/queue/queue.hpp"
#include "tests/agent/model/ids.hpp"

using namespace berth;
using namespace berth::queue;
using namespace std::chrono_literals;
using model::Resources;

namespace {

const Steady kStart = Steady{} + 1000h;

Device device(unsigned number, ByteSize memory = 80_GiB) {
  return {"GPU-" + std::to_string(number), "GPU " + std::to_string(number), memory, std::nullopt};
}

Device withheld(unsigned number, std::string why) {
  auto result = device(number);
  result.withheld = std::move(why);
  return result;
}

std::vector<Device> devices(unsigned count) {
  std::vector<Device> result;
  for (unsigned i = 0; i < count; ++i) result.push_back(device(i));
  return result;
}

Resources gpus(std::uint16_t count, ByteSize each = {}) { return {.gpus = count, .slots = 1, .gpu_memory = each}; }

Entry job(Sequence sequence, Resources resources) {
  return {.sequence = sequence, .resources = resources, .ready = true};
}

Queue node(std::vector<Device> devices) {
  Queue queue({8000, 8_GiB, 0, 64}, 0ms);
  queue.set_devices(std::move(devices));
  return queue;
}

Uuids start_next(Queue& queue, Sequence expected, Steady now = kStart) {
  REQUIRE(queue.next(now) == expected);
  return queue.start(expected, now);
}

std::string words(const Queue& queue, Sequence sequence) {
  return to_words(queue.why(sequence, kStart), [](Sequence number) { return "job-" + std::to_string(number.value()); });
}

}  // namespace

TEST_CASE("each job gets particular GPUs, and gives them back") {
  auto queue = node(devices(4));
  for (const auto i : {1_job, 2_job, 3_job}) queue.add(job(i, gpus(i == 2_job ? 2 : 1)));
  CHECK(start_next(queue, 1_job) == Uuids{"GPU-0"});
  CHECK(start_next(queue, 2_job) == Uuids{"GPU-1", "GPU-2"});
  CHECK(start_next(queue, 3_job) == Uuids{"GPU-3"});
  CHECK(queue.used().gpus == 4);
  CHECK(queue.capacity().gpus == 4);
  CHECK(queue.holders_of("GPU-2") == std::vector<Sequence>{2_job});
  queue.finish(2_job);
  CHECK(queue.devices_of(2_job).empty());
  queue.add(job(4_job, gpus(1)));
  CHECK(start_next(queue, 4_job) == Uuids{"GPU-1"});
}

TEST_CASE("jobs that declare their memory share a GPU up to what it has, the fullest that fits first") {
  auto queue = node({device(0, 80_GiB), device(1, 40_GiB)});
  queue.add(job(1_job, gpus(1, 30_GiB)));
  CHECK(start_next(queue, 1_job) == Uuids{"GPU-1"});  // the smaller one is enough
  queue.add(job(2_job, gpus(1, 20_GiB)));
  CHECK(start_next(queue, 2_job) == Uuids{"GPU-0"});  // 10 GiB are left of the other
  queue.add(job(3_job, gpus(1, 10_GiB)));
  CHECK(start_next(queue, 3_job) == Uuids{"GPU-1"});
  queue.add(job(4_job, gpus(2, 10_GiB)));
  CHECK_FALSE(queue.next(kStart));
  CHECK(queue.holders_of("GPU-1") == std::vector<Sequence>{1_job, 3_job});
  CHECK(queue.used().gpus == 2);
  queue.finish(3_job);
  CHECK(start_next(queue, 4_job) == Uuids{"GPU-1", "GPU-0"});
}

TEST_CASE("nobody shares with a job that has its GPU alone, and it does not move in with others") {
  auto queue = node(devices(2));
  queue.add(job(1_job, gpus(1)));
  queue.add(job(2_job, gpus(1, 1_GiB)));
  start_next(queue, 1_job);
  CHECK(start_next(queue, 2_job) == Uuids{"GPU-1"});
  queue.add(job(3_job, gpus(1)));
  CHECK_FALSE(queue.next(kStart));
  queue.finish(2_job);
  CHECK(start_next(queue, 3_job) == Uuids{"GPU-1"});
}

TEST_CASE("a withheld GPU is not given out, its job keeps it, and it comes back") {
  auto queue = node(devices(2));
  queue.add(job(1_job, gpus(1)));
  start_next(queue, 1_job);
  queue.set_devices({withheld(0, "fell off the bus"), device(1)});
  CHECK(queue.devices_of(1_job) == Uuids{"GPU-0"});
  queue.finish(1_job);
  queue.add(job(2_job, gpus(1)));
  CHECK(start_next(queue, 2_job) == Uuids{"GPU-1"});
  queue.add(job(3_job, gpus(1)));
  CHECK_FALSE(queue.next(kStart));
  queue.set_devices(devices(2));
  CHECK(start_next(queue, 3_job) == Uuids{"GPU-0"});
}

TEST_CASE("a GPU that vanishes and comes back still belongs to its job") {
  auto queue = node(devices(2));
  queue.add(job(1_job, gpus(2)));
  start_next(queue, 1_job);
  queue.set_devices({device(1)});
  CHECK(queue.used().gpus == 1);
  queue.set_devices(devices(2));
  CHECK(queue.used().gpus == 2);
  queue.add(job(2_job, gpus(1)));
  CHECK_FALSE(queue.next(kStart));
  queue.finish(1_job);
  CHECK(queue.used().gpus == 0);
  CHECK(start_next(queue, 2_job) == Uuids{"GPU-0"});
}

TEST_CASE("jobs found running after a restart take the GPUs that they hold") {
  auto queue = node(devices(3));
  queue.add(job(1_job, gpus(2)));
  queue.start(1_job, kStart, {"GPU-2", "GPU-gone"});
  queue.add(job(2_job, gpus(2)));
  CHECK(start_next(queue, 2_job) == Uuids{"GPU-0", "GPU-1"});
  queue.finish(1_job);
  CHECK(queue.used().gpus == 2);
}

TEST_CASE("a job that waits for a withheld GPU does not keep the others idle") {
  auto queue = node({device(0), withheld(1, "Xid 79")});
  queue.add(job(1_job, gpus(1)));
  start_next(queue, 1_job);
  queue.add(job(2_job, gpus(2)));
  queue.next(kStart);
  queue.finish(1_job);
  queue.add(job(3_job, gpus(1)));
  CHECK(start_next(queue, 3_job, kStart + 1h) == Uuids{"GPU-0"});
  CHECK(words(queue, 2_job) == "waits for 2 GPUs: of this node's 2, 1 is withheld: GPU 1 (Xid 79)");
}

TEST_CASE("a reservation over GPUs holds back only who would take them from the head") {
  auto queue = node(devices(2));
  auto first = job(1_job, gpus(1));
  first.limit = 10min;
  queue.add(first);
  start_next(queue, 1_job);
  queue.add(job(2_job, gpus(2)));  // the head
  queue.next(kStart);
  queue.add(job(3_job, gpus(1)));
  queue.add(job(4_job, gpus(1, 1_GiB)));
  CHECK_FALSE(queue.next(kStart + 1s));
  auto brief = job(5_job, gpus(1));
  brief.limit = 5min;
  queue.add(brief);
  CHECK(start_next(queue, 5_job, kStart + 1s) == Uuids{"GPU-1"});
  queue.add(job(6_job, gpus(0)));
  CHECK(queue.next(kStart + 1s) == 6_job);
}

TEST_CASE("a job may take GPUs while the head waits for something else, as long as it leaves enough") {
  auto queue = node(devices(3));
  queue.add(job(1_job, {8000, ByteSize(0), 0, 1}));
  start_next(queue, 1_job);
  queue.add(job(2_job, {1000, ByteSize(0), 2, 1}));  // waits for a CPU
  queue.next(kStart);
  queue.add(job(3_job, gpus(2)));  // would leave it one
  queue.add(job(4_job, gpus(1)));
  CHECK(start_next(queue, 4_job, kStart + 1s) == Uuids{"GPU-0"});
  CHECK_FALSE(queue.next(kStart + 1s));
  queue.finish(1_job);
  CHECK(start_next(queue, 2_job, kStart + 2s) == Uuids{"GPU-1", "GPU-2"});
}

TEST_CASE("a job that waits for GPUs tells who has them, how many are free and why others are withheld") {
  auto queue = node({device(0), device(1), withheld(2, "used by pid 4242, which is no job's"), withheld(3, "ECC")});
  queue.add(job(1_job, gpus(1)));
  start_next(queue, 1_job);
  queue.add(job(2_job, gpus(2)));
  CHECK(words(queue, 2_job) ==
        "waits for 2 GPUs: 1 of 4 are in use by job-1, 1 free, 2 are withheld: GPU 2 (used by pid 4242, which is "
        "no job's) and GPU 3 (ECC)");
  queue.set_devices(devices(2));
  CHECK(words(queue, 2_job) == "waits for 2 GPUs: 1 of 2 are in use by job-1, 1 free");
}

TEST_CASE("what no GPU of the node has room for is refused in words") {
  const auto queue = node({device(0, 24_GiB), withheld(1, "busy")});
  CHECK_FALSE(queue.never_fits(gpus(2)));
  CHECK_FALSE(queue.never_fits(gpus(1, 80_GiB)));
  CHECK(queue.never_fits(gpus(3)) == "asks for 3 GPUs, this node has 2 GPUs");
  CHECK(queue.never_fits(gpus(1, 90_GiB)) == "asks for 90 GiB of 1 GPU, the largest GPU of this node has 80 GiB");
  CHECK(queue.never_fits(gpus(2, 80_GiB)) == "asks for 80 GiB each of 2 GPUs, the largest GPU of this node has 80 GiB");
  CHECK(node({}).never_fits(gpus(1)) == "asks for 1 GPU, this node has none");
}
