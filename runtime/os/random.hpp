#pragma once

// Names that nobody can guess.

#include <cstddef>
#include <string>

namespace berth::os {

// So many random bytes, in hexadecimal digits.
std::string random_hex(std::size_t bytes);

}  // namespace berth::os
