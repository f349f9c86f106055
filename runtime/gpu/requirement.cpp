#include "runtime/gpu/requirement.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace berth::gpu {
namespace {

// The longer ones first, for they begin with the shorter.
constexpr std::array<std::pair<std::string_view, Comparison>, 6> kComparisons{{{">=", Comparison::at_least},
                                                                               {"<=", Comparison::at_most},
                                                                               {"!=", Comparison::unequal},
                                                                               {"=", Comparison::equal},
                                                                               {">", Comparison::more},
                                                                               {"<", Comparison::less}}};

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const auto end = std::min(text.find_first_of(separators), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// Without a comparison the whole text is the subject, which nothing is.
Condition parse_condition(std::string_view text) {
  const auto at = text.find_first_of("<>=!");
  if (at == std::string_view::npos) return {.subject = std::string(text)};
  Condition condition{.subject = std::string(text.substr(0, at))};
  text.remove_prefix(at);
  for (const auto& [sign, comparison] : kComparisons) {
    if (!text.starts_with(sign)) continue;
    condition.comparison = comparison;
    condition.value = text.substr(sign.size());
    return condition;
  }
  condition.subject += text;
  return condition;
}

bool holds(std::strong_ordering order, Comparison comparison) {
  switch (comparison) {
    case Comparison::equal:
      return order == 0;
    case Comparison::unequal:
      return order != 0;
    case Comparison::less:
      return order < 0;
    case Comparison::at_most:
      return order <= 0;
    case Comparison::more:
      return order > 0;
    case Comparison::at_least:
      return order >= 0;
  }
  return false;
}

bool is_met(const Condition& condition, const Facts& facts) {
  if (condition.subject == "brand") return holds(facts.brand <=> condition.value, condition.comparison);
  const auto value = parse_version(condition.value);
  if (!value) return false;
  const auto holds_for = [&](const Version& version) { return holds(version <=> *value, condition.comparison); };
  if (condition.subject == "cuda") return holds_for(facts.cuda);
  if (condition.subject == "driver") return holds_for(facts.driver);
  if (condition.subject == "arch") return holds_for(facts.capability);
  return false;
}

}  // namespace

Requirement parse_requirement(std::string_view text) {
  Requirement requirement{.text = std::string(text), .alternatives = {}};
  for (const auto alternative : split(text, " \t\n")) {
    auto& conditions = requirement.alternatives.emplace_back();
    for (const auto condition : split(alternative, ",")) conditions.push_back(parse_condition(condition));
  }
  return requirement;
}

bool is_met(const Requirement& requirement, const Facts& facts) {
  if (requirement.alternatives.empty()) return true;
  return std::any_of(requirement.alternatives.begin(), requirement.alternatives.end(), [&](const auto& conditions) {
    return std::all_of(conditions.begin(), conditions.end(),
                       [&](const Condition& condition) { return is_met(condition, facts); });
  });
}

}  // namespace berth::gpu
