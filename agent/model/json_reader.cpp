#include "agent/model/json_reader.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::model {

using nlohmann::json;

namespace {
constexpr std::size_t kMostOfAKeyTold = 64;
}  // namespace

JsonReader::JsonReader(const json& object, std::string what) : object_(object), what_(std::move(what)) {
  if (!object_.is_object()) throw Error(Code::invalid, what_ + ": must be a JSON object");
}

const json* JsonReader::find(const char* key) {
  known_.emplace_back(key);
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const json& JsonReader::require(const char* key) {
  const auto* value = find(key);
  if (value == nullptr) refuse(key, "is missing");
  return *value;
}

std::string JsonReader::text(const char* key, std::string otherwise) {
  const auto* value = find(key);
  return value == nullptr ? otherwise : text_of(key, *value);
}

bool JsonReader::flag(const char* key, bool otherwise) {
  const auto* value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) refuse(key, "must be true or false");
  return value->get<bool>();
}

std::vector<std::string> JsonReader::texts(const char* key) {
  std::vector<std::string> result;
  const auto* value = find(key);
  if (value == nullptr) return result;
  if (!value->is_array()) refuse(key, "must be a list of texts");
  result.reserve(value->size());
  for (const auto& item : *value) result.push_back(text_of(key, item));
  return result;
}

std::map<std::string, std::string> JsonReader::text_map(const char* key) {
  std::map<std::string, std::string> result;
  const auto* value = find(key);
  if (value == nullptr) return result;
  if (!value->is_object()) refuse(key, "must be an object of texts");
  for (const auto& [name, item] : value->items()) result.emplace(name, text_of(key, item));
  return result;
}

std::optional<Digest> JsonReader::digest(const char* key) {
  const auto* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto digest = parse_digest(text_of(key, *value));
  if (!digest) refuse(key, "must be a SHA-256 digest: 64 lower-case hexadecimal digits");
  return digest;
}

std::optional<Instant> JsonReader::instant(const char* key) {
  const auto* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto instant = parse_rfc3339(text_of(key, *value));
  if (!instant) refuse(key, "must be a time like 2026-03-14T15:09:26Z");
  return instant;
}

Instant JsonReader::required_instant(const char* key) {
  const auto value = instant(key);
  if (!value) refuse(key, "is missing");
  return *value;
}

std::optional<std::chrono::milliseconds> JsonReader::duration(const char* key) {
  const auto* value = find(key);
  if (value == nullptr) return std::nullopt;
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 1'000'000;  // fits nanoseconds
  return std::chrono::milliseconds(whole_of<std::int64_t>(key, *value, 0, kMost));
}

void JsonReader::refuse_others() const {
  for (const auto& [key, value] : object_.items())
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) refuse(key, "is not a known field");
}

void JsonReader::refuse(const std::string& key, const std::string& complaint) const {
  const auto shown = key.size() <= kMostOfAKeyTold ? key : key.substr(0, kMostOfAKeyTold) + "…";
  throw Error(Code::invalid, what_ + ": '" + printable(shown) + "' " + complaint);
}

const std::string& JsonReader::text_of(const char* key, const json& value) const {
  if (!value.is_string()) refuse(key, value.is_null() ? "has a null in it" : "must be text");
  return value.get_ref<const std::string&>();
}

}  // namespace berth::model
