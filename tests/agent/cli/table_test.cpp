#include "agent/cli/table.hpp"

#include <doctest/doctest.h>

using namespace berth::cli;

TEST_CASE("columns are as wide as their content, and empty ones are left out") {
  Table table({{"A"}, {"EMPTY"}, {"B"}});
  table.add({{"1"}, {""}, {"long"}});
  table.add({{"three"}, {""}, {""}});
  CHECK(table.text({}) == "A      B\n1      long\nthree\n");
}

TEST_CASE("the widest column that may shrink gives way first") {
  Table table({{"ID"}, {"NAME", 4}, {"WHY", 4}});
  table.add({{"abc"}, {"0123456789"}, {"0123456789012345"}});
  CHECK(table.text({27, false}) == "ID   NAME        WHY\nabc  0123456789  012345678…\n");
  CHECK(table.text({5, false}) == "ID   NAME  WHY\nabc  012…  012…\n");
}

TEST_CASE("text is cut by columns of the screen, not by bytes") {
  CHECK(text_width("Grüße") == 5);
  CHECK(text_width("漢字") == 4);
  CHECK(text_width("e\u0301") == 1);
  CHECK(fitted("Grüße an alle", 6) == "Grüße…");
  CHECK(fitted("漢字漢字", 5) == "漢字…");
  CHECK(fitted("short", 5) == "short");
  CHECK(text_width(fitted("\xff\xfe\xff", 1)) <= 1);
  CHECK(fitted("cut short \xe6", 40) == "cut short \xe6");
}

TEST_CASE("colour is only where the screen has it") {
  CHECK(Screen{}.styled(Style::red, "x") == "x");
  CHECK(Screen{80, true}.styled(Style::red, "x") == "\x1b[31mx\x1b[0m");
  Table table({{"A"}, {"B"}});
  table.add({{"x", Style::green}, {"y"}});
  CHECK(table.text({80, true}) == "\x1b[1mA\x1b[0m  \x1b[1mB\x1b[0m\n\x1b[32mx\x1b[0m  y\n");
}
