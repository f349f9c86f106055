#pragma once

// The target of a request, "/v1/jobs/7/log?follow=1&tag=a+b": split and decoded. Hostile input ends in
// Error(Code::invalid), never in a surprising path: no empty or dot segment, no control character, no NUL.

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace berth::http {

using Query = std::map<std::string, std::string, std::less<>>;

struct Target {
  std::string path;                   // as sent, without the query
  std::vector<std::string> segments;  // decoded; a decoded segment may hold a '/'
  Query query;                        // decoded; the last of several equal names wins
};

// The longest decoded path segment or query value; ids and names are far shorter.
inline constexpr std::size_t kLongestSegment = 1024;

Target parse_target(std::string_view target);
// "a%20b" → "a b"; Error(Code::invalid) for a malformed escape.
std::string percent_decode(std::string_view text);

}  // namespace berth::http
