#pragma once

// JSON that came from outside, as the tree that messages are read from.

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace berth::wire {

// How many values texts may hold, counting each element, field and list: what bounds the memory that reading them
// takes, which is many times their length.
struct JsonBudget {
  std::size_t values = 2'000'000;  // left
};
// Depth, size and number of values are bounded. Error Code::invalid with the position of the mistake, Code::too_large
// as soon as the budget is used up.
nlohmann::json parse_json(std::string_view text, JsonBudget& budget);
nlohmann::json parse_json(std::string_view text);

}  // namespace berth::wire
