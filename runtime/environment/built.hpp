#pragma once

// What is remembered of an environment that was built: the content of its ready.json.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/clock.hpp"
#include "runtime/environment/ready.hpp"

namespace berth::environment {

struct Built {
  Digest digest;
  std::string kind;
  std::string words;
  Instant created{};
  std::chrono::milliseconds build_time{};
  std::uint64_t bytes = 0;  // that its files take
  std::string interpreter;
  std::string path_prefix;
  std::vector<std::pair<std::string, std::string>> variables;
  std::string python_version;
  std::vector<std::string> packages;  // "name==version"
  std::string lock;                   // JSON
  std::string canonical;              // JSON: what the digest is of
  std::string image;                  // the engine's id, and then the paths above are those in it; "" on the host
  std::optional<uid_t> owner;         // whose alone it is; nothing: for all
  std::string facts;                  // JSON object: what else there is to tell; "" for nothing
  // Not empty: its files are sure to be there only within this boot, for they may not be on disk yet.
  std::string only_in_boot;
};

std::string to_text(const Built& built);
// Throws Error Code::corrupt.
Built built_from_text(std::string_view text);

// The images, by the engine's ids, that one with this Built::canonical is built upon.
std::set<std::string> images_below(const std::string& canonical);

// Takes over what a build's result.json says (recipe.hpp). It comes from a program that is not trusted:
// throws Error Code::invalid where it is not as it must be, or names an interpreter outside of `prefix`, and
// Code::too_large where it is more than is kept of a build.
constexpr std::uint64_t kLongestResult = 8U << 20;
void add_result(Built& built, std::string_view result, const std::string& prefix);

Ready ready_from(const Built& built);

}  // namespace berth::environment
