#pragma once

// Reading a JSON object field by field, with mistakes told by field: "job request: 'priority' must be a whole
// number from -1000 to 1000". Only for the .cpp files of agent/model. A field that is null counts as absent.

#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/clock.hpp"
#include "runtime/base/digest.hpp"
#include "runtime/base/units.hpp"

namespace berth::model {

class JsonReader {
 public:
  // Throws Code::invalid when it is no object.
  JsonReader(const nlohmann::json& object, std::string what);

  // Null when absent. Every field that is asked for counts as known.
  const nlohmann::json* find(const char* key);
  const nlohmann::json& require(const char* key);

  std::string text(const char* key, std::string otherwise = {});
  bool flag(const char* key, bool otherwise);
  std::vector<std::string> texts(const char* key);
  std::map<std::string, std::string> text_map(const char* key);
  std::optional<Digest> digest(const char* key);
  std::optional<Instant> instant(const char* key);
  Instant required_instant(const char* key);
  std::optional<std::chrono::milliseconds> duration(const char* key);  // not negative

  template <std::integral T>
  T whole(const char* key, T otherwise, T least = std::numeric_limits<T>::min(),
          T most = std::numeric_limits<T>::max()) {
    const auto* value = find(key);
    return value == nullptr ? otherwise : whole_of(key, *value, least, most);
  }
  template <std::integral T>
  T whole_of(const std::string& key, const nlohmann::json& value, T least, T most) {
    if (value.is_number_unsigned()) {
      if (const auto number = value.get<std::uint64_t>(); std::in_range<T>(number)) {
        if (const auto narrow = static_cast<T>(number); narrow >= least && narrow <= most) return narrow;
      }
    } else if (value.is_number_integer()) {
      if (const auto number = value.get<std::int64_t>(); std::in_range<T>(number)) {
        if (const auto narrow = static_cast<T>(number); narrow >= least && narrow <= most) return narrow;
      }
    }
    refuse(key, "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }

  // Throws for the first field that nobody asked for.
  void refuse_others() const;
  [[noreturn]] void refuse(const std::string& key, const std::string& complaint) const;

 private:
  const std::string& text_of(const char* key, const nlohmann::json& value) const;

  const nlohmann::json& object_;
  std::string what_;
  std::vector<std::string_view> known_;
};

}  // namespace berth::model
