#include "agent/cli/environment_text.hpp"

#include <nlohmann/json.hpp>

#include "agent/cli/page.hpp"
#include "agent/cli/table.hpp"
#include "agent/cli/words.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"

namespace berth::cli {
namespace {

using nlohmann::json;

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? printable(found->get<std::string>()) : std::string();
}

std::string age_of(const json& object, const char* key, Instant now) {
  const auto time = parse_rfc3339(text_of(object, key));
  return time ? ago(*time, now) : std::string();
}

std::string size_of(const json& object) { return to_text(ByteSize(object.value("bytes", std::uint64_t{0}))); }

json list_in(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : json::array();
}

std::string lines_of(const json& texts) {
  std::string lines;
  for (const auto& text : texts)
    if (text.is_string()) lines += text.get<std::string>() + "\n";
  return lines;
}

std::string joined(const json& texts) {
  std::string all;
  for (const auto& text : texts)
    if (text.is_string()) all += (all.empty() ? "" : ", ") + printable(text.get<std::string>());
  return all;
}

}  // namespace

std::string environments_table(std::string_view list, Instant now, const Screen& screen) {
  const auto answer = read_json(list);
  Table table({{"ENV"}, {"KIND"}, {"PYTHON"}, {"SIZE"}, {"LAST USED"}, {"STATE"}, {"WHAT", 20}});
  for (const auto& environment : list_in(answer, "environments"))
    table.add({{text_of(environment, "digest").substr(0, kEnvironmentDigits)},
               {text_of(environment, "kind")},
               {text_of(environment, "python_version")},
               {size_of(environment)},
               {age_of(environment, "last_used", now)},
               {environment.value("in_use", false) ? "in use" : ""},
               {text_of(environment, "words")}});
  for (const auto& build : list_in(answer, "building"))
    table.add({{text_of(build, "digest").substr(0, kEnvironmentDigits)},
               {},
               {},
               {},
               {},
               {build.value("running", false) ? "building" : "waiting", Style::yellow},
               {text_of(build, "words")}});
  if (list_in(answer, "environments").empty() && list_in(answer, "building").empty())
    return "no environments yet: `berth run --requirements FILE`, `--conda FILE` or `--image IMAGE` makes one\n";
  return table.text(screen);
}

std::string environment_page(std::string_view environment, Instant now, const Screen& screen) {
  const auto answer = read_json(environment);
  const auto record = answer.value("record", json::object());
  Page page(screen);
  page.heading(text_of(answer, "digest"));
  page.line("What", text_of(answer, "words"));
  page.line("Python", text_of(answer, "python_version"));
  page.line("Interpreter", text_of(record, "interpreter"));
  page.line("Size", size_of(answer));
  page.line("Built", age_of(answer, "created", now));
  page.line("Last used", age_of(answer, "last_used", now) + (answer.value("in_use", false) ? ", in use" : ""));
  page.line("Jobs", joined(list_in(answer, "jobs")));
  const auto packages = list_in(record, "packages");
  if (!packages.empty()) page.heading("Packages");
  for (const auto& package : packages)
    if (package.is_string()) page.line("", printable(package.get<std::string>()));
  return page.take();
}

std::string exported(std::string_view environment) {
  const auto lock = read_json(environment).value("lock", json());
  const auto kind = lock.is_object() ? text_of(lock, "kind") : std::string();
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
