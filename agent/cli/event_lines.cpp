#include "agent/cli/event_lines.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/model/json.hpp"
#include "agent/model/json_reader.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::cli {
namespace {

using model::JsonReader;
using nlohmann::json;

constexpr std::size_t kJobColumn = 22;

const json& list(JsonReader& answer, const char* key) {
  const auto& value = answer.require(key);
  if (!value.is_array()) answer.refuse(key, "must be a list");
  return value;
}

std::string line_of(const json& event) {
  JsonReader fields(event, "event");
  auto job = printable(fields.text("job"));
  job.resize(std::max(job.size() + 2, kJobColumn), ' ');
  const auto by = fields.text("by");
  return to_local_text(fields.required_instant("time")) + "  " + job + printable(fields.text("words")) +
         (by.empty() ? "" : ", by " + printable(by)) + "\n";
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
  const auto parsed = model::parse_json(answer);
  JsonReader fields(parsed, "the agent's answer");
  EventText text;
  text.next = fields.whole<std::int64_t>("next", 0);
  for (const auto& gone : list(fields, "missing")) {
    JsonReader missing(gone, "what is missing");
    const auto up_to = missing.whole<std::int64_t>("up_to", 0);
    auto& told = told_[missing.whole<std::int64_t>("uid", 0)];
    if (told >= up_to) continue;
    told = up_to;
    if (json_) text.lines += json{{"missing", gone}}.dump() + "\n";
    text.remarks.push_back("not all events of " + printable(missing.text("user")) + "'s jobs up to " +
                           std::to_string(up_to) + " are kept any more");
  }
  for (const auto& event : list(fields, "events")) {
    text.lines += json_ ? event.dump() + "\n" : line_of(event);
    ++text.events;
  }
  return text;
}

}  // namespace berth::cli
