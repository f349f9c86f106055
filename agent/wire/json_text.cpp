#include "agent/wire/json_text.hpp"

#include <nlohmann/json.hpp>

#include "runtime/base/json.hpp"

namespace berth::wire {
namespace {

constexpr JsonBounds kBounds{.bytes = 64U << 20, .values = 2'000'000, .depth = 32};  // for the agent's lists

}  // namespace

nlohmann::json parse_json(std::string_view text) {
  JsonBudget budget;
  return parse_json(text, budget);
}

nlohmann::json parse_json(std::string_view text, JsonBudget& budget) { return read_json(text, kBounds, budget.values); }

}  // namespace berth::wire
