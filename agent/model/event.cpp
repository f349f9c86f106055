#include "agent/model/event.hpp"

#include <algorithm>
#include <array>

namespace berth::model {
namespace {

using What = Event::What;

constexpr std::array<std::string_view, 15> kNames{
    "submitted",        "queued",          "started",  "held",      "released", "priority_changed",
    "cancel_requested", "attempt_ended",   "requeued", "postponed", "ended",    "retried",
    "log_removed",      "outputs_removed", "forgotten"};

std::string how_it_ended(const Event& event) { return event.ending ? ": " + to_words(*event.ending) : ""; }

std::string attempt_of(const Event& event) { return "attempt " + std::to_string(event.attempt); }

}  // namespace

std::string_view name(What what) { return kNames[static_cast<std::size_t>(what)]; }

std::span<const std::string_view> names_of(What) { return kNames; }

std::optional<What> parse_what(std::string_view text) {
  const auto* found = std::find(kNames.begin(), kNames.end(), text);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<What>(found - kNames.begin());
}

std::string to_words(const Event& event) {
  switch (event.what) {
    case What::submitted:
      return "submitted";
    case What::queued:
      return "prepared, waits for its turn";
    case What::started:
      return attempt_of(event) + " started";
    case What::held:
      return "held";
    case What::released:
      return "released";
    case What::priority_changed:
      return "priority is now " + std::to_string(event.priority.value_or(0));
    case What::cancel_requested:
      return "cancellation asked for";
    case What::attempt_ended:
      return attempt_of(event) + " ended" + how_it_ended(event) + "; its outputs are collected";
    case What::requeued:
      return attempt_of(event) + " ended" + how_it_ended(event) + "; another will follow";
    case What::postponed:
      return "could not start now, waits again";
    case What::ended:
      return std::string(name(event.state)) + how_it_ended(event);
    case What::retried:
      return "to be run again";
    case What::log_removed:
      return "log removed " + event.why;
    case What::outputs_removed:
      return "outputs removed " + event.why;
    case What::forgotten:
      return "record removed";
  }
  return "";
}

Event in_outline(Event event) {
  if (event.what != What::submitted && event.what != What::cancel_requested) event.by.clear();
  if (event.what != What::ended) event.ending.reset();
  return event;
}

}  // namespace berth::model
