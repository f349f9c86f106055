#include "agent/model/registry_credentials.hpp"

#include <algorithm>

namespace berth::model {
namespace {

constexpr std::size_t kLongestHost = 255;

}  // namespace

bool is_registry(std::string_view text) {
  return !text.empty() && text.size() <= kLongestHost && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == ':' || c == '[' || c == ']';
  });
}

}  // namespace berth::model
