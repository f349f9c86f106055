#include "agent/gpus/record.hpp"

#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"

namespace berth::gpus {
namespace {

using nlohmann::json;

gpu::Gpu lasting_part(const gpu::Gpu& seen) {
  gpu::Gpu gpu;
  gpu.uuid = seen.uuid;
  gpu.index = seen.index;
  gpu.name = seen.name;
  gpu.brand = seen.brand;
  gpu.capability = seen.capability;
  gpu.memory = seen.memory;
  gpu.mig = seen.mig;
  gpu.device_paths = seen.device_paths;
  return gpu;
}

json gpu_json(const gpu::Gpu& gpu) {
  json out{{"uuid", gpu.uuid},
           {"index", gpu.index},
           {"name", gpu.name},
           {"brand", gpu.brand},
           {"capability", gpu::to_text(gpu.capability)},
           {"memory", gpu.memory.bytes()},
           {"device_paths", gpu.device_paths}};
  if (gpu.mig) out["mig"] = {{"parent", gpu.mig->parent}, {"profile", gpu.mig->profile}};
  return out;
}

gpu::Gpu gpu_from(const json& in) {
  gpu::Gpu gpu;
  gpu.uuid = in.at("uuid").get<std::string>();
  gpu.index = in.at("index").get<unsigned>();
  gpu.name = in.at("name").get<std::string>();
  gpu.brand = in.at("brand").get<std::string>();
  gpu.capability = gpu::parse_version(in.at("capability").get<std::string>()).value_or(gpu::Version{});
  gpu.memory = ByteSize(in.at("memory").get<std::uint64_t>());
  gpu.device_paths = in.at("device_paths").get<std::vector<std::string>>();
  if (in.contains("mig"))
    gpu.mig = gpu::Mig{in["mig"].at("parent").get<std::string>(), in["mig"].at("profile").get<std::string>()};
  return gpu;
}

json trouble_json(const gpu::Trouble& trouble) {
  json out{{"xid", trouble.xid}};
  if (trouble.driver) out["driver"] = gpu::driver_text(*trouble.driver);
  return out;
}

gpu::Trouble trouble_from(const json& in) {
  return {in.at("xid").get<unsigned>(), gpu::parse_version(in.value("driver", ""))};
}

Record record_from(const json& in, const std::string& boot_id) {
  Record record;
  record.boot_id = boot_id;
  for (const auto& [uuid, said] : in.at("withheld").items())
    record.withheld[uuid] = {said.at("by").get<std::string>(), said.at("reason").get<std::string>()};
  if (in.at("boot_id") != boot_id) return record;
  for (const auto& gpu : in.at("gpus")) record.gpus.push_back(gpu_from(gpu));
  for (const auto& [uuid, trouble] : in.at("troubles").items()) record.troubles[uuid] = trouble_from(trouble);
  return record;
}

}  // namespace

Record record_of(std::string boot_id, const gpu::Survey& survey, std::map<std::string, Record::Drained> withheld) {
  Record record{std::move(boot_id), {}, survey.troubles, std::move(withheld)};
  for (const auto& gpu : survey.gpus) record.gpus.push_back(lasting_part(gpu));
  return record;
}

std::string to_text(const Record& record) {
  json out{
      {"boot_id", record.boot_id}, {"gpus", json::array()}, {"troubles", json::object()}, {"withheld", json::object()}};
  for (const auto& gpu : record.gpus) out["gpus"].push_back(gpu_json(gpu));
  for (const auto& [uuid, trouble] : record.troubles) out["troubles"][uuid] = trouble_json(trouble);
  for (const auto& [uuid, said] : record.withheld) out["withheld"][uuid] = {{"by", said.by}, {"reason", said.reason}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

Record record_from_text(std::string_view text, const std::string& boot_id) {
  if (text.empty()) return {boot_id, {}, {}, {}};
  try {
    return record_from(read_json(text), boot_id);
  } catch (const std::exception& error) {
    throw Error(Code::corrupt, "what was kept of the GPUs cannot be read: " + std::string(error.what()));
  }
}

}  // namespace berth::gpus
