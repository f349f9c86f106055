#include "runtime/base/json.hpp"

#include <nlohmann/json.hpp>
#include <string>

#include "runtime/base/error.hpp"
#include "runtime/base/units.hpp"

namespace berth {
namespace {

template <class Json>
Json read(std::string_view text, const JsonBounds& bounds, std::size_t& values) {
  using Event = typename Json::parse_event_t;
  if (text.size() > bounds.bytes)
    throw Error(Code::too_large, "JSON of " + to_text(ByteSize(text.size())) + " is over the limit of " +
                                     to_text(ByteSize(bounds.bytes)));
  const auto bounded = [&](int depth, Event event, Json&) {
    const bool opens = event == Event::object_start || event == Event::array_start;
    if (opens && static_cast<std::size_t>(depth) >= bounds.depth)
      throw Error(Code::invalid, "JSON is nested too deeply");
    const bool closes = event == Event::object_end || event == Event::array_end;
    if (closes) return true;
    if (values == 0) throw Error(Code::too_large, "JSON with more values than are read here");
    --values;
    return true;
  };
  try {
    return Json::parse(text, bounded);
  } catch (const typename Json::parse_error& error) {
    throw Error(Code::invalid, "malformed JSON at byte " + std::to_string(error.byte));
  } catch (const typename Json::exception&) {  // a number that no double holds
    throw Error(Code::invalid, "JSON with a number out of range");
  }
}

}  // namespace

nlohmann::json read_json(std::string_view text, const JsonBounds& bounds, std::size_t& values) {
  return read<nlohmann::json>(text, bounds, values);
}

nlohmann::json read_json(std::string_view text, const JsonBounds& bounds) {
  auto values = bounds.values;
  return read<nlohmann::json>(text, bounds, values);
}

nlohmann::ordered_json read_ordered_json(std::string_view text, const JsonBounds& bounds) {
  auto values = bounds.values;
  return read<nlohmann::ordered_json>(text, bounds, values);
}

nlohmann::json json_or_null(std::string_view text, const JsonBounds& bounds) {
  try {
    return read_json(text, bounds);
  } catch (const Error&) {
    return nullptr;
  }
}

}  // namespace berth
