#pragma once

// Ending work from outside: at a deadline, or when something else happens first.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/async/cleanup.hpp"
#include "runtime/async/task.hpp"

namespace berth::async {

// Runs both; when `interrupter` returns first, the main task is stopped. Returns, after both have ended,
// whether the interrupter is what ended the main task. Failures of either are rethrown, the main task's
// first.
Task<bool> run_until(Task<> main, Task<> interrupter);

// Throws Error(Code::timeout) "<what> took longer than …" when the task does not end in time. The task is
// stopped and has ended when this returns; one that succeeds in spite of the stop has succeeded.
Task<> with_deadline(std::chrono::nanoseconds limit, Task<> task, std::string what = "the operation");

template <class T>
Task<T> with_deadline(std::chrono::nanoseconds limit, Task<T> task, std::string what = "the operation") {
  std::optional<T> result;
  co_await with_deadline(limit, detail::store(std::move(task), result), std::move(what));
  co_return std::move(*result);
}

}  // namespace berth::async
