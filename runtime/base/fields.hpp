#pragma once

// How a message is described, once and for every direction. A message is a plain struct; its description is one
// function beside it, in its own namespace:
//
//   void describe(Fields& fields, StopRequest& stop) {
//     fields.named("Stop", "What asks a job to stop.");
//     fields.field("signal", stop.signal, "The signal that asks it.", {.least = 1, .most = 64});
//     fields.field("grace_ms", stop.grace, "From there to SIGKILL; null: the node's default.");
//   }
//
// Who walks through it reads JSON into the struct, writes it (json_fields.hpp), or tells its form (json_schema.hpp). A
// field's form follows from its type: text, bool, numbers, ByteSize (bytes), Digest, Instant, durations (in their own
// unit, or in<milliseconds>(…)), std::optional, vectors, maps by text, enums (names_of), what is Strong (as its value)
// and other described structs.
//
// Null counts as absent when it is read, and a field that is absent keeps the value that it has.

#include <array>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/base/clock.hpp"
#include "runtime/base/digest.hpp"
#include "runtime/base/strong.hpp"
#include "runtime/base/units.hpp"

namespace berth {

// What does not follow from a field's type.
struct How {
  bool required = false;  // reading refuses a message without it
  bool left_out = false;  // not written while there is nothing in it: no value, text or elements, false, 0
  bool or_null = false;  // written as null then, as an optional is
  bool lenient = false;  // of an enum: a name that is not known leaves the value as it is
  bool secret = false;  // nothing that answers ever have
  std::int64_t least = std::numeric_limits<std::int64_t>::min();  // of a number, within those of its type
  std::int64_t most = std::numeric_limits<std::int64_t>::max();
};

// A duration that travels in another unit than it is kept in: in<std::chrono::milliseconds>(usage.user_cpu).
template <class Unit, class Kept>
struct InUnit {
  Kept& kept;
  bool has_value() const
    requires requires(const Kept& each) { each.has_value(); }
  {
    return kept.has_value();
  }
};
template <class Unit, class Kept>
InUnit<Unit, Kept> in(Kept& kept) {
  return {kept};
}

// A text that is JSON itself, and travels as the value that it tells; what is no JSON travels as text. "" is null.
struct JsonText {
  std::string& text;
  bool empty() const { return text.empty(); }
};

class Fields {
 public:
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;
  virtual ~Fields() = default;

  bool reads() const { return way_ == Way::reads; }

  // What the message is called and what it is, for documents; of an answer, which has all of its fields but those that
  // are left out.
  virtual void named(const char* name, const char* about);
  virtual void answered(const char* name, const char* about);

  template <class T>
  void field(const char* name, T&& value, const char* about, How how = {}) {
    const bool nullable = how.or_null || is_nullable(value);
    if (!enter(name, about, how, nullable, way_ == Way::writes && is_nothing(value))) return;
    visit(value, how);
    leave();
  }

  // One that is explained where the struct is, for messages that no document tells of.
  template <class T>
  void field(const char* name, T&& value, How how = {}) {
    field(name, value, "", how);
  }

  // Follows from other fields: written, never read. `compute` is called for writing alone.
  template <class F>
  void shown(const char* name, F compute, const char* about, How how = {}) {
    using T = std::decay_t<std::invoke_result_t<F>>;
    if (way_ == Way::writes) {
      auto value = compute();
      field(name, value, about, how);
    } else if (way_ == Way::tells) {
      T value{};
      field(name, value, about, how);
    } else {
      know(name);
    }
  }

  // An object that is no struct of its own: `describe_members` is called with these fields.
  template <class F>
  void object(const char* name, F describe_members, const char* about, How how = {}) {
    if (!enter(name, about, how, false, false)) return;
    visit_object({&describe_members, [](Fields& fields, void* members) { (*static_cast<F*>(members))(fields); }});
    leave();
  }

  // One of several, told apart by the field `tag`: names[i] for the i-th. The alternative's fields are beside it.
  template <class... Each>
  void tagged(const char* tag, std::variant<Each...>& value, std::span<const std::string_view> names) {
    Variant<Each...> alternatives(value);
    alternatives.names = names;
    visit_alternatives(tag, alternatives);
  }

