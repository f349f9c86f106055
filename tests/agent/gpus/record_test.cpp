#include "agent/gpus/record.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"

using namespace berth;
using gpus::Record;

namespace {

gpu::Survey seen() {
  gpu::Survey survey;
  gpu::Gpu whole;
  whole.uuid = "GPU-0";
  whole.name = "NVIDIA H100 80GB HBM3";
  whole.brand = "nvidia";
  whole.capability = {9, 0, 0};
  whole.memory = 80_GiB;
  whole.device_paths = {"/dev/nvidia0"};
  auto part = whole;
  part.uuid = "MIG-a";
  part.index = 3;
  part.mig = gpu::Mig{"GPU-3", "1g.10gb"};
  survey.gpus = {whole, part};
  survey.troubles = {{"GPU-3", {79, gpu::Version{550, 54, 14}}}, {"GPU-0", {48, std::nullopt}}};
  return survey;
}

const std::map<std::string, Record::Drained> kSaid{{"GPU-0", {"root", "\"loud\" fan"}}};

}  // namespace

TEST_CASE("what is kept of GPUs is what was written, within one boot") {
  const auto record = gpus::record_of("boot-1", seen(), kSaid);
  CHECK(gpus::record_from_text(gpus::to_text(record), "boot-1") == record);
}

TEST_CASE("what changes from look to look is not kept") {
  auto later = seen();
  later.gpus[0].used = 1_GiB;
  later.gpus[0].utilisation = 99;
  later.gpus[0].processes = {{1, 1_GiB}};
  later.gpus[0].withheld = "in the way";
  later.gpus[1].lost = true;
  CHECK(gpus::record_of("boot-1", later, kSaid) == gpus::record_of("boot-1", seen(), kSaid));
}

TEST_CASE("after a reboot only what the operator said is true") {
  const auto text = gpus::to_text(gpus::record_of("boot-1", seen(), kSaid));
  CHECK(gpus::record_from_text(text, "boot-2") == Record{"boot-2", {}, {}, kSaid});
}

TEST_CASE("nothing kept is an empty record; what cannot be read is told") {
  CHECK(gpus::record_from_text("", "boot-1") == Record{"boot-1", {}, {}, {}});
  for (const auto* text : {"{", "[]", "{}", R"({"boot_id":"boot-1","withheld":[1],"gpus":[],"troubles":{}})",
                           R"({"boot_id":"boot-1","withheld":{},"gpus":[{}],"troubles":{}})"}) {
    CAPTURE(text);
    CHECK_THROWS_WITH_AS(gpus::record_from_text(text, "boot-1"), doctest::Contains("cannot be read"), Error);
  }
}
