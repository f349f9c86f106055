#include "runtime/gpu/assignment.hpp"

#include <doctest/doctest.h>

using namespace berth;
using namespace berth::gpu;

namespace {

Gpu gpu_with(const std::string& uuid, std::vector<Process> processes) {
  Gpu result;
  result.uuid = uuid;
  result.processes = std::move(processes);
  return result;
}

// Processes below 100 are job 1's, below 200 job 2's, the others nobody's.
Owner owner_of(pid_t pid) {
  if (pid < 100) return {"job-1", ""};
  if (pid < 200) return {"job-2", ""};
  return {std::nullopt, pid == 4242 ? "python3 of alice" : ""};
}

}  // namespace

TEST_CASE("a GPU on which somebody else computes is withheld, with who it is") {
  const auto found = assignment_of({gpu_with("GPU-a", {{4242, 2_GiB}}),
                                    gpu_with("GPU-b", {{50, 1_GiB}, {300, std::nullopt}, {301, 1_GiB}, {302, 1_GiB}}),
                                    gpu_with("GPU-c", {{50, 1_GiB}}), gpu_with("GPU-d", {})},
                                   owner_of);
  CHECK(found.foreign ==
        std::map<std::string, std::string>{{"GPU-a", "used by pid 4242 (python3 of alice, 2.0 GiB), which is no job's"},
                                           {"GPU-b", "used by pid 300 and 2 more processes, none of them a job's"}});
}

TEST_CASE("each job has the memory of all its processes, GPU by GPU") {
  const auto found = assignment_of(
      {gpu_with("GPU-a", {{1, 1_GiB}, {2, 2_GiB}, {150, 4_GiB}}), gpu_with("GPU-b", {{1, 5_GiB}, {3, std::nullopt}})},
      owner_of);
  CHECK(found.foreign.empty());
  CHECK(found.jobs.at("job-1") == std::map<std::string, ByteSize>{{"GPU-a", 3_GiB}, {"GPU-b", 5_GiB}});
  CHECK(found.jobs.at("job-2") == std::map<std::string, ByteSize>{{"GPU-a", 4_GiB}});
  CHECK_FALSE(found.jobs.contains("job-3"));
}

TEST_CASE("a little of a desktop is tolerated, but not what cannot be told") {
  const auto tolerant = [](Process process) {
    return assignment_of({gpu_with("GPU-a", {process})}, owner_of, 200_MiB).foreign.empty();
  };
  CHECK(tolerant({300, 200_MiB}));
  CHECK_FALSE(tolerant({300, 201_MiB}));
  CHECK_FALSE(tolerant({300, std::nullopt}));
}

TEST_CASE("a GPU that is unwell keeps that reason") {
  std::vector<Gpu> gpus{gpu_with("GPU-a", {{300, 1_GiB}}), gpu_with("GPU-b", {{300, 1_GiB}})};
  gpus[0].withheld = "ECC";
  withhold(gpus, assignment_of(gpus, owner_of));
  CHECK(gpus[0].withheld == "ECC");
  CHECK(gpus[1].withheld == "used by pid 300 (1.0 GiB), which is no job's");
}
