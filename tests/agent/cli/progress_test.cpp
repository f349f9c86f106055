#include "agent/cli/progress.hpp"

#include <doctest/doctest.h>

using berth::cli::progress_bar;

TEST_CASE("a bar shows part, percentage and sizes") {
  CHECK(progress_bar("sending code", 0, 20 << 20) == "sending code  [                    ]   0%  0 B of 20 MiB");
  CHECK(progress_bar("sending code", 9 << 20, 20 << 20) ==
        "sending code  [#########           ]  45%  9.0 MiB of 20 MiB");
  CHECK(progress_bar("sending code", 30 << 20, 20 << 20) ==
        "sending code  [####################] 100%  20 MiB of 20 MiB");
  CHECK(progress_bar("x", 0, 0) == "x  [####################] 100%  0 B of 0 B");
}
