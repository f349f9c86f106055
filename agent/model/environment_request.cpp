#include "agent/model/environment_request.hpp"

#include <algorithm>
#include <array>

namespace berth::model {
namespace {

constexpr std::array<std::string_view, 7> kNames{"none",  "user_managed", "conda", "venv",
                                                 "image", "dockerfile",   "lock"};

}  // namespace

std::string_view name(EnvironmentRequest::Kind kind) { return kNames[static_cast<std::size_t>(kind)]; }

std::optional<EnvironmentRequest::Kind> parse_environment_kind(std::string_view name) {
  const auto* found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<EnvironmentRequest::Kind>(found - kNames.begin());
}

bool in_container(const EnvironmentRequest& environment) {
  return environment.kind == EnvironmentRequest::Kind::image ||
         environment.kind == EnvironmentRequest::Kind::dockerfile;
}

}  // namespace berth::model
