#include "agent/cli/environment_text.hpp"

#include <nlohmann/json.hpp>

#include "agent/cli/page.hpp"
#include "agent/cli/table.hpp"
#include "agent/cli/words.hpp"
#include "agent/wire/environment.hpp"
#include "agent/wire/json_text.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"

namespace berth::cli {
namespace {

using nlohmann::json;

// Of a record or a lock, which are the environment's own.
std::string text_of(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? printable(found->get<std::string>()) : std::string();
}

json list_in(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_array() ? *found : json::array();
}

std::string lines_of(const json& texts) {
  std::string lines;
  for (const auto& text : texts)
    if (text.is_string()) lines += text.get<std::string>() + "\n";
  return lines;
}

std::string joined(const std::vector<model::JobId>& jobs) {
  std::string all;
  for (const auto& job : jobs) all += (all.empty() ? "" : ", ") + printable(job.value());
  return all;
}

wire::EnvironmentPage page_from(std::string_view environment) {
  return message_from<wire::EnvironmentPage>(wire::parse_json(environment), "environment");
}

}  // namespace

std::string environments_table(std::string_view list, Instant now, const Screen& screen) {
  const auto answer = message_from<wire::EnvironmentList>(wire::parse_json(list), "environments");
  Table table({{"ENV"}, {"KIND"}, {"PYTHON"}, {"SIZE"}, {"LAST USED"}, {"STATE"}, {"WHAT", 20}});
  for (const auto& environment : answer.environments)
    table.add({{environment.digest.hex().substr(0, kEnvironmentDigits)},
               {printable(environment.kind)},
               {printable(environment.python_version)},
               {to_text(environment.bytes)},
               {ago(environment.last_used, now)},
               {environment.in_use ? "in use" : ""},
               {printable(environment.words)}});
  for (const auto& build : answer.building)
    table.add({{build.digest.hex().substr(0, kEnvironmentDigits)},
               {},
               {},
               {},
               {},
               {build.running ? "building" : "waiting", Style::yellow},
               {printable(build.words)}});
  if (answer.environments.empty() && answer.building.empty())
    return "no environments yet: `berth run --requirements FILE`, `--conda FILE` or `--image IMAGE` makes one\n";
  return table.text(screen);
}

std::string environment_page(std::string_view environment, Instant now, const Screen& screen) {
  const auto told = page_from(environment);
  const auto& answer = told.environment;
  const auto record = json_or_null(told.record);
  Page page(screen);
  page.heading(answer.digest.hex());
  page.line("What", printable(answer.words));
  page.line("Python", printable(answer.python_version));
  page.line("Interpreter", text_of(record, "interpreter"));
  page.line("Size", to_text(answer.bytes));
  page.line("Built", ago(answer.created, now));
  page.line("Last used", ago(answer.last_used, now) + (answer.in_use ? ", in use" : ""));
  page.line("Jobs", joined(told.jobs));
  const auto packages = list_in(record, "packages");
  if (!packages.empty()) page.heading("Packages");
  for (const auto& package : packages)
    if (package.is_string()) page.line("", printable(package.get<std::string>()));
  return page.take();
}

std::string exported(std::string_view environment) {
  const auto lock = json_or_null(page_from(environment).lock);
  const auto kind = text_of(lock, "kind");
  if (kind == "venv") return lines_of(list_in(lock, "pip"));
  if (kind == "image") return text_of(lock, "image") + "\n";
  if (kind != "conda")
    throw Error(Code::unsupported, "there is no form for other tools of an environment of kind '" + kind + "'",
                "`berth env lock` prints what it consists of");
  std::string text = "# conda create --name NAME --file THIS\n";
  if (const auto pip = list_in(lock, "pip"); !pip.empty()) {
    text += "# and then pip install --no-deps:\n";
    for (const auto& package : pip) text += "#   " + printable(package.get<std::string>()) + "\n";
  }
  return text + "@EXPLICIT\n" + lines_of(list_in(lock, "explicit"));
}

}  // namespace berth::cli
