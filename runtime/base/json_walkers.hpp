#pragma once

// How JSON is written and read by descriptions. Only for the .cpp files that do so for one kind of it each, so that a
// program has what it uses alone.

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/hex.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"

namespace berth::described {

inline constexpr std::size_t kMostOfAKeyTold = 64;

// --- writing

template <class Json>
class Writer final : public Fields {
 public:
  explicit Writer(Texts texts) : Fields(Way::writes), texts_(texts) {}

  Json write(AnyMessage message) {
    Json root = Json::object();
    object_ = &root;
    message.describe(*this, message.message);
    return root;
  }

 private:
  bool enter(const char* name, const char*, const How& how, bool nullable, bool nothing) override {
    if (nothing && how.left_out) return false;
    at_ = &(*object_)[name];
    return !(nothing && nullable);  // a new member is null
  }

  void visit_text(std::string& text) override {
    if (texts_ == Texts::bytes && !is_utf8(text))
      *at_ = {{"hex", to_hex(text)}};
    else
      *at_ = text;
  }
  void visit_flag(bool& flag) override { *at_ = flag; }
  void visit_number(std::int64_t& number, std::int64_t, std::int64_t) override { *at_ = number; }
  void visit_number(std::uint64_t& number, std::uint64_t, std::uint64_t) override { *at_ = number; }
  void visit_digest(Digest& digest) override { *at_ = digest.hex(); }
  void visit_instant(Instant& instant) override { *at_ = to_rfc3339(instant); }
  void visit_choice(std::size_t& index, std::span<const std::string_view> names, bool) override { *at_ = names[index]; }

  void visit_json(std::string& text) override {
    auto value = json_or_null(text);
    *at_ = value.is_null() ? Json(text) : Json(std::move(value));
  }

  void visit_object(const Inner& inner) override {
    *at_ = Json::object();
    auto* const outer = std::exchange(object_, at_);
    inner(*this);
    object_ = outer;
  }

  void visit_list(Elements& elements) override {
    auto& list = *at_;
    list = Json::array();
    list.template get_ref<typename Json::array_t&>().reserve(elements.size());
    for (std::size_t i = 0; i < elements.size(); ++i) {
      at_ = &list.emplace_back(nullptr);
      elements.visit(*this, i);
    }
  }

  void visit_map(Entries& entries) override {
    auto* const map = at_;
    *map = Json::object();
    auto* const outer = std::exchange(map_, map);
    entries.write(*this, [](Fields& fields, const std::string& key) {
      auto& self = static_cast<Writer&>(fields);
      self.at_ = &(*self.map_)[key];
    });
    map_ = outer;
  }

  void visit_alternatives(const char* tag, Alternatives& alternatives) override {
    (*object_)[tag] = alternatives.names[alternatives.index()];
    alternatives.visit(*this);
  }

  const Texts texts_;
  Json* object_ = nullptr;  // whose fields are written
  Json* at_ = nullptr;      // the value that is written
  Json* map_ = nullptr;
};

// --- reading

inline std::string quoted_choice(std::span<const std::string_view> names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    ((text += '\'') += names[i]) += '\'';
  }
  return text;
}

template <class Json>
class Reader final : public Fields {
 public:
  Reader(Unknown unknown, Texts texts) : Fields(Way::reads), unknown_(unknown), texts_(texts) {}

  void read(const Json& json, AnyMessage message, std::string_view what) {
    at_ = &json;
    name_ = what;
    visit_object({message.message, message.describe});
  }

 private:
  bool enter(const char* name, const char*, const How& how, bool, bool) override {
    name_ = name;
    const auto found = object_->find(name);
    if (found != object_->end()) {
      if (unknown_ == Unknown::refused) known_.push_back(name);
      at_ = &*found;
      if (!at_->is_null()) return true;
    }
    if (how.required) refuse("is missing");
    return false;
  }

  void know(const char* name) override {
    if (unknown_ == Unknown::refused && object_->contains(name)) known_.push_back(name);
  }

  void visit_text(std::string& text) override {
    if (texts_ == Texts::bytes && at_->is_object()) {
      const auto hex = at_->find("hex");
      auto bytes =
          hex != at_->end() && hex->is_string() ? from_hex(hex->template get_ref<const std::string&>()) : std::nullopt;
      if (!bytes) refuse("is malformed");
      text = std::move(*bytes);
      return;
    }
    text = text_here();
  }

  void visit_flag(bool& flag) override {
    if (!at_->is_boolean()) refuse("must be true or false");
    flag = at_->template get<bool>();
  }

