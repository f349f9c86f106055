#include "runtime/gpu/wanted.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <regex>

namespace berth::gpu {
namespace {

constexpr int kAnyMinor = 99;  // 12.99: some CUDA 12
// What is longer says nothing about CUDA: std::regex takes stack by the length of what it reads.
constexpr std::size_t kLongest = 1000;

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string without_spaces(std::string_view text) {
  std::string result(text);
  std::erase_if(result, [](unsigned char c) { return std::isspace(c) != 0; });
  return result;
}

Version toolkit(const Version& version) { return {version.first, version.second, 0}; }

void want_exactly(CudaRequirement& wanted, const Version& version) { wanted.least = wanted.most = toolkit(version); }

void want_major(CudaRequirement& wanted, int major_version) {
  wanted.least = Version{major_version, 0, 0};
  wanted.most = Version{major_version, kAnyMinor, 0};
}

// "121" → 12.1, "92" → 9.2: the last digit is the minor version. "12": all of CUDA 12.
void want_digits(CudaRequirement& wanted, const std::string& digits) {
  const int number = std::stoi(digits);
  constexpr int kFewest = 20;  // 75 and more of two digits are CUDA 7.5 to 9.2
  if (number < kFewest) {
    want_major(wanted, number);
  } else {
    want_exactly(wanted, {number / 10, number % 10, 0});
  }
}

const std::string* find(const Variables& variables, std::string_view name) {
  for (const auto& [key, value] : variables)
    if (key == name) return &value;
  return nullptr;
}

bool is_yes(const std::string* value) { return value != nullptr && (*value == "1" || lower(*value) == "true"); }

// The toolkit that "cuda>=12.4" of an alternative of its own stands for.
std::optional<Version> cuda_of(const Requirement& requirement) {
  for (const auto& conditions : requirement.alternatives)
    if (conditions.size() == 1 && conditions[0].subject == "cuda" && conditions[0].comparison == Comparison::at_least)
      return parse_version(conditions[0].value);
  return std::nullopt;
}

std::optional<Version> cuda_of_tag(const std::string& reference) {
  if (reference.size() > kLongest) return std::nullopt;
  const auto name = lower(reference.substr(0, reference.find('@')));
  static const std::regex named(R"(cuda[-_:]?(\d{1,2}\.\d{1,2}))");
  static const std::regex joined(R"([-_:]cu(\d{2,3})(?!\d))");
  std::smatch match;
  if (std::regex_search(name, match, named)) return parse_version(match[1].str());
  if (!std::regex_search(name, match, joined)) return std::nullopt;
  CudaRequirement wanted;
  want_digits(wanted, match[1]);
  return wanted.least;
}

// One bound of conda's: ">=12.0", "<12.5", "==12.4", "12.*", "12.4".
void narrow(CudaRequirement& wanted, std::string_view bound) {
  const auto sign = bound.substr(0, std::min(bound.find_first_not_of("<>=!~"), bound.size()));
  const auto text = bound.substr(sign.size());
  const auto version = parse_version(text);
  if (!version || sign.starts_with('!')) return;
  const auto at = toolkit(*version);
  const bool has_minor = text.find('.') != std::string_view::npos && !text.ends_with(".*");
  if (sign == ">=" || sign == ">") {
    wanted.least = std::max(wanted.least.value_or(at), at);
  } else if (sign == "<=") {
    wanted.most = std::min(wanted.most.value_or(at), at);
  } else if (sign == "<") {
    const auto below = at.second > 0 ? Version{at.first, at.second - 1, 0} : Version{at.first - 1, kAnyMinor, 0};
    wanted.most = std::min(wanted.most.value_or(below), below);
  } else if (has_minor || (text.find('.') != std::string_view::npos && at.second > 0)) {
    want_exactly(wanted, at);
  } else {
    want_major(wanted, at.first);
  }
}

// "pytorch::pytorch-cuda=12.1", "cuda-version >=12.0,<12.5", "cudatoolkit=11.3=hashed_0" → name and bounds.
std::pair<std::string, std::string> parts_of_spec(const std::string& spec) {
  auto text = lower(spec.substr(0, spec.find('#')));
  if (const auto channel = text.rfind("::"); channel != std::string::npos) text.erase(0, channel + 2);
  text.erase(0, text.find_first_not_of(" \t"));
  const auto end = std::min(text.find_first_of(" \t<>=!~["), text.size());
  auto bounds = without_spaces(std::string_view(text).substr(end));
  const auto value = bounds.find_first_not_of("<>=!~");
  if (const auto build = bounds.find('=', value == std::string::npos ? bounds.size() : value);
      build != std::string::npos && build > 0 && std::isdigit(static_cast<unsigned char>(bounds[build - 1])) != 0)
    bounds.erase(build);
  return {text.substr(0, end), bounds};
}

std::optional<CudaRequirement> wanted_by_spec(const std::string& spec) {
  static constexpr std::array<std::string_view, 3> kNames{"cuda-version", "pytorch-cuda", "cudatoolkit"};
  const auto [name, bounds] = parts_of_spec(spec);
  if (std::find(kNames.begin(), kNames.end(), name) == kNames.end()) return std::nullopt;
  CudaRequirement wanted{.by = "conda's " + spec};
  std::size_t from = 0;
  while (from < bounds.size()) {
    const auto end = std::min(bounds.find_first_of(",|", from), bounds.size());
    narrow(wanted, std::string_view(bounds).substr(from, end - from));
    if (end < bounds.size() && bounds[end] == '|') break;  // of several choices the first, conda's oldest by custom
    from = end + 1;
  }
  if (!wanted.least && !wanted.most) return std::nullopt;
  return wanted;
}

// What a requirement's name or local version tells.
std::optional<CudaRequirement> wanted_by_line(const std::string& line) {
  if (line.size() > kLongest) return std::nullopt;
  static const std::regex local(R"(\+cu(\d{2,3})(?!\d))");
  static const std::regex runtime(R"(^nvidia-cuda-(?:runtime|nvrtc|cupti)-cu\d+==(\d+\.\d+))");
  static const std::regex package(R"(^[a-z0-9._-]+-cu(?:da)?(\d{2,3})x?(?:$|[^a-z0-9.-]))");
  static const std::regex extra(R"(^[a-z0-9._-]+\[[^\]]*cuda(\d{2})[^\]]*\])");
  static const std::regex index(
      R"(^(?:--extra-index-url|--index-url|-i|-f|--find-links)[= ]?\S*/cu(\d{2,3})/?(?:$|[^0-9a-z]))");
  const auto text = lower(line);
  CudaRequirement wanted{.by = "pip's " + line};
  std::smatch match;
  const auto compact = without_spaces(text);
  if (std::regex_search(compact, match, runtime)) {
    want_exactly(wanted, *parse_version(match[1].str()));
  } else if (std::regex_search(text, match, local) || std::regex_search(text, match, index) ||
             std::regex_search(compact, match, package) || std::regex_search(compact, match, extra)) {
    want_digits(wanted, match[1]);
  } else {
    return std::nullopt;
  }
  return wanted;
}

std::string trimmed(const std::string& line) {
  auto text = line.substr(0, line.starts_with('#') ? 0 : line.find(" #"));
  if (const auto marker = text.find(';'); marker != std::string::npos) text.erase(marker);
  const auto begin = text.find_first_not_of(" \t");
  const auto end = text.find_last_not_of(" \t\r\n\\");
  return begin == std::string::npos || end == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

}  // namespace

std::optional<CudaRequirement> wanted_by_image(const std::string& reference, const Variables& variables) {
  if (is_yes(find(variables, "NVIDIA_DISABLE_REQUIRE"))) return std::nullopt;
  CudaRequirement wanted{.by = "the image " + reference};
  for (const auto& [key, value] : variables)
    if (key.starts_with("NVIDIA_REQUIRE_") && !key.starts_with("NVIDIA_REQUIRE_JETPACK"))
      wanted.requirements.push_back(parse_requirement(value));
  auto version = std::optional<Version>();
  if (const auto* text = find(variables, "CUDA_VERSION")) version = parse_version(*text);
  for (const auto& requirement : wanted.requirements)
    if (!version) version = cuda_of(requirement);
  if (!version) version = cuda_of_tag(reference);
  if (version) want_exactly(wanted, *version);
  wanted.carries_compat = find(variables, "NV_CUDA_COMPAT_PACKAGE") != nullptr;
  if (!version && wanted.requirements.empty()) return std::nullopt;
  return wanted;
}

std::vector<CudaRequirement> wanted_by_conda(const std::vector<std::string>& specs) {
  std::vector<CudaRequirement> all;
  bool carries_compat = false;
  for (const auto& spec : specs) {
    if (auto wanted = wanted_by_spec(spec)) all.push_back(std::move(*wanted));
    carries_compat = carries_compat || parts_of_spec(spec).first.starts_with("cuda-compat");
  }
  for (auto& wanted : all) wanted.carries_compat = carries_compat;
  return all;
}

std::vector<CudaRequirement> wanted_by_pip(const std::vector<std::string>& lines) {
  std::vector<CudaRequirement> all;
  for (const auto& line : lines)
    if (auto wanted = wanted_by_line(trimmed(line))) all.push_back(std::move(*wanted));
  return all;
}

}  // namespace berth::gpu
