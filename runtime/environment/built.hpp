#pragma once

// What is remembered of an environment that was built: the content of its ready.json.

#include <chrono>
#include <cstdint>
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
  std::uint64_t bytes = 0;  // that its files take, those shared with the tools' caches included
  std::string interpreter;
  std::string path_prefix;
  std::vector<std::pair<std::string, std::string>> variables;
  std::string python_version;
  std::vector<std::string> packages;  // "name==version"
  std::string lock;                   // JSON
  std::string canonical;              // JSON: what the digest is of
  // Not empty: its files are sure to be there only within this boot, for they may not be on disk yet.
  std::string only_in_boot;
};

std::string to_text(const Built& built);
// Throws Error Code::corrupt.
Built built_from_text(std::string_view text);

// Takes over what a build's result.json says (recipe.hpp). It comes from a program that is not trusted:
// throws Error Code::invalid where it is not as it must be, or names an interpreter outside of `prefix`.
void add_result(Built& built, std::string_view result, const std::string& prefix);

Ready ready_from(const Built& built);

}  // namespace berth::environment
