#pragma once

// A loop for one root task: of a program's main(), or of a test.

#include <chrono>
#include <optional>
#include <utility>

#include "runtime/async/cleanup.hpp"
#include "runtime/async/task.hpp"

namespace berth::async {

// Runs the task on a fresh loop on this thread and returns when it and all it spawned have ended.
void run_to_end(Task<> root);

// For tests: the same, but the task is stopped after `limit` and the call throws Error(Code::timeout). Aborts
// the program, telling why, when coroutines outlive the root task or ignore the stop.
void run(Task<> root, std::chrono::milliseconds limit = std::chrono::seconds(5));

template <class T>
T run_to_end(Task<T> root) {
  std::optional<T> result;
  run_to_end(detail::store(std::move(root), result));
  return std::move(*result);
}

template <class T>
T run(Task<T> root, std::chrono::milliseconds limit = std::chrono::seconds(5)) {
  std::optional<T> result;
  run(detail::store(std::move(root), result), limit);
  return std::move(*result);
}

}  // namespace berth::async
