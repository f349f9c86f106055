#pragma once

// {"jobs": [ … ]} element by element, in place, so that a long list never stands in memory as a whole tree of values.

#include <optional>
#include <string_view>
#include <vector>

namespace berth::wire {

// The text of each element where `text` is an object whose only field is `key`, a list; at most `most` + 1 of them.
// Nothing for any other text: elements are only told apart here, and read by who parses them.
std::optional<std::vector<std::string_view>> elements_of(std::string_view text, std::string_view key, std::size_t most);

}  // namespace berth::wire
