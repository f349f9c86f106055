#include "agent/model/job.hpp"

#include <doctest/doctest.h>

using namespace berth::model;
using enum State;

namespace {
constexpr State kStates[] = {preparing, queued, running, finalizing, cancel_requested, completed, failed, canceled};
}

TEST_CASE("states have Azure ML's names") {
  CHECK(name(preparing) == "Preparing");
  CHECK(name(cancel_requested) == "CancelRequested");
  CHECK(name(canceled) == "Canceled");
  for (const auto state : kStates) CHECK(parse_state(name(state)) == state);
  CHECK_FALSE(parse_state("running"));
  CHECK_FALSE(parse_state(""));
}

TEST_CASE("nothing follows an end, and an end can follow every live state") {
  for (const auto from : kStates) {
    CHECK(is_final(from) == (from == completed || from == failed || from == canceled));
    for (const auto to : kStates)
      if (is_final(from)) CHECK_FALSE(may_follow(from, to));
    if (!is_final(from)) {
      CHECK(may_follow(from, failed));
      CHECK(may_follow(from, canceled));
      CHECK_FALSE(may_follow(from, from));
    }
  }
}

TEST_CASE("a job lives from preparation to its end") {
  CHECK(may_follow(preparing, queued));
  CHECK(may_follow(queued, running));
  CHECK(may_follow(running, finalizing));
  CHECK(may_follow(finalizing, completed));
  for (const auto from : {preparing, queued, running, finalizing}) CHECK(may_follow(from, cancel_requested));
  CHECK(may_follow(cancel_requested, finalizing));
  CHECK(may_follow(running, queued));     // again, after it was lost
  CHECK(may_follow(finalizing, queued));  // again, after it failed
  CHECK_FALSE(may_follow(preparing, running));
  CHECK_FALSE(may_follow(preparing, completed));
  CHECK_FALSE(may_follow(queued, completed));
  CHECK_FALSE(may_follow(cancel_requested, running));
  CHECK_FALSE(may_follow(cancel_requested, queued));
}

TEST_CASE("job names are told from other text") {
  CHECK(is_job_id("brave-heron-7k2m"));
  CHECK(is_job_id("b"));
  CHECK_FALSE(is_job_id(""));
  CHECK_FALSE(is_job_id("Brave"));
  CHECK_FALSE(is_job_id("@last"));
  CHECK_FALSE(is_job_id("../x"));
}
