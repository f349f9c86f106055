#pragma once

// Which Python is wanted, as pyproject's requires-python says it. Pure.

#include <string>
#include <string_view>
#include <vector>

namespace berth::environment {

// Whether a version ("3.11.2") is one that is wanted: "" any; "3.11" or "3.11.4": it, or what begins with it;
// ">=3.10,<3.13", "~=3.11", "==3.11.*", "!=3.12.1": as in PEP 440, of releases. Code::invalid for other text.
bool is_wanted(std::string_view version, std::string_view wanted);

// The numbers that a version begins with: {3, 11, 2}. Empty where there are none.
std::vector<int> release_of(std::string_view version);

}  // namespace berth::environment
