#pragma once

// How an agent knows an ending as its own supervisor's, where jobs have the same user as both and could write one. Each
// launch has a key, random, which the agent gives to the supervisor over their socket and nobody else sees: neither
// process can be looked into by others of its user. The ending carries a mark that only the key makes, and the key
// itself, which is of no use any more: all of the job is gone then. The agent keeps the key, and of it a print on
// record, by which an agent that comes after it knows the key again.

#include <optional>
#include <string>
#include <string_view>

namespace berth::shim {

inline constexpr std::size_t kKeyBytes = 32;

std::string new_key();
// What tells a key without giving it away, hexadecimal.
std::string print_of(std::string_view key);

// The text of an ending with its seal in it.
std::string sealed(const std::string& text, std::string_view key);

// How much is known: the key, or its print alone; neither: nothing can be told.
struct Seal {
  std::string key;
  std::string print;
  bool known() const { return !key.empty() || !print.empty(); }
};
// Whether the text is what the supervisor wrote.
bool is_genuine(std::string_view text, const Seal& seal);

// The key of the launch that this process supervises; "" without. Wiped by forget_key(), in a child that becomes the
// job.
void keep_key(std::string_view key);
std::string_view kept_key();
void forget_key();

}  // namespace berth::shim
