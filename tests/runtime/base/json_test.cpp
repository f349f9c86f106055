#include "runtime/base/json.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "runtime/base/error.hpp"

using namespace berth;

namespace {

std::string nested(std::size_t depth, const std::string& open = "[", const std::string& close = "]",
                   const std::string& inside = "") {
  std::string text;
  for (std::size_t i = 0; i < depth; ++i) text += open;
  text += inside;
  for (std::size_t i = 0; i < depth; ++i) text += close;
  return text;
}

std::string list_of(std::size_t count, const std::string& element) {
  std::string text = "[" + element;
  for (std::size_t i = 1; i < count; ++i) text += "," + element;
  return text + "]";
}

struct Refusal {
  Code code;
  std::string message;
};

Refusal refusal(const std::string& text, const JsonBounds& bounds = {}) {
  CHECK(json_or_null(text, bounds).is_null());
  try {
    read_json(text, bounds);
  } catch (const Error& error) {
    return {error.code(), error.message()};
  }
  FAIL("it was read");
  return {};
}

}  // namespace

TEST_CASE("what is within the bounds is read, up to each of them") {
  const JsonBounds bounds{.bytes = 40, .values = 4, .depth = 3};
  CHECK(read_json(R"({"a": [1, "b"]})", bounds)["a"][1] == "b");
  CHECK(read_json(nested(3), bounds) == nlohmann::json::array({nlohmann::json::array({nlohmann::json::array()})}));
  CHECK(read_json("[0,0,0]", bounds).size() == 3);
  CHECK(read_json("\"" + std::string(38, 'x') + "\"", bounds).get<std::string>().size() == 38);
  CHECK(read_ordered_json(R"({"z": 1, "a": 2})").dump() == R"({"z":1,"a":2})");
  CHECK(json_or_null("true") == true);
  CHECK(read_json(nested(64)).dump() == nested(64));
}

TEST_CASE("one step over a bound is refused, in words") {
  const JsonBounds bounds{.bytes = 40, .values = 4, .depth = 3};
  CHECK(refusal(nested(4), bounds).message == "JSON is nested too deeply");
  CHECK(refusal(nested(4, "{\"\":", "}", "0"), bounds).message == "JSON is nested too deeply");
  CHECK(refusal("[0,0,0,0]", bounds).code == Code::too_large);
  CHECK(refusal(R"({"a":0,"b":0})", bounds).code == Code::too_large);
  CHECK(refusal(std::string(41, ' '), bounds).message == "JSON of 41 B is over the limit of 40 B");
}

TEST_CASE("deep JSON costs nobody the stack, however deep and whether it ends or not") {
  for (const auto* open : {"[", "{\"a\":", "[0,[],{\"a\":"}) {
    CAPTURE(open);
    std::string text;
    for (int i = 0; i < 3'000'000; ++i) text += open;
    CHECK(refusal(text).code == Code::invalid);
  }
  CHECK(refusal(nested(3'000'000)).code == Code::invalid);
  CHECK(refusal("{\"lock\": " + nested(2'000'000) + "}").code == Code::invalid);
  try {
    read_ordered_json(nested(3'000'000));
    FAIL("it was read");
  } catch (const Error& error) {
    CHECK(error.message() == "JSON is nested too deeply");
  }
}

TEST_CASE("wide and huge JSON is given up at the bound") {
  const JsonBounds bounds{.values = 100'000};
  CHECK(refusal(list_of(10'000'000, "[]"), bounds).code == Code::too_large);
  CHECK(refusal(list_of(10'000'000, "0"), bounds).code == Code::too_large);
  CHECK(refusal(list_of(3'000'000, "{}")).code == Code::too_large);
  CHECK(refusal(std::string(65U << 20, ' ')).code == Code::too_large);
  std::size_t left = 10;
  CHECK_THROWS_AS(read_json(list_of(1000, "0"), bounds, left), Error);
  CHECK(left == 0);
  left = 10;
  read_json("[1,2]", bounds, left);
  CHECK(left == 7);
}

TEST_CASE("what is cut off, or no JSON, tells where") {
  const std::string whole = R"({"a": [1, {"b": "\u00e9\n", "c": [true, null, -1.5e3]}], "d": "x"})";
  CHECK(read_json(whole).is_object());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CAPTURE(length);
    CHECK(refusal(whole.substr(0, length)).message.starts_with("malformed JSON at byte "));
  }
  for (const auto* text : {"[1,]", "{\"a\" 1}", "nul", "\"\xff\"", "\"\\ud800\"", "[1] 2", "01"}) {
    CAPTURE(text);
    CHECK(refusal(text).message.starts_with("malformed JSON at byte "));
  }
  CHECK(refusal("[1e999]").message == "JSON with a number out of range");
}