 protected:
  enum class Way { reads, writes, tells };
  explicit Fields(Way way) : way_(way) {}

  // What describes a struct, without its type.
  struct Inner {
    void* message;
    void (*describe)(Fields&, void* message);
    void operator()(Fields& fields) const { describe(fields, message); }
  };
  enum class Element { text, number, other };
  struct Elements {
    virtual ~Elements() = default;
    virtual std::size_t size() const = 0;
    virtual void append() = 0;  // reading: one more
    virtual void visit(Fields& fields, std::size_t index) = 0;
    Element element = Element::other;
  };
  struct Entries {
    virtual ~Entries() = default;
    virtual void add(Fields& fields, const std::string& key) = 0;  // reading; and a sample for who tells
    // Writing: calls each(key) before each entry that is visited.
    virtual void write(Fields& fields, void (*each)(Fields&, const std::string& key)) = 0;
    Element element = Element::other;
  };
  struct Alternatives {
    virtual ~Alternatives() = default;
    virtual std::size_t index() const = 0;
    virtual void select(std::size_t index) = 0;
    virtual void visit(Fields& fields) = 0;  // the selected one
    std::span<const std::string_view> names;
  };

  // False where the value is not to be visited: it is absent, or has been written already. `nothing`: there is nothing
  // in it (writing).
  virtual bool enter(const char* name, const char* about, const How& how, bool nullable, bool nothing) = 0;
  virtual void leave() {}
  virtual void know(const char*) {}  // it may be there, and is not read

  virtual void visit_text(std::string& text) = 0;
  virtual void visit_flag(bool& flag) = 0;
  virtual void visit_number(std::int64_t& number, std::int64_t least, std::int64_t most) = 0;
  virtual void visit_number(std::uint64_t& number, std::uint64_t least, std::uint64_t most) = 0;
  virtual void visit_digest(Digest& digest) = 0;
  virtual void visit_instant(Instant& instant) = 0;
  virtual void visit_choice(std::size_t& index, std::span<const std::string_view> names, bool lenient) = 0;
  virtual void visit_json(std::string& text) = 0;
  virtual void visit_object(const Inner& inner) = 0;
  virtual void visit_list(Elements& elements) = 0;
  virtual void visit_map(Entries& entries) = 0;
  virtual void visit_alternatives(const char* tag, Alternatives& alternatives) = 0;

 private:
  template <class T>
  struct List final : Elements {
    explicit List(std::vector<T>& each) : values(each) { element = element_of<T>(); }
    std::size_t size() const override { return values.size(); }
    void append() override { values.emplace_back(); }
    void visit(Fields& fields, std::size_t index) override { fields.visit(values[index], {}); }
    std::vector<T>& values;
  };

  template <class T>
  struct Map final : Entries {
    explicit Map(std::map<std::string, T>& each) : values(each) { element = element_of<T>(); }
    void add(Fields& fields, const std::string& key) override { fields.visit(values[key], how); }
    void write(Fields& fields, void (*each)(Fields&, const std::string& key)) override {
      for (auto& [key, value] : values) {
        each(fields, key);
        fields.visit(value, how);
      }
    }
    std::map<std::string, T>& values;
    How how;
  };

  template <class... Each>
  struct Variant final : Alternatives {
    explicit Variant(std::variant<Each...>& each) : value(each) {}
    std::size_t index() const override { return value.index(); }
    void select(std::size_t index) override {
      std::size_t at = 0;
      ((at++ == index ? static_cast<void>(value.template emplace<Each>()) : void()), ...);
    }
    void visit(Fields& fields) override {
      std::visit([&](auto& each) { describe(fields, each); }, value);
    }
    std::variant<Each...>& value;
  };

  template <class T>
  static constexpr Element element_of() {
    if constexpr (IsStrong<T>) return element_of<typename T::Value>();
    if constexpr (std::is_same_v<T, std::string>) return Element::text;
    if constexpr (std::is_integral_v<T>) return Element::number;
    return Element::other;
  }

