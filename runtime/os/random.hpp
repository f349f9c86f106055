#pragma once

// Keys and names that nobody can guess.

#include <cstddef>
#include <string>

namespace berth::os {

std::string random_bytes(std::size_t count);
// So many of them, in hexadecimal digits.
std::string random_hex(std::size_t bytes);

}  // namespace berth::os
