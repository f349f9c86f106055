#include "agent/cli/words.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"
#include "tests/agent/cli/sample.hpp"

using namespace berth;
using namespace berth::cli;
using namespace std::chrono_literals;

TEST_CASE("durations for columns have one unit") {
  CHECK(brief_duration(0s) == "1 second");
  CHECK(brief_duration(59s) == "59 seconds");
  CHECK(brief_duration(60s) == "1 minute");
  CHECK(brief_duration(119min) == "1 hour");
  CHECK(brief_duration(47h) == "47 hours");
  CHECK(brief_duration(48h) == "2 days");
  CHECK(brief_duration(24h * 15) == "2 weeks");
}

TEST_CASE("moments are told from now on, also when the clock was set back") {
  CHECK(ago(sample::noon() - 3min, sample::noon()) == "3 minutes ago");
  CHECK(ago(sample::noon(), sample::noon()) == "just now");
  CHECK(ago(sample::noon() + 1h, sample::noon()) == "just now");
}

TEST_CASE("commands are shown as one would type them") {
  CHECK(command_text({"echo", "a b", "", "it's", "$HOME", "x=1"}) == R"(echo 'a b' '' 'it'\''s' '$HOME' x=1)");
  CHECK(command_text({"echo", "a\nb"}).find('\n') == std::string::npos);
}

TEST_CASE("a state carries what one wants to know with it") {
  auto job = sample::queued();
  CHECK(state_text(job) == "Queued");
  job.held = true;
  CHECK(state_text(job) == "Queued (held)");
  CHECK(state_text(sample::failed()) == "Failed: exited with code 3");
  job = sample::failed();
  job.state = model::State::canceled;
  job.ending = model::Canceled{"grace"};
  CHECK(state_text(job) == "Canceled by grace");
  CHECK(brief_state_text(job) == "Canceled");
  job.ending = model::Canceled{"root"};
  CHECK(brief_state_text(job) == "Canceled by root");
  CHECK(brief_state_text(sample::failed()) == "Failed: exit code 3");
  job.state = model::State::cancel_requested;
  job.ending.reset();
  job.held = false;
  CHECK(state_text(job) == "Canceling");
}

TEST_CASE("run time counts from the last start") {
  CHECK(run_time(sample::queued(), sample::noon()) == std::nullopt);
  CHECK(run_time(sample::running(), sample::noon()) == 90s);
  CHECK(run_time(sample::completed(), sample::noon()) == 61min);
  CHECK(run_time(sample::running(), sample::noon() - 1h) == 0s);
}

TEST_CASE("--since takes what people write") {
  const auto now = sample::noon();
  CHECK(parse_since("10m", now) == now - 10min);
  CHECK(parse_since("2026-03-14T13:00:00+02:00", now) == now - 1h);
  CHECK(parse_since("2026-03-14 11:00", now) == now - 1h);
  CHECK(parse_since("2026-03-14 11:00:30", now) == now - 1h + 30s);
  CHECK(parse_since("2026-03-14", now) == now - 12h);
  for (const char* text : {"", "yesterday", "2026-13-01", "2026-03-14 11:00x"})
    CHECK_THROWS_AS(parse_since(text, now), Error);
}
