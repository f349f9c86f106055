// berth-openapi FILE: makes the schemas of an openapi.yaml anew, from the descriptions of the messages.
// berth-openapi --json FILE: prints the document as JSON, for programs without a reader of YAML.

#include <yaml-cpp/yaml.h>

#include <charconv>
#include <fstream>
#include <iostream>
#include <sstream>

#include "agent/wire/openapi.hpp"

namespace {

using Json = nlohmann::ordered_json;

Json scalar_of(const YAML::Node& node) {
  const auto& text = node.Scalar();
  if (node.Tag() == "!") return text;  // in quotes
  if (text == "true" || text == "false") return text == "true";
  if (text == "null" || text.empty()) return nullptr;
  std::int64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure == std::errc() && end == text.data() + text.size()) return number;
  return text;
}

Json json_of(const YAML::Node& node) {
  if (node.IsMap()) {
    auto object = Json::object();
    for (const auto& member : node) object[member.first.Scalar()] = json_of(member.second);
    return object;
  }
  if (node.IsSequence()) {
    auto list = Json::array();
    for (const auto& item : node) list.push_back(json_of(item));
    return list;
  }
  return node.IsNull() ? Json() : scalar_of(node);
}

bool write_anew(const std::string& path) {
  std::stringstream document;
  document << std::ifstream(path).rdbuf();
  const auto text = berth::wire::with_schemas(document.str());
  std::ofstream file(path, std::ios::trunc);
  file << text;
  return file.flush().good();
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> given(arguments + 1, arguments + count);
  if (given.size() == 2 && given[0] == "--json") {
    std::cout << json_of(YAML::LoadFile(given[1])).dump() << "\n";
    return 0;
  }
  if (given.size() == 1 && !given[0].starts_with('-')) return write_anew(given[0]) ? 0 : 1;
  std::cerr << "usage: berth-openapi [--json] agent/api/openapi.yaml\n";
  return 2;
}
