#pragma once

// The form of messages as JSON Schema (2020-12, as OpenAPI 3.1 has it), by their descriptions (fields.hpp). For
// documents and tests: no program that is installed has it.

#include <nlohmann/json.hpp>

#include "runtime/base/json_fields.hpp"

namespace berth {

class Schemas {
 public:
  // Takes up a message that its description names, and those that it is made of.
  template <class T>
  void add() {
    T sample{};
    add(any_message(sample));
  }
  // By name, those that were taken up first before the others. What a message has besides is refused by its schema.
  const nlohmann::ordered_json& all() const { return named_; }

 private:
  friend class SchemaTeller;
  void add(AnyMessage message);

  nlohmann::ordered_json named_ = nlohmann::ordered_json::object();
};

// The paths of a message's fields: "resources/gpus"; of lists and maps that of an element: "secrets/*/file".
std::vector<std::string> paths_of(const nlohmann::ordered_json& schemas, const std::string& name);

}  // namespace berth
