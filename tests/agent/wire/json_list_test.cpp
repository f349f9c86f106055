#include "agent/wire/json_list.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "agent/wire/json_text.hpp"
#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::wire;

namespace {

using Texts = std::vector<std::string_view>;

Texts split(std::string_view text) {
  const auto found = elements_of(text, "jobs", 10);
  return found ? *found : Texts{"nothing"};
}

}  // namespace

TEST_CASE("a list is told apart into its elements, whatever they are") {
  CHECK(split(R"({"jobs":[1]})") == Texts{"1"});
  CHECK(split(" { \"jobs\" : [ {\"a\":[1,{}]} ,\t\"],}\\\"\" , [[],[]]]\n}\n") ==
        Texts{R"({"a":[1,{}]} )", R"("],}\"" )", "[[],[]]"});
}

TEST_CASE("what is no such list is left to whoever reads the whole text") {
  for (const auto* text : {"", "{}", "[]", R"({"jobs":[]})", R"({"jobs":{}})", R"({"jobs":[1],"more":2})",
                           R"({"jobs":[1)", R"({"jobs":[1,]})", R"({"jobs":["1]})", R"({"more":1,"jobs":[1]})",
                           R"({"jobs":[1}]})", R"({"jobs":[1]}x)", R"({"jobs":["\)"})
    CHECK(split(text) == Texts{"nothing"});
}

TEST_CASE("no more elements are told apart than are wanted") {
  std::string text = R"({"jobs":[0)";
  for (int i = 0; i < 100'000; ++i) text += ",0";
  CHECK(split(text + "]}").size() == 11);
}

TEST_CASE("reading ends as soon as there are more values than allowed") {
  std::string text = "[0";
  for (int i = 0; i < 10'000'000; ++i) text += ",[]";
  text += "]";
  JsonBudget budget{1000};
  try {
    parse_json(text, budget);
    FAIL("it was read");
  } catch (const Error& error) {
    CHECK(error.code() == Code::too_large);
  }
  CHECK(budget.values == 0);
  JsonBudget enough{5};
  CHECK(parse_json(R"({"a":[1]})", enough).size() == 1);
  CHECK(enough.values == 1);
}
