#pragma once

// The one place where JSON is read (tests/layers refuses any other). Whoever wrote a text may have written it for the
// stack or the memory of who reads it: values as they are copied, printed and compared go down by calls, and take many
// times the length of their text. So depth, length and the number of values are bounded while it is read, and what is
// had from here can be handed on without a thought.

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace berth {

struct JsonBounds {
  std::size_t bytes = 64U << 20;
  std::size_t values = 2'000'000;  // each element, field and list counts
  std::size_t depth = 64;          // of lists and objects within each other
};

// Throw Error Code::invalid, with the position of a mistake, and Code::too_large as soon as a bound is reached.
nlohmann::json read_json(std::string_view text, const JsonBounds& bounds = {});
nlohmann::ordered_json read_ordered_json(std::string_view text, const JsonBounds& bounds = {});
// Takes away from `values` what was used of them, for texts that are read one after the other.
nlohmann::json read_json(std::string_view text, const JsonBounds& bounds, std::size_t& values);

// null where the others throw.
nlohmann::json json_or_null(std::string_view text, const JsonBounds& bounds = {});

}  // namespace berth
