#include "runtime/base/clock.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

using namespace berth;

TEST_CASE("an instant is written in UTC with microseconds and read back") {
  const auto instant = from_unix_micros(1'773'500'966'535'897);
  CHECK(to_rfc3339(instant) == "2026-03-14T15:09:26.535897Z");
  CHECK(parse_rfc3339("2026-03-14T15:09:26.535897Z") == instant);
  CHECK(to_unix_micros(instant) == 1'773'500'966'535'897);
  CHECK(to_rfc3339(from_unix_micros(0)) == "1970-01-01T00:00:00.000000Z");
  CHECK(to_rfc3339(from_unix_micros(-1)) == "1969-12-31T23:59:59.999999Z");
}

TEST_CASE("offsets and any number of fractional digits are understood") {
  const auto instant = *parse_rfc3339("2026-03-14T15:09:26Z");
  CHECK(parse_rfc3339("2026-03-14T16:09:26+01:00") == instant);
  CHECK(parse_rfc3339("2026-03-14T09:39:26-05:30") == instant);
  CHECK(parse_rfc3339("2026-03-14t15:09:26z") == instant);
  CHECK(parse_rfc3339("2026-03-14 15:09:26.000Z") == instant);
  CHECK(*parse_rfc3339("2026-03-14T15:09:26.5Z") - instant == Micros(500'000));
  CHECK(*parse_rfc3339("2026-03-14T15:09:26.123456789Z") - instant == Micros(123'456));
  CHECK(parse_rfc3339("2024-02-29T00:00:00Z"));
}

TEST_CASE("malformed instants are not guessed at") {
  for (const auto* text :
       {"", "2026", "2026-03-14", "2026-03-14T15:09:26", "2026-3-14T15:09:26Z", "2026-13-14T15:09:26Z",
        "2026-02-29T15:09:26Z", "2026-03-14T24:09:26Z", "2026-03-14T15:60:26Z", "2026-03-14T15:09:26.Z",
        "2026-03-14T15:09:26+1:00", "2026-03-14T15:09:26+24:00", "2026-03-14T15:09:26Zx", " 2026-03-14T15:09:26Z"}) {
    CAPTURE(text);
    CHECK(!parse_rfc3339(text));
  }
}

TEST_CASE("people read the time of their own zone") {
  const auto instant = *parse_rfc3339("2026-03-14T15:09:26Z");
  ::setenv("TZ", "XYZ-2", 1);
  ::tzset();
  CHECK(to_local_text(instant) == "2026-03-14 17:09:26");
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  CHECK(to_local_text(instant) == "2026-03-14 15:09:26");
}

TEST_CASE("the system's clock moves forward") {
  const auto first = system_clock().steady();
  CHECK(system_clock().steady() >= first);
  CHECK(system_clock().now() > *parse_rfc3339("2024-01-01T00:00:00Z"));
}
