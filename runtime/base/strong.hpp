#pragma once

// A value with a type of its own, so that none is taken for another: no bare value becomes one by itself, nor one the
// other. It is logged, bound to statements and described in messages as the value that it is.
//
//   struct JobId : Strong<JobId, std::string> {
//     using Strong::Strong;
//   };

#include <compare>
#include <concepts>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace berth {

template <class Self, class Bare>
class Strong {
 public:
  using Value = Bare;

  constexpr Strong() = default;
  template <class T>
    requires std::constructible_from<Value, T>
  constexpr explicit Strong(T&& value)  // NOLINT(bugprone-forwarding-reference-overload): copies do not fit
      : value_{std::forward<T>(value)} {}

  constexpr const Value& value() const { return value_; }

  bool empty() const
    requires std::same_as<Value, std::string>
  {
    return value_.empty();
  }
  // Words that name it.
  friend std::string operator+(std::string before, const Strong& text)
    requires std::same_as<Value, std::string>
  {
    return std::move(before += text.value_);
  }
  friend std::string operator+(const Strong& text, std::string_view after)
    requires std::same_as<Value, std::string>
  {
    return std::string(text.value_).append(after);
  }

  friend constexpr auto operator<=>(const Strong&, const Strong&) = default;

 private:
  Value value_{};
};

template <class T>
concept IsStrong = requires { typename T::Value; } && std::derived_from<T, Strong<T, typename T::Value>>;

}  // namespace berth

template <berth::IsStrong T>
struct std::hash<T> {
  std::size_t operator()(const T& strong) const noexcept { return std::hash<typename T::Value>()(strong.value()); }
};
