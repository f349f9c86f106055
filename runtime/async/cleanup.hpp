#pragma once

// Cleanup that runs to its end whatever happens to the body: `co_await with_cleanup(work(), undo())`.

#include <optional>
#include <utility>

#include "runtime/async/task.hpp"

namespace berth::async {
namespace detail {

// Runs the task as a coroutine of its own, which a stop of the caller does not reach.
Task<> apart(Task<> task);
// What to throw when the body failed and its cleanup failed too.
std::exception_ptr both_failed(std::exception_ptr body, std::exception_ptr cleanup);

template <class T>
Task<> store(Task<T> task, std::optional<T>& result) {
  result.emplace(co_await std::move(task));
}

}  // namespace detail

// Awaits the body, then the cleanup, which a stop cannot interrupt. Rethrows the body's failure, else the
// cleanup's. A stop that arrives during the cleanup is not lost: the caller's next co_await throws.
Task<> with_cleanup(Task<> body, Task<> cleanup);

template <class T>
Task<T> with_cleanup(Task<T> body, Task<> cleanup) {
  std::optional<T> result;
  co_await with_cleanup(detail::store(std::move(body), result), std::move(cleanup));
  co_return std::move(*result);
}

}  // namespace berth::async
