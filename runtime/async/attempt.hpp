#pragma once

// Turns one task's failure into a value, for the few callers who branch on it. A stop stays an exception.

#include <type_traits>
#include <utility>

#include "runtime/async/task.hpp"
#include "runtime/base/result.hpp"

namespace berth::async {
namespace detail {
// Rethrows Cancelled for a cancellation; an Error for anything else.
Error failure_or_rethrow(const std::exception_ptr& failure);
}  // namespace detail

template <class T>
Task<Result<T>> attempt(Task<T> task) {
  std::exception_ptr failure;
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(task);
      co_return Result<void>();
    } else {
      T value = co_await std::move(task);
      co_return Result<T>(std::move(value));
    }
  } catch (...) {
    failure = std::current_exception();
  }
  co_return Result<T>(detail::failure_or_rethrow(failure));
}

}  // namespace berth::async
