#include "runtime/base/strong.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <unordered_set>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/log.hpp"

using namespace berth;

namespace {

struct Name : Strong<Name, std::string> {
  using Strong::Strong;
};
struct Number : Strong<Number, std::int64_t> {
  using Strong::Strong;
};
struct Count : Strong<Count, std::int64_t> {
  using Strong::Strong;
};

template <class From, class To>
constexpr bool kBecomes = std::is_convertible_v<From, To>;
template <class A, class B>
concept Compares = requires(const A& a, const B& b) { a == b; } || requires(const A& a, const B& b) { a < b; };

static_assert(!kBecomes<std::int64_t, Number> && !kBecomes<Number, std::int64_t> && !kBecomes<Number, Count>);
static_assert(!kBecomes<const char*, Name> && !kBecomes<Name, std::string>);
static_assert(!std::is_constructible_v<Number, Count> && !std::is_constructible_v<Name, Number>);
static_assert(!std::is_aggregate_v<Name>);  // such temporaries are destroyed twice within co_await by some compilers
static_assert(!Compares<Number, Count> && !Compares<Number, std::int64_t> && !Compares<Name, std::string>);
static_assert(IsStrong<Name> && !IsStrong<std::optional<Name>> && !IsStrong<std::string>);

struct Message {
  Name name;
  Number number;
  std::optional<Number> next;
  Name left_out;
  std::vector<Name> names;
};
void describe(Fields& fields, Message& message) {
  fields.field("name", message.name);
  fields.field("number", message.number, {.least = 1});
  fields.field("next", message.next);
  fields.field("left_out", message.left_out, {.left_out = true});
  fields.field("names", message.names);
}

}  // namespace

TEST_CASE("strong values are ordered, hashed and joined to words as what they are") {
  CHECK(std::set<Name>{Name("b"), Name("a"), Name("b")}.begin()->value() == "a");
  CHECK(std::unordered_set<Number>{Number(7), Number(8), Number(7)}.size() == 2);
  CHECK(Number(2) < Number(10));
  CHECK(Name().empty());
  CHECK("log of " + Name("brave") + "-1" == "log of brave-1");
}

TEST_CASE("a message has strong values as what they are") {
  Message message{Name("brave"), Number(7), std::nullopt, {}, {Name("calm")}};
  const auto json = nlohmann::json::parse(R"({"name":"brave","number":7,"next":null,"names":["calm"]})");
  CHECK(json_of(message) == json);
  const auto back = message_from<Message>(json, "message");
  CHECK((back.name == message.name && back.number == message.number && !back.next && back.names == message.names));
  CHECK(message_from<Message>({{"next", 8}}, "message").next == Number(8));
  CHECK_THROWS_WITH_AS(message_from<Message>({{"number", 0}}, "message"),
                       "message: 'number' must be a whole number from 1 to 9223372036854775807", Error);
}

TEST_CASE("a log line has strong values as what they are") {
  CHECK(format_event("job ended", {kv("job", Name("brave")), kv("number", Number(7))}) ==
        "job ended job=brave number=7");
}
