#include "agent/wire/openapi.hpp"

#include "agent/wire/content.hpp"
#include "agent/wire/environment.hpp"
#include "agent/wire/event.hpp"
#include "agent/wire/job.hpp"
#include "agent/wire/node.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_schema.hpp"

namespace berth::wire {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kComponents = "\ncomponents:";
constexpr const char* kRemark =
    "# From here on this is made by berth-openapi from agent/wire; a test tells when it is to be made anew.\n";
constexpr std::size_t kFits = 110;  // on a line

// What every failure is answered with (runtime/http/error_json.hpp).
Json error_schema() {
  const Json text{{"type", "string"}};
  return {{"type", "object"},
          {"description", "What failed, on which object, why, and what to do."},
          {"properties",
           {{"error",
             {{"type", "object"},
              {"properties",
               {{"code", {{"type", "string"}, {"description", "What kind of failure, for programs."}}},
                {"message", {{"type", "string"}, {"description", "One sentence."}}},
                {"hint", {{"type", "string"}, {"description", "The remedy."}}},
                {"context",
                 {{"type", "array"}, {"items", text}, {"description", "What was being done, innermost first."}}}}},
              {"required", {"code", "message"}},
              {"additionalProperties", false}}}}},
          {"required", {"error"}},
          {"additionalProperties", false}};
}

// JSON is YAML; what does not fit on a line is taken apart by its keys.
void write_yaml(std::string& out, const Json& value, const std::string& indent) {
  for (const auto& [key, member] : value.items()) {
    out += indent + (key.starts_with('$') ? Json(key).dump() : key) + ":";
    const auto flat = member.dump();
    const bool nested = member.is_object() && !member.empty();
    if (!nested || (indent.size() + key.size() + flat.size() < kFits)) {
      out += " " + flat + "\n";
    } else {
      out += "\n";
      write_yaml(out, member, indent + "  ");
    }
  }
}

}  // namespace

Json api_schemas() {
  Schemas schemas;
  schemas.add<SubmittedRequest>();
  schemas.add<Submission>();
  schemas.add<Submitted>();
  schemas.add<JobRecord>();
  schemas.add<JobOutline>();
  schemas.add<JobList>();
  schemas.add<PriorityChange>();
  schemas.add<EventPage>();
  schemas.add<LogIndex>();
  schemas.add<Status>();
  schemas.add<Drain>();
  schemas.add<NodeUsage>();
  schemas.add<DoctorFacts>();
  schemas.add<Gpus>();
  schemas.add<GpuDrain>();
  schemas.add<Cleaning>();
  schemas.add<CleaningReport>();
  schemas.add<EnvironmentList>();
  schemas.add<EnvironmentPage>();
  schemas.add<BuildOutput>();
  schemas.add<BuildResult>();
  schemas.add<Snapshot>();
  schemas.add<Diff>();
  auto all = schemas.all();
  all["Error"] = error_schema();
  return all;
}

std::string with_schemas(std::string_view document) {
  const auto end = document.find(kComponents);
  auto kept = document.substr(0, end == std::string_view::npos ? document.size() : end + 1);
  if (const auto remark = kept.rfind(kRemark); remark != std::string_view::npos) kept = kept.substr(0, remark);
  auto out = std::string(kept) + kRemark + "components:\n";
  const Json error{{"description", "It failed."},
                   {"content", {{"application/json", {{"schema", {{"$ref", "#/components/schemas/Error"}}}}}}}};
  write_yaml(out, {{"responses", {{"Error", error}}}, {"schemas", api_schemas()}}, "  ");
  return out;
}

}  // namespace berth::wire
