#include "agent/model/environment_json.hpp"

#include "agent/model/json.hpp"
#include "agent/model/json_reader.hpp"

namespace berth::model {
namespace {

using nlohmann::json;

void set(json& object, const char* key, const std::string& text) {
  if (!text.empty()) object[key] = text;
}

}  // namespace

json to_json(const EnvironmentRequest& environment) {
  json object{{"kind", name(environment.kind)}};
  set(object, "python", environment.python);
  set(object, "file", environment.file);
  if (!environment.files.empty()) object["files"] = environment.files;
  set(object, "image", environment.image);
  if (environment.context) object["context"] = environment.context->hex();
  set(object, "dockerfile", environment.dockerfile);
  return object;
}

EnvironmentRequest environment_from_json(const json& value) {
  JsonReader fields(value, "environment");
  EnvironmentRequest result;
  const auto kind = parse_environment_kind(fields.text("kind", "none"));
  if (!kind) fields.refuse("kind", "must be 'none', 'user_managed', 'conda', 'venv', 'image', 'dockerfile' or 'lock'");
  result.kind = *kind;
  result.python = fields.text("python");
  result.file = fields.text("file");
  result.files = fields.text_map("files");
  result.image = fields.text("image");
  result.context = fields.digest("context");
  result.dockerfile = fields.text("dockerfile");
  fields.refuse_others();
  return result;
}

}  // namespace berth::model