  void visit_number(std::int64_t& number, std::int64_t least, std::int64_t most) override {
    visit_any_number(number, least, most);
  }
  void visit_number(std::uint64_t& number, std::uint64_t least, std::uint64_t most) override {
    visit_any_number(number, least, most);
  }

  template <class T>
  void visit_any_number(T& number, T least, T most) {
    const auto take = [&](auto told) {
      if (!std::in_range<T>(told)) return false;
      number = static_cast<T>(told);
      return number >= least && number <= most;
    };
    if (at_->is_number_unsigned() ? take(at_->template get<std::uint64_t>())
                                  : at_->is_number_integer() && take(at_->template get<std::int64_t>()))
      return;
    refuse("must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }

  void visit_digest(Digest& digest) override {
    const auto parsed = parse_digest(text_here());
    if (!parsed) refuse("must be a SHA-256 digest: 64 lower-case hexadecimal digits");
    digest = *parsed;
  }

  void visit_instant(Instant& instant) override {
    const auto parsed = parse_rfc3339(text_here());
    if (!parsed) refuse("must be a time like 2026-03-14T15:09:26Z");
    instant = *parsed;
  }

  void visit_choice(std::size_t& index, std::span<const std::string_view> names, bool lenient) override {
    const auto& name = text_here();
    for (std::size_t i = 0; i < names.size(); ++i)
      if (names[i] == name) {
        index = i;
        return;
      }
    if (!lenient) refuse("must be " + quoted_choice(names));
  }

  void visit_json(std::string& text) override {
    text = at_->is_string() ? at_->template get<std::string>() : at_->dump();
  }

  void visit_object(const Inner& inner) override {
    if (!at_->is_object()) throw Error(Code::invalid, std::string(name_) + ": must be a JSON object");
    const auto outer = std::exchange(object_, at_);
    const auto outer_what = std::exchange(what_, name_);
    const auto known = known_.size();
    inner(*this);
    if (unknown_ == Unknown::refused && known_.size() - known != object_->size()) refuse_others(known);
    known_.resize(known);
    object_ = outer;
    what_ = outer_what;
  }

  void visit_list(Elements& elements) override {
    if (!at_->is_array()) refuse(elements.element == Element::text ? "must be a list of texts" : "must be a list");
    const auto name = name_;
    const auto& list = *at_;
    for (std::size_t i = 0; i < list.size(); ++i) {
      at_ = &list[i];
      name_ = name;
      elements.append();
      elements.visit(*this, i);
    }
  }

  void visit_map(Entries& entries) override {
    if (!at_->is_object())
      refuse(entries.element == Element::text     ? "must be an object of texts"
             : entries.element == Element::number ? "must be an object of numbers"
                                                  : "must be an object");
    const auto name = name_;
    const auto& map = *at_;
    for (auto entry = map.begin(); entry != map.end(); ++entry) {
      at_ = &entry.value();
      name_ = name;
      entries.add(*this, entry.key());
    }
  }

  void visit_alternatives(const char* tag, Alternatives& alternatives) override {
    auto index = alternatives.names.size();
    if (enter(tag, "", {.required = true}, false, false)) visit_choice(index, alternatives.names, false);
    alternatives.select(index);
    alternatives.visit(*this);
  }

  const std::string& text_here() const {
    if (!at_->is_string()) refuse(at_->is_null() ? "has a null in it" : "must be text");
    return at_->template get_ref<const std::string&>();
  }

  // The first that nobody asked for.
  void refuse_others(std::size_t known) {
    for (auto member = object_->begin(); member != object_->end(); ++member)
      if (std::find(known_.begin() + static_cast<std::ptrdiff_t>(known), known_.end(), member.key()) == known_.end()) {
        name_ = member.key();
        refuse("is not a known field");
      }
  }

  [[noreturn]] void refuse(const std::string& complaint) const {
    const auto shown =
        name_.size() <= kMostOfAKeyTold ? std::string(name_) : std::string(name_.substr(0, kMostOfAKeyTold)) + "…";
    throw Error(Code::invalid, std::string(what_) + ": '" + printable(shown) + "' " + complaint);
  }

  const Unknown unknown_;
  const Texts texts_;
  const Json* object_ = nullptr;  // whose fields are read
  const Json* at_ = nullptr;      // the value that is read
  std::string_view what_;         // names the object
  std::string_view name_;         // the field's
  std::vector<std::string_view> known_;  // fields of the objects that are being read
};

}  // namespace berth::described
