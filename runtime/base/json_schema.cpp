#include "runtime/base/json_schema.hpp"

#include <utility>

namespace berth {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kLargeNumber = 1'000'000;  // a bound that a type has, from here on, tells nobody anything
constexpr const char* kPlace = "#/components/schemas/";

Json or_null(Json schema) {
  if (schema.contains("enum")) schema["enum"].push_back(nullptr);
  if (schema.contains("type"))
    schema["type"] = Json::array({schema["type"], "null"});
  else if (schema.contains("$ref"))
    schema = {{"anyOf", Json::array({schema, {{"type", "null"}}})}};
  return schema;
}

}  // namespace

class SchemaTeller final : public Fields {
 public:
  explicit SchemaTeller(Schemas& schemas) : Fields(Way::tells), named_(schemas.named_) {}

  void tell(AnyMessage message) { visit_object({message.message, message.describe}); }

 private:
  struct Message {
    Json schema{{"type", "object"}};
    std::string name;
    bool answered = false;  // with all of its fields, but for those that are left out
  };

  void named(const char* name, const char* about) override {
    message_->name = name;
    message_->schema["description"] = about;
    message_->answered = false;
  }
  void answered(const char* name, const char* about) override {
    named(name, about);
    message_->answered = true;
  }

  // Values are visited one within the other: each leaves its schema in value_.
  bool enter(const char* name, const char* about, const How& how, bool nullable, bool) override {
    open_.push_back({name, about, how, nullable});
    return true;
  }

  void leave() override {
    const auto [name, about, how, nullable] = open_.back();
    open_.pop_back();
    auto value = std::move(value_);
    if (nullable) value = or_null(std::move(value));
    value["description"] = about;
    if (how.secret) value["writeOnly"] = true;
    message_->schema["properties"][name] = std::move(value);
    if (how.required || (message_->answered && !how.left_out)) message_->schema["required"].push_back(name);
  }

  void visit_text(std::string&) override { value_ = {{"type", "string"}}; }
  void visit_flag(bool&) override { value_ = {{"type", "boolean"}}; }
  void visit_digest(Digest&) override { value_ = {{"type", "string"}, {"pattern", "^[0-9a-f]{64}$"}}; }
  void visit_instant(Instant&) override { value_ = {{"type", "string"}, {"format", "date-time"}}; }
  void visit_json(std::string&) override { value_ = Json::object(); }

  void visit_number(std::int64_t&, std::int64_t least, std::int64_t most) override {
    value_ = {{"type", "integer"}};
    if (least > -kLargeNumber) value_["minimum"] = least;
    if (most < kLargeNumber) value_["maximum"] = most;
  }
  void visit_number(std::uint64_t&, std::uint64_t least, std::uint64_t) override {
    value_ = {{"type", "integer"}, {"minimum", least}};
  }

  void visit_choice(std::size_t&, std::span<const std::string_view> names, bool) override {
    value_ = {{"type", "string"}, {"enum", names}};
  }

  void visit_object(const Inner& inner) override {
    Message message;
    auto* const outer = std::exchange(message_, &message);
    if (outer != nullptr) message.answered = outer->answered;
    inner(*this);
    message_ = outer;
    if (!message.schema.contains("oneOf")) message.schema["additionalProperties"] = false;
    if (message.name.empty()) {
      value_ = std::move(message.schema);
      return;
    }
    value_ = {{"$ref", kPlace + message.name}};
    named_[message.name] = std::move(message.schema);
  }

  void visit_list(Elements& elements) override {
    elements.append();
    elements.visit(*this, 0);
    auto items = std::move(value_);
    value_ = {{"type", "array"}, {"items", std::move(items)}};
  }

  void visit_map(Entries& entries) override {
    entries.add(*this, "");
    auto values = std::move(value_);
    value_ = {{"type", "object"}, {"additionalProperties", std::move(values)}};
  }

  void visit_alternatives(const char* tag, Alternatives& alternatives) override {
    auto each = Json::array();
    for (std::size_t i = 0; i < alternatives.names.size(); ++i) {
      Message one;
      one.answered = message_->answered;
      one.schema["properties"][tag] = {{"const", alternatives.names[i]}};
      one.schema["required"].push_back(tag);
      auto* const outer = std::exchange(message_, &one);
      alternatives.select(i);
      alternatives.visit(*this);
      message_ = outer;
      one.schema["additionalProperties"] = false;
      each.push_back(std::move(one.schema));
    }
    message_->schema["oneOf"] = std::move(each);
  }

  struct Open {
    const char* name;
    const char* about;
    How how;
    bool nullable;
  };
  Json& named_;
  Message* message_ = nullptr;  // whose fields are told
  std::vector<Open> open_;
  Json value_;
};

void Schemas::add(AnyMessage message) { SchemaTeller(*this).tell(message); }

namespace {

void collect(const Json& schemas, const Json& schema, const std::string& path, std::vector<std::string>& paths) {
  if (const auto ref = schema.find("$ref"); ref != schema.end())
    return collect(schemas, schemas.at(ref->get<std::string>().substr(std::string_view(kPlace).size())), path, paths);
  for (const auto* several : {"anyOf", "oneOf"})
    if (const auto each = schema.find(several); each != schema.end())
      for (const auto& one : *each) collect(schemas, one, path, paths);
  if (const auto items = schema.find("items"); items != schema.end()) collect(schemas, *items, path + "/*", paths);
  if (const auto values = schema.find("additionalProperties"); values != schema.end() && values->is_object())
    collect(schemas, *values, path + "/*", paths);
  if (const auto members = schema.find("properties"); members != schema.end())
    for (const auto& [name, member] : members->items()) {
      const auto inner = path.empty() ? name : path + "/" + name;
      paths.push_back(inner);
      collect(schemas, member, inner, paths);
    }
}

}  // namespace

std::vector<std::string> paths_of(const Json& schemas, const std::string& name) {
  std::vector<std::string> paths;
  collect(schemas, schemas.at(name), "", paths);
  return paths;
}

}  // namespace berth
