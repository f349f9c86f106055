#pragma once

// One requirement of a Python package, as PEP 508 and pip write it. Pure.

#include <string>
#include <string_view>

#include "runtime/environment/user_text.hpp"

namespace berth::environment {

// The same for all ways to write the same requirement, and the same again when it is read again:
// "scikit_learn [a]>= 1.0,<2 ; python_version < \"3.12\"" is "scikit-learn[a]<2,>=1.0 ;
// python_version<'3.12'". `text` has neither comment, options nor credentials. Code::invalid, with place and
// remedy, for what is no requirement or is a path.
std::string canonical_requirement(std::string_view text, const Place& place);

}  // namespace berth::environment
