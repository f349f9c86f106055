#include "runtime/docker/container.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/runtime/docker/failure.hpp"

namespace berth::docker {
namespace {

using nlohmann::json;

json body_of(const ContainerSpec& spec) { return json::parse(to_json(spec)); }

}  // namespace

TEST_CASE("a container has the rights that its supervisor needs, and no others") {
  const auto host = body_of({})["HostConfig"];
  CHECK(host["CapDrop"] == json::array({"ALL"}));
  CHECK(host["SecurityOpt"] == json::array({"no-new-privileges"}));
  CHECK(host["LogConfig"]["Type"] == "none");
  CHECK(host["Init"] == false);
  CHECK(host["ShmSize"] == 2'147'483'648);
  CHECK(!host.contains("DeviceRequests"));
  CHECK(!host.contains("Memory"));
}

TEST_CASE("limits, mounts and GPUs are as the engine wants them") {
  ContainerSpec spec;
  spec.image = "sha256:1";
  spec.entrypoint = {"/shim", "/launch"};
  spec.memory = 1_GiB;
  spec.cpus = 1.5;
  spec.pids = 64;
  spec.gpus = {"GPU-1", "MIG-2"};
  spec.binds = {{"/a", "/b", true}};
  spec.volumes = {{"tree", "/code", false}};
  const auto body = body_of(spec);
  const auto& host = body["HostConfig"];
  CHECK(body["Entrypoint"] == json::array({"/shim", "/launch"}));
  CHECK(body["Cmd"] == json::array());
  CHECK(host["Memory"] == 1 << 30);
  CHECK(host["MemorySwap"] == 1 << 30);
  CHECK(host["NanoCpus"] == 1'500'000'000);
  CHECK(host["PidsLimit"] == 64);
  REQUIRE(host["Mounts"].size() == 2);
  CHECK(host["Mounts"][0]["ReadOnly"] == true);
  CHECK(host["Mounts"][1]["Type"] == "volume");
  CHECK(host["Mounts"][1]["VolumeOptions"]["NoCopy"] == true);
  CHECK(host["DeviceRequests"] == json::parse(R"([{"DeviceIDs": ["GPU-1", "MIG-2"], "Capabilities": [["gpu"]]}])"));
  CHECK(body["Env"] == json::array({"NVIDIA_VISIBLE_DEVICES=GPU-1,MIG-2"}));
}

TEST_CASE("a container without GPUs says so, whatever its image and its job's arguments say") {
  ContainerSpec spec;
  spec.environment = {"NVIDIA_VISIBLE_DEVICES=all"};
  CHECK(body_of(spec)["Env"].back() == "NVIDIA_VISIBLE_DEVICES=void");  // the last one counts
}

TEST_CASE("a relative mount is refused") {
  ContainerSpec spec;
  spec.binds = {{"relative", "/b", false}};
  CHECK(test::code_of([&] { to_json(spec); }) == Code::invalid);
}

}  // namespace berth::docker
