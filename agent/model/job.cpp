#include "agent/model/job.hpp"

#include <algorithm>
#include <array>

namespace berth::model {
namespace {

constexpr std::array<std::string_view, 8> kStateNames{"Preparing",       "Queued",    "Running", "Finalizing",
                                                      "CancelRequested", "Completed", "Failed",  "Canceled"};

using Mask = unsigned;

template <class... S>
constexpr Mask any_of(S... states) {
  return ((1U << static_cast<unsigned>(states)) | ...);
}

Mask followers(State state) {
  using enum State;
  switch (state) {
    case preparing:
      return any_of(queued, cancel_requested, failed, canceled);
    case queued:  // back to preparing: what was prepared is gone
      return any_of(preparing, running, cancel_requested, failed, canceled);
    case running:  // straight to an end, or to another start, where there is nothing to finalize
      return any_of(finalizing, preparing, queued, cancel_requested, completed, failed, canceled);
    case finalizing:
      return any_of(preparing, queued, cancel_requested, completed, failed, canceled);
    case cancel_requested:  // it may have ended by itself before the stop reached it
      return any_of(finalizing, completed, failed, canceled);
    case completed:
    case failed:
    case canceled:
      return 0;
  }
  return 0;
}

}  // namespace

std::string_view name(State state) { return kStateNames[static_cast<std::size_t>(state)]; }

std::span<const std::string_view> names_of(State) { return kStateNames; }

std::optional<State> parse_state(std::string_view name) {
  const auto* found = std::find(kStateNames.begin(), kStateNames.end(), name);
  if (found == kStateNames.end()) return std::nullopt;
  return static_cast<State>(found - kStateNames.begin());
}

bool is_final(State state) { return followers(state) == 0; }

bool may_follow(State from, State to) { return (followers(from) & any_of(to)) != 0; }

bool is_job_id(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::string to_words(const Removal& removal) { return "on " + to_local_text(removal.time) + " " + removal.why; }

}  // namespace berth::model
