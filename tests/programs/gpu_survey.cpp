// Prints what runtime/gpu sees as JSON: a machine's GPUs once, or with SECONDS and a UUID what happens on one of them.
//
//   gpu_survey [LIBRARY]              the survey, and what the CUDA rules say about some images
//   gpu_survey --sample SECONDS UUID  a line a second: {"processes": …, "used": …, "utilisation": …}

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/gpu/cuda.hpp"
#include "runtime/gpu/nvml.hpp"

using namespace berth::gpu;
using nlohmann::json;

namespace {

template <class T, class F>
json or_null(const std::optional<T>& value, F convert) {
  return value ? json(convert(*value)) : json(nullptr);
}

json bytes(const std::optional<berth::ByteSize>& size) {
  return or_null(size, [](berth::ByteSize value) { return value.bytes(); });
}

json processes_of(const Gpu& gpu) {
  auto list = json::array();
  for (const auto& process : gpu.processes) list.push_back({{"pid", process.pid}, {"memory", bytes(process.memory)}});
  return list;
}

json to_json(const Gpu& gpu) {
  return {{"uuid", gpu.uuid},
          {"label", gpu.label()},
          {"name", gpu.name},
          {"brand", gpu.brand},
          {"capability", to_text(gpu.capability)},
          {"memory", gpu.memory.bytes()},
          {"used", bytes(gpu.used)},
          {"utilisation", or_null(gpu.utilisation, [](unsigned percent) { return percent; })},
          {"device_paths", gpu.device_paths},
          {"withheld", or_null(gpu.withheld, [](const std::string& why) { return why; })},
          {"mig_parent", or_null(gpu.mig, [](const Mig& mig) { return mig.parent; })},
          {"processes", processes_of(gpu)}};
}

Machine machine_of(const Survey& survey) {
  Machine machine{.driver = survey.driver, .cuda = survey.cuda, .cards = {}};
  for (const auto& gpu : survey.gpus) machine.cards.push_back({gpu.name, gpu.capability, gpu.brand});
  return machine;
}

json verdicts(const Machine& machine) {
  auto verdicts = json::object();
  for (const char* line : {"torch==1.12.1+cu113", "torch==2.4.0+cu121", "torch==2.8.0+cu128", "torch==9.9+cu199"}) {
    const auto verdict = judge(wanted_by_pip({line}), machine);
    const auto* mismatch = std::get_if<Mismatch>(&verdict);
    verdicts[line] = mismatch != nullptr ? json(mismatch->what) : json(std::get<Compatible>(verdict).notes);
  }
  return verdicts;
}

void print_survey(const std::string& library) {
  const auto survey = Nvml({.library = library}).survey();
  json printed{{"driver", or_null(survey.driver, driver_text)},
               {"cuda", or_null(survey.cuda, to_text)},
               {"notes", survey.notes},
               {"verdicts", verdicts(machine_of(survey))},
               {"gpus", json::array()}};
  for (const auto& gpu : survey.gpus) printed["gpus"].push_back(to_json(gpu));
  std::cout << printed.dump(2) << "\n";
}

void print_samples(int seconds, const std::string& uuid) {
  Nvml nvml;
  for (int i = 0; i < seconds; ++i) {
    for (const auto& gpu : nvml.survey().gpus)
      if (gpu.uuid == uuid) std::cout << to_json(gpu).dump() << std::endl;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 3 && arguments[0] == "--sample") {
    print_samples(std::atoi(arguments[1].c_str()), arguments[2]);
  } else {
    print_survey(arguments.empty() ? NvmlSettings{}.library : arguments[0]);
  }
  return 0;
}
