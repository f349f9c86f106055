#include "runtime/http/error_json.hpp"

#include <nlohmann/json.hpp>

#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"

namespace berth::http {
namespace {

using Json = nlohmann::json;

// Codes and statuses map one-to-one; a status of somebody else's server goes to its nearest code.
Code code_of_status(int status) {
  for (const auto code :
       {Code::invalid, Code::not_found, Code::conflict, Code::denied, Code::unavailable, Code::timeout, Code::too_large,
        Code::no_space, Code::corrupt, Code::unsupported, Code::io, Code::internal})
    if (http_status(code) == status) return code;
  if (status == 401) return Code::denied;
  if (status == 408) return Code::timeout;
  if (status == 429) return Code::unavailable;
  return status < 500 ? Code::invalid : Code::internal;
}

std::string text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Error foreign_error(int status, std::string_view body) {
  constexpr std::size_t kShown = 200;
  std::string message = "the server answered " + std::to_string(status);
  if (!body.empty()) message += ": " + printable(body.substr(0, kShown));
  return Error(code_of_status(status), message);
}

}  // namespace

std::string to_json(const Error& error) {
  const Json body = {{"error",
                      {{"code", name(error.code())},
                       {"message", error.message()},
                       {"hint", error.hint()},
                       {"context", error.context()}}}};
  return body.dump(-1, ' ', false,
                   Json::error_handler_t::replace);  // a message may quote bytes that are not UTF-8
}

Error error_from_response(int status, std::string_view body) {
  const auto parsed = json_or_null(body, {.bytes = 1U << 20, .values = 1000, .depth = 8});
  const auto found = parsed.is_object() ? parsed.find("error") : parsed.end();
  if (!parsed.is_object() || found == parsed.end() || !found->is_object()) return foreign_error(status, body);
  const auto code = text_of(*found, "code");
  const auto message = text_of(*found, "message");
  if (code.empty() || message.empty()) return foreign_error(status, body);
  Error error(code_from_name(code), message, text_of(*found, "hint"));
  if (const auto contexts = found->find("context"); contexts != found->end() && contexts->is_array()) {
    for (const auto& context : *contexts)
      if (context.is_string()) error.add_context(context.get<std::string>());
  }
  return error;
}

}  // namespace berth::http