  template <class T>
  static bool is_nothing(const T& value) {
    if constexpr (IsStrong<T>)
      return is_nothing(value.value());
    else if constexpr (requires { value.empty(); })
      return value.empty();
    else if constexpr (requires { value.has_value(); })
      return !value.has_value();
    else if constexpr (std::is_integral_v<T> || std::is_same_v<T, ByteSize>)
      return value == T{};
    else
      return false;
  }

  template <class T>
  static constexpr bool is_nullable(const T&) {
    return false;
  }
  static constexpr bool is_nullable(const JsonText&) { return true; }
  template <class T>
  static constexpr bool is_nullable(const std::optional<T>&) {
    return true;
  }
  template <class Unit, class T>
  static constexpr bool is_nullable(const InUnit<Unit, std::optional<T>>&) {
    return true;
  }

  void visit(std::string& text, const How&) { visit_text(text); }
  void visit(bool& flag, const How&) { visit_flag(flag); }
  void visit(Digest& digest, const How&) { visit_digest(digest); }
  void visit(Instant& instant, const How&) { visit_instant(instant); }
  void visit(JsonText& json, const How&) { visit_json(json.text); }
  void visit(std::uint64_t& number, const How& how);
  void visit(ByteSize& size, const How& how);

  template <std::integral T>
  void visit(T& value, const How& how) {
    using Limits = std::numeric_limits<T>;
    std::int64_t number = value;
    visit_number(number, std::max<std::int64_t>(how.least, Limits::min()),
                 std::min<std::int64_t>(how.most, Limits::max()));
    if (way_ != Way::writes) value = static_cast<T>(number);
  }

  template <class Rep, class Period>
  void visit(std::chrono::duration<Rep, Period>& duration, const How&) {
    using Nanoseconds = std::ratio_divide<Period, std::nano>;  // any of them fits into as many of those
    std::int64_t count = duration.count();
    visit_number(count, 0, std::numeric_limits<std::int64_t>::max() / Nanoseconds::num);
    if (way_ != Way::writes) duration = std::chrono::duration<Rep, Period>(count);
  }

  template <class Unit, class Rep, class Period>
  void visit(InUnit<Unit, std::chrono::duration<Rep, Period>>& value, const How& how) {
    auto whole = std::chrono::duration_cast<Unit>(value.kept);
    visit(whole, how);
    if (way_ != Way::writes) value.kept = whole;
  }
  template <class Unit, class T>
  void visit(InUnit<Unit, std::optional<T>>& value, const How& how) {
    auto whole = way_ == Way::writes ? std::chrono::duration_cast<Unit>(*value.kept) : Unit{};
    visit(whole, how);
    if (way_ != Way::writes) value.kept = whole;
  }

  template <class T>
  void visit(std::optional<T>& value, const How& how) {
    if (way_ != Way::writes) value.emplace();
    visit(*value, how);
  }

  template <class T>
    requires std::is_enum_v<T>
  void visit(T& value, const How& how) {
    auto index = static_cast<std::size_t>(value);
    visit_choice(index, names_of(value), how.lenient);
    if (way_ != Way::writes) value = static_cast<T>(index);
  }

  template <class T>
  void visit(std::vector<T>& values, const How&) {
    List<T> list(values);
    visit_list(list);
  }

  template <class T>
  void visit(std::map<std::string, T>& values, const How& how) {
    Map<T> map(values);
    map.how = how;
    visit_map(map);
  }

  template <IsStrong T>
  void visit(T& strong, const How& how) {
    auto value = strong.value();
    visit(value, how);
    if (way_ != Way::writes) strong = T(std::move(value));
  }

  template <class T>
    requires(std::is_class_v<T> && !IsStrong<T>)
  void visit(T& message, const How&) {
    visit_object({&message, [](Fields& fields, void* each) { describe(fields, *static_cast<T*>(each)); }});
  }

  const Way way_;
};

}  // namespace berth
