#include "agent/model/environment_request.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "runtime/base/json.hpp"

namespace berth::model {
namespace {

using Field = EnvironmentKind::Field;

// By EnvironmentRequest::Kind.
constexpr std::array<EnvironmentKind, 7> kKinds{{
    {.name = "none"},
    {.name = "user_managed", .python = Field::needed},
    {.name = "conda", .file = Field::needed},
    {.name = "venv", .python = Field::optional, .file = Field::needed},
    {.name = "image", .file = Field::optional, .image = Field::needed, .in_container = true},
    {.name = "dockerfile", .context = Field::needed, .in_container = true},
    {.name = "lock", .file = Field::needed},
}};
constexpr auto kNames = [] {
  std::array<std::string_view, kKinds.size()> names;
  std::ranges::transform(kKinds, names.begin(), &EnvironmentKind::name);
  return names;
}();

constexpr JsonBounds kLockBounds{.bytes = 1U << 20, .values = 100'000, .depth = 16};

}  // namespace

const EnvironmentKind& traits(EnvironmentRequest::Kind kind) { return kKinds.at(static_cast<std::size_t>(kind)); }

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
  if (environment.kind == EnvironmentRequest::Kind::lock)
    return environment.of_image ? *environment.of_image : is_lock_of_image(environment);
  return traits(environment.kind).in_container;
}

}  // namespace berth::model
