#include "agent/model/environment_request.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "runtime/base/json.hpp"

namespace berth::model {
namespace {

constexpr std::array<std::string_view, 7> kNames{"none",  "user_managed", "conda", "venv",
                                                 "image", "dockerfile",   "lock"};

constexpr JsonBounds kLockBounds{.bytes = 1U << 20, .values = 100'000, .depth = 16};

}  // namespace

std::string_view name(EnvironmentRequest::Kind kind) { return kNames[static_cast<std::size_t>(kind)]; }

std::span<const std::string_view> names_of(EnvironmentRequest::Kind) { return kNames; }

std::optional<EnvironmentRequest::Kind> parse_environment_kind(std::string_view name) {
  const auto* found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<EnvironmentRequest::Kind>(found - kNames.begin());
}

bool is_lock_of_image(const EnvironmentRequest& environment) {
  const auto text = environment.files.find(environment.file);
  if (text == environment.files.end()) return false;
  const auto lock = json_or_null(text->second, kLockBounds);
  const auto kind = lock.is_object() ? lock.find("kind") : lock.end();
  return kind != lock.end() && *kind == "image";
}

bool in_container(const EnvironmentRequest& environment) {
  using enum EnvironmentRequest::Kind;
  if (environment.kind == lock) return environment.of_image ? *environment.of_image : is_lock_of_image(environment);
  return environment.kind == image || environment.kind == dockerfile;
}

}  // namespace berth::model
