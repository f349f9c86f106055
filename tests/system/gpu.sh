#!/bin/sh
# On a machine with an NVIDIA GPU: builds, holds what Berth sees against nvidia-smi, then runs `berthd --user` and jobs on
# its GPUs (gpu_jobs.py): what status shows, a job that sees exactly its own GPU, its samples, and that a cancellation
# gives the memory back. Jobs use PyTorch if PYTHON (else python3) has it, else the CUDA driver alone. Prints what it saw,
# as it is to be recorded; fails at the first thing that is not as it should be.
#
#   tests/system/gpu.sh [BUILD_DIR]             77 where there is no GPU
#   tests/system/gpu.sh --scripted [BUILD_DIR]  the jobs alone, on a machine that tests/support/nvml plays
set -eu

cd "$(dirname "$0")/../.."
scripted=
if [ "${1:-}" = --scripted ]; then
  scripted=yes
  shift
fi
build=${1:-build/release}
case $build in /*) ;; *) build=$PWD/$build ;; esac
python=${PYTHON:-python3}
survey=$build/test-programs/gpu_survey
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

build() {
  echo "== build"
  [ -f "$build/CMakeCache.txt" ] || cmake --preset "${build##*/}" >"$scratch/configure" || fail "cmake --preset ${build##*/}"
  cmake --build "$build" --target berthd berth berth-shim berth-collect gpu_survey "$@" >"$scratch/build" ||
    { cat "$scratch/build"; fail "the build"; }
}

jobs() {
  echo "== jobs on GPUs"
  BERTH_BIN=$build/bin PYTHON=$python python3 tests/system/gpu_jobs.py 2>&1
}

if [ -n "$scripted" ]; then
  build test_nvml
  cat >"$scratch/machine.json" <<'MACHINE'
{"driver": "550.54.14", "cuda": 12040,
 "gpus": [{"uuid": "GPU-scripted-0", "name": "NVIDIA H100 80GB HBM3", "brand": 14, "capability": [9, 0],
           "memory": 85899345920, "used": 0, "utilization": 0, "ecc": 0}]}
MACHINE
  BERTH_TEST_NVML=$scratch/machine.json NVML=$build/lib/nvml.so jobs || fail "the jobs"
  echo "NOT TESTED: a real GPU; the agent's part holds on a scripted machine"
  exit 0
fi

if ! nvidia-smi -L >"$scratch/list" 2>&1; then
  echo "NOT TESTED: nvidia-smi finds no GPU: $(cat "$scratch/list")"
  exit 77
fi
echo "== machine"
date -u +%F
uname -r
build

echo "== discovery"
cat "$scratch/list"
"$survey" | tee "$scratch/survey.json"
nvidia-smi --query-gpu=uuid,name,driver_version,memory.total,compute_cap --format=csv,noheader,nounits >"$scratch/smi.csv"
"$python" - "$scratch/survey.json" "$scratch/smi.csv" <<'CHECK' || fail "the survey is not what nvidia-smi says"
import csv, json, sys
survey = json.load(open(sys.argv[1]))
assert not [note for note in survey["notes"] if "MIG" not in note], survey["notes"]
# By whole GPU: MIG instances stand for their parent.
seen = {gpu["mig_parent"] or gpu["uuid"]: gpu for gpu in survey["gpus"]}
for uuid, name, driver, memory, capability in csv.reader(open(sys.argv[2]), skipinitialspace=True):
    gpu = seen.get(uuid)
    if gpu is None:
        print(f"{uuid} is not handed out: {survey['notes']}")
        continue
    assert gpu["name"] == name, (gpu["name"], name)
    assert survey["driver"] == driver, (survey["driver"], driver)
    assert gpu["capability"] == capability, (gpu["capability"], capability)
    if not gpu["mig_parent"]:
        assert abs(gpu["memory"] - int(memory) * 2**20) <= 2**20, (gpu["memory"], memory)
print(f"{len(survey['gpus'])} GPUs and instances agree with nvidia-smi; CUDA {survey['cuda']}")
CHECK
ls -l /dev/nvidia* /dev/nvidia-caps 2>/dev/null || true

jobs || fail "the jobs"
echo "all is well"
