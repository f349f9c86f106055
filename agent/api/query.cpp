#include "agent/api/query.hpp"

#include <charconv>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::api {

bool flag(const http::Request& request, std::string_view name) {
  const auto value = request.query_value(name);
  if (!value || *value == "0" || *value == "false") return false;
  if (value->empty() || *value == "1" || *value == "true") return true;
  throw Error(Code::invalid,
              "query parameter '" + std::string(name) + "' must be true or false, not '" + printable(*value) + "'");
}

std::optional<std::int64_t> whole_number(const http::Request& request, std::string_view name) {
  const auto value = request.query_value(name);
  if (!value) return std::nullopt;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (error != std::errc() || end != value->data() + value->size() || number < 0)
    throw Error(Code::invalid,
                "query parameter '" + std::string(name) + "' must be a whole number, not '" + printable(*value) + "'");
  return number;
}

}  // namespace berth::api
