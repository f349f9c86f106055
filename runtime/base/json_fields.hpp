#pragma once

// JSON ⇄ a message, by its description (fields.hpp). Mistakes are told by field: "job request: 'priority' must be a
// whole number from -1000 to 1000".

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "runtime/base/fields.hpp"

namespace berth {

// Fields that a description does not have: a request that has any is refused with the first of them, at any depth; what
// an answer or a file of another version has is left where it is.
enum class Unknown { refused, ignored };
// Of texts that may be no UTF-8: of `bytes` such a one is {"hex": "…"}.
enum class Texts { utf8, bytes };

// A message as walkers are given it, without its type.
struct AnyMessage {
  void* message;
  void (*describe)(Fields&, void*);
};
template <class T>
AnyMessage any_message(T& message) {
  return {&message, [](Fields& fields, void* each) { describe(fields, *static_cast<T*>(each)); }};
}

nlohmann::json json_of(AnyMessage message);
nlohmann::ordered_json ordered_json_of(AnyMessage message, Texts texts);
// Throws Error Code::invalid; `what` names the message in it.
void read_fields(const nlohmann::json& json, AnyMessage message, std::string_view what, Unknown unknown);
void read_fields(const nlohmann::ordered_json& json, AnyMessage message, std::string_view what, Texts texts);
// As text, with its keys sorted. Bytes that are no UTF-8 are replaced.
std::string text_of(AnyMessage message);
std::string dumped(const nlohmann::json& json);  // the same of a tree

// Writing changes nothing; a description is for both directions, so it takes no const.
template <class T, class Json = nlohmann::json>
Json json_of(const T& message) {
  return json_of(any_message(const_cast<T&>(message)));
}
template <class T>
std::string text_of(const T& message) {
  return text_of(any_message(const_cast<T&>(message)));
}
template <class T>
T message_from(const nlohmann::json& json, std::string_view what, Unknown unknown = Unknown::ignored) {
  T message{};
  read_fields(json, any_message(message), what, unknown);
  return message;
}

}  // namespace berth
