#include "agent/cli/gpu_text.hpp"

#include <doctest/doctest.h>

using namespace berth::cli;

TEST_CASE("each GPU has a line: who has it, how busy it is, why it is withheld") {
  const auto* answer = R"({"gpus":[
    {"uuid":"GPU-8f6e2c11-0001","label":"GPU 0","name":"NVIDIA H100","memory_bytes":85899345920,
     "used_bytes":1073741824,"utilisation":91,"jobs":["calm-otter-2xyz"],"withheld":null},
    {"uuid":"GPU-11111111-0002","label":"GPU 1","name":"NVIDIA H100","memory_bytes":85899345920,
     "used_bytes":null,"utilisation":null,"jobs":[],"withheld":"taken out of use by root: fan"},
    {"uuid":"MIG-22222222-0003","label":"GPU 2 MIG 1g.10gb","name":"NVIDIA H100","memory_bytes":10737418240,
     "used_bytes":0,"utilisation":null,"jobs":[],"withheld":null}]})";
  CHECK(gpus_table(gpus_from_json(answer), {}) ==
        "GPU            UUID          NAME         MEMORY             BUSY  JOBS             STATE\n"
        "0              GPU-8f6e2c11  NVIDIA H100  1.0 GiB of 80 GiB  91%   calm-otter-2xyz  in use\n"
        "1              GPU-11111111  NVIDIA H100  80 GiB                                    "
        "withheld: taken out of use by root: fan\n"
        "2 MIG 1g.10gb  MIG-22222222  NVIDIA H100  0 B of 10 GiB                             free\n");
}

TEST_CASE("of UUIDs so much is shown that they can be told apart") {
  const auto table =
      gpus_table(gpus_from_json(R"({"gpus":[{"uuid":"MIG-22222222-aa"},{"uuid":"MIG-22222222-ab"}]})"), {});
  CHECK(table.find("MIG-22222222-aa") != std::string::npos);
  CHECK(table.find("MIG-22222222-ab") != std::string::npos);
}

TEST_CASE("without GPUs it says why") {
  CHECK(gpus_table(gpus_from_json(R"({"gpus":[],"nvidia":{"notes":["NVML cannot be loaded"]}})"), {}) ==
        "no GPUs: NVML cannot be loaded\n");
  CHECK(gpus_table(gpus_from_json("{}"), {}) == "no GPUs\n");
}
