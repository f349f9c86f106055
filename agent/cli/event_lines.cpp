#include "agent/cli/event_lines.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/wire/event.hpp"
#include "agent/wire/json_text.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"

namespace berth::cli {
namespace {

using nlohmann::json;

constexpr std::size_t kJobColumn = 22;

std::string line_of(const wire::Event& told) {
  const auto& event = told.event;
  auto job = printable(event.job.value());
  job.resize(std::max(job.size() + 2, kJobColumn), ' ');
  return to_local_text(event.time) + "  " + job + printable(told.words) +
         (event.by.empty() ? "" : ", by " + printable(event.by)) + "\n";
}

}  // namespace

std::string event_target(const EventQuery& query) {
  auto target = "/v1/events?limit=" + std::to_string(query.limit);
  if (query.after)
    target += "&after=" + std::to_string(*query.after) + "&timeout_ms=" + std::to_string(query.wait.count());
  if (query.mine) target += "&mine=1";
  return target;
}

EventText EventLines::read(std::string_view answer) {
  const auto parsed = wire::parse_json(answer);
  const auto page = message_from<wire::EventPage>(parsed, "the agent's answer");
  EventText text;
  text.next = page.next;
  for (const auto& gone : page.missing) {
    auto& told = told_[gone.uid];
    if (told >= gone.up_to) continue;
    told = gone.up_to;
    if (json_) text.lines += json{{"missing", json_of(gone)}}.dump() + "\n";
    text.remarks.push_back("not all events of " + printable(gone.user) + "'s jobs up to " + std::to_string(gone.up_to) +
                           " are kept any more");
  }
  text.events = page.events.size();
  if (json_)
    for (const auto& event : parsed.at("events")) text.lines += event.dump() + "\n";  // as it was sent
  else
    for (const auto& event : page.events) text.lines += line_of(event);
  return text;
}

}  // namespace berth::cli
