#include "runtime/environment/python_version.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <compare>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/user_text.hpp"

namespace berth::environment {
namespace {

using Release = std::vector<int>;

bool begins_with(const Release& version, const Release& beginning) {
  return version.size() >= beginning.size() && std::equal(beginning.begin(), beginning.end(), version.begin());
}

// "3.11" is "3.11.0".
std::strong_ordering compare(Release a, Release b) {
  const auto size = std::max(a.size(), b.size());
  a.resize(size);
  b.resize(size);
  return a <=> b;
}

bool compatible(const Release& version, Release wanted) {
  if (compare(version, wanted) < 0) return false;
  wanted.pop_back();
  return begins_with(version, wanted);
}

[[noreturn]] void malformed(std::string_view clause) {
  throw Error(Code::invalid, "the wanted Python version '" + printable(clause) + "' cannot be read",
              "write it like 3.11, 3.11.4 or >=3.10,<3.13");
}

// One of the clauses between commas.
bool fulfils(const Release& version, std::string_view clause) {
  constexpr std::array<std::string_view, 8> kOperators{"===", "~=", "==", "!=", "<=", ">=", "<", ">"};
  const auto* const found = std::find_if(kOperators.begin(), kOperators.end(),
                                         [&](std::string_view each) { return clause.starts_with(each); });
  const auto operation = found == kOperators.end() ? std::string_view() : *found;
  auto text = trimmed(clause.substr(operation.size()));
  const bool any_after = text.ends_with(".*") || operation.empty();
  if (text.ends_with(".*")) text.remove_suffix(2);
  const auto wanted = release_of(text);
  if (wanted.empty() || text.find_first_not_of("0123456789.") != std::string_view::npos) malformed(clause);
  if (operation.empty()) return begins_with(version, wanted);
  if (operation == "==" || operation == "===")
    return any_after ? begins_with(version, wanted) : compare(version, wanted) == 0;
  if (operation == "!=") return any_after ? !begins_with(version, wanted) : compare(version, wanted) != 0;
  if (operation == "~=" && wanted.size() < 2) malformed(clause);
  if (operation == "~=") return compatible(version, wanted);
  if (operation == "<=") return compare(version, wanted) <= 0;
  if (operation == ">=") return compare(version, wanted) >= 0;
  return operation == "<" ? compare(version, wanted) < 0 : compare(version, wanted) > 0;
}

}  // namespace

std::vector<int> release_of(std::string_view version) {
  Release release;
  for (;;) {
    int number = 0;
    const auto [end, failure] = std::from_chars(version.data(), version.data() + version.size(), number);
    if (failure != std::errc()) return release;
    release.push_back(number);
    version.remove_prefix(static_cast<std::size_t>(end - version.data()));
    if (!version.starts_with('.')) return release;
    version.remove_prefix(1);
  }
}

bool is_wanted(std::string_view version, std::string_view wanted) {
  const auto release = release_of(version);
  bool fits = true;
  while (!trimmed(wanted).empty()) {
    const auto end = std::min(wanted.find(','), wanted.size());
    if (const auto clause = trimmed(wanted.substr(0, end)); !clause.empty() && !fulfils(release, clause)) fits = false;
    wanted.remove_prefix(std::min(end + 1, wanted.size()));
  }
  return fits;
}

}  // namespace berth::environment
