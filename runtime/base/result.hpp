#pragma once

// Result<T>: a value or an Error, for the few callers who branch on a failure. The names are std::expected's.

#include <optional>
#include <utility>
#include <variant>

#include "runtime/base/error.hpp"

namespace berth {

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : content_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const { return content_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  const Error& error() const { return std::get<1>(content_); }

  // The value; throws the Error where there is none.
  T& value() & {
    if (!has_value()) throw error();
    return std::get<0>(content_);
  }
  const T& value() const& {
    if (!has_value()) throw error();
    return std::get<0>(content_);
  }
  T&& value() && {
    if (!has_value()) throw error();
    return std::move(std::get<0>(content_));
  }

  T& operator*() { return std::get<0>(content_); }
  const T& operator*() const { return std::get<0>(content_); }
  T* operator->() { return &std::get<0>(content_); }
  const T* operator->() const { return &std::get<0>(content_); }

 private:
  std::variant<T, Error> content_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool has_value() const { return !error_; }
  explicit operator bool() const { return has_value(); }
  const Error& error() const { return *error_; }
  void value() const {
    if (error_) throw *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace berth
