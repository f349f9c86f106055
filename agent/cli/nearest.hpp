#pragma once

// "Did you mean …": the known word that a mistyped one resembles most.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::cli {

// Nothing where none is close: more than a third of its letters would have to change.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace berth::cli
