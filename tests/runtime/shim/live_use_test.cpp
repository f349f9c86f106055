#include "runtime/shim/live_use.hpp"

#include <doctest/doctest.h>
#include <signal.h>

#include "tests/runtime/shim/shim_job.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace berth::shim::test;

namespace {

// Burns CPU in a child that ends, then waits with another process of its own.
const char* const kScript = "sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'; sleep 1000 & echo ready; wait";

void check_use(ShimJob& job) {
  job.start();
  job.await_log("ready");
  const auto use = shim::LiveUseReader().of(job.directory);
  REQUIRE(use);
  CHECK(use->cpu > std::chrono::milliseconds(10));
  CHECK(use->cpu < std::chrono::minutes(1));
  CHECK(use->processes == 2);
  CHECK(use->memory > (100U << 10));
  CHECK(use->peak_memory >= use->memory);
  CHECK(!use->memory_limit);
  shim::request_stop(job.directory, {.signal = SIGKILL, .reason = "canceled"});
  job.await_shim();
  CHECK(!shim::LiveUseReader().of(job.directory));
}

}  // namespace

TEST_CASE("what a running job uses is told from its group") {
  SKIP_UNLESS(cgroup_base(), kGroups);
  ShimJob job(shell(kScript));
  job.use_cgroup();
  check_use(job);
}

TEST_CASE("what a running job uses is told without a group, ended children included") {
  ShimJob job(shell(kScript));
  check_use(job);
}

TEST_CASE("a launch that has not started uses nothing") {
  ShimJob job(shell("true"));
  CHECK(!shim::LiveUseReader().of(job.directory));
}
