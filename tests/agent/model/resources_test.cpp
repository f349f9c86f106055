#include "agent/model/resources.hpp"

#include <doctest/doctest.h>

#include <limits>

using namespace berth;
using model::Resources;

TEST_CASE("a request fits when no amount is larger than what there is") {
  const Resources node{4000, 8_GiB, 1, 2};
  CHECK(fits({4000, 8_GiB, 1, 2}, node));
  CHECK(fits({}, node));
  CHECK_FALSE(fits({4001, ByteSize(0), 0, 1}, node));
  CHECK_FALSE(fits({0, ByteSize((8ULL << 30) + 1), 0, 1}, node));
  CHECK_FALSE(fits({0, ByteSize(0), 2, 1}, node));
  CHECK_FALSE(fits({0, ByteSize(0), 0, 3}, node));
}

TEST_CASE("adding and taking away stop at the ends of the range") {
  const Resources most{std::numeric_limits<std::uint32_t>::max(), ByteSize(~0ULL), 65535, 65535};
  CHECK(most + Resources{1, ByteSize(1), 1, 1} == most);
  CHECK(Resources{} - most == Resources{});
  CHECK(Resources{3000, 2_GiB, 2, 2} - Resources{1000, 1_GiB, 1, 1} == Resources{2000, 1_GiB, 1, 1});
}

TEST_CASE("resources in words leave out what is zero") {
  CHECK(to_words(Resources{2000, 4_GiB, 1, 0}) == "2 CPUs, 4.0 GiB of memory, 1 GPU");
  CHECK(to_words(Resources{1000, ByteSize(0), 0, 1}) == "1 CPU, 1 slot");
  CHECK(to_words(Resources{1500, ByteSize(0), 2, 2}) == "1.5 CPUs, 2 GPUs, 2 slots");
  CHECK(to_words(Resources{250, ByteSize(0), 0, 0}) == "0.25 CPUs");
  CHECK(to_words(Resources{50, ByteSize(0), 0, 0}) == "0.05 CPUs");
  CHECK(to_words(Resources{.gpus = 1, .gpu_memory = 20_GiB}) == "20 GiB of 1 GPU");
  CHECK(to_words(Resources{.gpus = 2, .gpu_memory = 20_GiB}) == "20 GiB each of 2 GPUs");
  CHECK(to_words(Resources{}) == "nothing");
}
