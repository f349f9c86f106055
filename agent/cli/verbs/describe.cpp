#include <nlohmann/json.hpp>

#include "agent/cli/output.hpp"
#include "agent/cli/verbs/verbs.hpp"

namespace berth::cli {
namespace {

using nlohmann::ordered_json;

const char* name(Description::Kind kind) {
  switch (kind) {
    case Description::Kind::flag:
      return "flag";
    case Description::Kind::option:
      return "option";
    case Description::Kind::argument:
      return "argument";
    case Description::Kind::command:
      break;
  }
  return "command";
}

ordered_json to_json(const Description::Group& group) {
  auto entries = ordered_json::array();
  for (const auto& entry : group.entries)
    entries.push_back(
        {{"kind", name(entry.kind)}, {"names", entry.names}, {"value", entry.value}, {"help", entry.help}});
  return {{"heading", group.heading}, {"entries", entries}};
}

ordered_json to_json(const Verb& verb) {
  const auto description = describe(verb);
  auto groups = ordered_json::array();
  for (const auto& group : description.groups) groups.push_back(to_json(group));
  auto sections = ordered_json::array();
  for (const auto& [heading, text] : description.sections) sections.push_back({{"heading", heading}, {"text", text}});
  return {{"name", verb.name}, {"brief", verb.summary}, {"usage", description.usage}, {"summary", description.summary},
          {"groups", groups},  {"sections", sections}};
}

}  // namespace

int verb::describe(const Arguments&, Common&) {
  auto all = ordered_json::array();
  for (const auto& verb : verbs()) all.push_back(to_json(verb));
  print(ordered_json{{"verbs", all}}.dump(1) + "\n");
  return 0;
}

}  // namespace berth::cli
