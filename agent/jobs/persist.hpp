#pragma once

// Jobs::persist, for the sources of Jobs.

#include "agent/jobs/jobs.hpp"
#include "runtime/async/attempt.hpp"
#include "runtime/async/wait.hpp"

namespace berth::jobs {

// What would be refused again, however often it is tried.
inline bool is_refused(Code code) {
  return code == Code::conflict || code == Code::not_found || code == Code::invalid || code == Code::unsupported ||
         code == Code::too_large;
}

template <class MakeTask>
Task<> Jobs::persist(MakeTask make, std::string what) {
  std::optional<async::Backoff> backoff;  // seldom needed
  for (;;) {
    const auto result = co_await async::attempt(make());
    if (result) co_return;
    const auto code = result.error().code();
    if (is_refused(code)) throw result.error();
    // What fails now must be recorded all the same: room is made from the reserve, else somebody must make it.
    const bool released = code == Code::no_space && reserve_.release();
    log_.error("cannot record", kv("what", what), kv("error", result.error().describe()),
               kv("reserve_released", released));
    if (!backoff) backoff.emplace(std::chrono::milliseconds(100), std::chrono::seconds(30));
    co_await async::sleep_for(backoff->next());
  }
}

}  // namespace berth::jobs
