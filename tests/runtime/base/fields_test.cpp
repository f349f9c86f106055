#include "runtime/base/fields.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"

using namespace berth;
using nlohmann::json;
using std::chrono::milliseconds;

namespace {

enum class Colour { red, green };
std::span<const std::string_view> names_of(Colour) {
  static constexpr std::array<std::string_view, 2> kNames{"red", "green"};
  return kNames;
}

struct Circle {
  int radius = 0;
};
struct Square {
  std::string side;
};
using Shape = std::variant<Circle, Square>;

void describe(Fields& fields, Circle& circle) { fields.field("radius", circle.radius, {.least = 1, .most = 9}); }
void describe(Fields& fields, Square& square) { fields.field("side", square.side); }

struct Inner {
  bool flag = false;
  std::optional<std::uint16_t> port;
};
void describe(Fields& fields, Inner& inner) {
  fields.field("flag", inner.flag);
  fields.field("port", inner.port);
}

struct Message {
  std::string text = "as it was";
  std::optional<std::string> maybe;
  std::string left_out;
  std::string or_null;
  std::uint64_t large = 0;
  ByteSize size;
  Colour colour = Colour::red;
  Colour lenient = Colour::red;
  std::optional<std::chrono::microseconds> took;
  std::vector<Inner> list;
  std::map<std::string, int> map;
  std::string embedded;
  Shape shape;
  int beside = 0;
};

void describe(Fields& fields, Shape& shape) {
  static constexpr std::array<std::string_view, 2> kNames{"circle", "square"};
  fields.tagged("kind", shape, kNames);
}

void describe(Fields& fields, Message& message) {
  fields.field("text", message.text, {.required = true});
  fields.field("maybe", message.maybe);
  fields.field("left_out", message.left_out, {.left_out = true});
  fields.field("or_null", message.or_null, {.or_null = true});
  fields.field("large", message.large);
  fields.field("size_bytes", message.size);
  fields.field("colour", message.colour);
  fields.field("lenient", message.lenient, {.lenient = true});
  fields.field("took_ms", in<milliseconds>(message.took));
  fields.field("list", message.list);
  fields.field("map", message.map, {.least = 0});
  fields.field("embedded", JsonText{message.embedded});
  fields.field("shape", message.shape);
  fields.object(
      "object", [&](Fields& members) { members.field("beside", message.beside); }, "");
  fields.shown(
      "twice", [&] { return 2 * message.beside; }, "");
}

Message read(const json& value, Unknown unknown = Unknown::refused) {
  return message_from<Message>(value, "message", unknown);
}

std::string complaint(const json& value) {
  try {
    read(value);
  } catch (const Error& error) {
    CHECK(error.code() == Code::invalid);
    return error.message();
  }
  return "";
}

std::string complaint_with(const char* key, const json& value) { return complaint({{"text", ""}, {key, value}}); }

}  // namespace

TEST_CASE("what is nothing is null, or left out where its description says so") {
  const auto written = json_of(Message{});
  CHECK(written.at("maybe").is_null());
  CHECK(written.at("or_null").is_null());
  CHECK(written.at("took_ms").is_null());
  CHECK(written.at("embedded").is_null());
  CHECK_FALSE(written.contains("left_out"));
  CHECK(written.at("list") == json::array());
  CHECK(written.at("map") == json::object());
  CHECK(written.at("shape") == json{{"kind", "circle"}, {"radius", 0}});
}

TEST_CASE("a message comes back as it was written") {
  Message message;
  message.text = "Größe";
  message.maybe = "";
  message.left_out = "x";
  message.or_null = "y";
  message.large = 1ULL << 63;
  message.size = 3_KiB;
  message.colour = Colour::green;
  message.took = milliseconds(1500);
  message.list = {{true, 65535}, {false, std::nullopt}};
  message.map = {{"a", 1}, {"b", 2}};
  message.embedded = R"({"x":[1]})";
  message.shape = Square{"long"};
  message.beside = 21;
  const auto written = json_of(message);
  CHECK(written.at("twice") == 42);
  CHECK(written.at("took_ms") == 1500);
  CHECK(written.at("embedded").at("x") == json::array({1}));
  CHECK(written.at("object").at("beside") == 21);
  CHECK(json_of(read(written)) == written);
  CHECK(text_of(message) == written.dump());
}

TEST_CASE("null and what is absent leave a field as it is") {
  const auto message = read({{"text", "t"}, {"large", nullptr}, {"list", nullptr}});
  CHECK(message.large == 0);
  CHECK(message.colour == Colour::red);
  CHECK_FALSE(message.maybe);
  CHECK(complaint({{"text", nullptr}}) == "message: 'text' is missing");
}

TEST_CASE("mistakes are told by field, nested ones by theirs") {
  CHECK(complaint(json::array()) == "message: must be a JSON object");
  CHECK(complaint_with("maybe", 1) == "message: 'maybe' must be text");
  CHECK(complaint_with("large", -1) == "message: 'large' must be a whole number from 0 to 18446744073709551615");
  CHECK(complaint_with("colour", "blue") == "message: 'colour' must be 'red' or 'green'");
  CHECK(complaint_with("lenient", "blue").empty());
  CHECK(complaint_with("took_ms", -1).find("'took_ms' must be a whole number from 0") != std::string::npos);
  CHECK(complaint_with("list", 1) == "message: 'list' must be a list");
  CHECK(complaint_with("list", {{{"flag", 1}}}) == "list: 'flag' must be true or false");
  CHECK(complaint_with("list", {{{"port", 65536}}}) == "list: 'port' must be a whole number from 0 to 65535");
  CHECK(complaint_with("list", {{{"pot", 1}}}) == "list: 'pot' is not a known field");
  CHECK(complaint_with("map", {{"a", -1}}).find("message: 'map' must be a whole number from 0") == 0);
  CHECK(complaint_with("map", {{"a", nullptr}}).find("message: 'map' must be a whole number") == 0);
  CHECK(complaint_with("shape", json::object()) == "shape: 'kind' is missing");
  CHECK(complaint_with("shape", {{"kind", "line"}}) == "shape: 'kind' must be 'circle' or 'square'");
  CHECK(complaint_with("shape", {{"kind", "circle"}, {"radius", 10}}) ==
        "shape: 'radius' must be a whole number from 1 to 9");
  CHECK(complaint_with("shape", {{"kind", "circle"}, {"side", ""}}) == "shape: 'side' is not a known field");
  CHECK(complaint_with("object", {{"aside", 1}}) == "object: 'aside' is not a known field");
  CHECK(complaint_with("more", 1) == "message: 'more' is not a known field");
}

TEST_CASE("what is shown is known, and not read") {
  CHECK(read({{"text", ""}, {"twice", "never looked at"}}).beside == 0);
}

TEST_CASE("of another version's message what is not known is left where it is, at any depth") {
  const auto message = read({{"text", ""}, {"more", 1}, {"list", {{{"flag", true}, {"pot", 1}}}}}, Unknown::ignored);
  CHECK(message.list.at(0).flag);
}

TEST_CASE("bytes that are no text survive where a message may have them") {
  Square square{"\xff\x01"};
  const auto written = ordered_json_of(any_message(square), Texts::bytes);
  CHECK(written.at("side").at("hex") == "ff01");
  Square again;
  read_fields(written, any_message(again), "square", Texts::bytes);
  CHECK(again.side == square.side);
  CHECK_THROWS_AS(
      read_fields(nlohmann::ordered_json{{"side", {{"hex", "f"}}}}, any_message(again), "square", Texts::bytes), Error);
}
