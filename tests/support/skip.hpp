#pragma once

// A case that cannot be tried on this machine says so: it asserts nothing and must not pass for one that does. The main
// of the test programs (main.cpp) counts such cases and tells why at the end; a program none of whose cases could be
// tried exits with kAllSkipped, which ctest shows as skipped.

#include <string>

namespace berth::test {

inline constexpr int kAllSkipped = 77;  // SKIP_RETURN_CODE in cmake/Berth.cmake

// Of the case that runs. `reason` is what is lacking: "root", "a container engine (no dockerd)".
void skip_case(const std::string& reason);

}  // namespace berth::test

// Ends the case (or the subcase of it that runs) where what it needs is not there.
#define SKIP_UNLESS(there, reason)        \
  do {                                    \
    if (!(there)) {                       \
      ::berth::test::skip_case((reason)); \
      return;                             \
    }                                     \
  } while (false)
