#!/bin/sh
# On a machine with an NVIDIA GPU: builds, and holds what Berth sees against nvidia-smi; then runs a program on one GPU
# by its UUID, samples it, ends it and waits for the GPU's memory. With PyTorch at hand (PYTHON, else python3) that is a
# matrix product; without, only what needs no CUDA program is done. Prints what it saw; fails at the first thing that is
# not as it should be.
#
#   tests/system/gpu.sh [BUILD_DIR]      77 where there is no GPU
set -eu

cd "$(dirname "$0")/../.."
build=${1:-build/release}
python=${PYTHON:-python3}
survey=$build/test-programs/gpu_survey
scratch=$(mktemp -d)
worker=

finish() {
  [ -z "$worker" ] || kill -9 "$worker" 2>/dev/null || true
  rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# A field of the survey's GPU whose UUID is $1, now.
field() {
  "$survey" | "$python" -c '
import json, sys
uuid, path = sys.argv[1:]
for gpu in json.load(sys.stdin)["gpus"]:
    if gpu["uuid"] == uuid:
        print(eval(path, {"gpu": gpu}))' "$1" "$2"
}

# Runs a command until it succeeds, for at most $1 seconds.
eventually() {
  left=$1
  shift
  while ! "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep 1
  done
}

if ! nvidia-smi -L >"$scratch/list" 2>&1; then
  echo "skipped: nvidia-smi finds no GPU: $(cat "$scratch/list")"
  exit 77
fi

echo "== build"
[ -f "$build/CMakeCache.txt" ] || cmake --preset release >"$scratch/configure" || fail "cmake --preset release"
cmake --build "$build" --target gpu_survey >"$scratch/build" || { cat "$scratch/build"; fail "the build"; }

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

uuid=$("$python" -c '
import json, sys
print(next(gpu["uuid"] for gpu in reversed(json.load(open(sys.argv[1]))["gpus"]) if not gpu["withheld"] and not gpu["processes"]))
' "$scratch/survey.json") || fail "no GPU is free: all are withheld or in use"
paths=$(field "$uuid" '" ".join(gpu["device_paths"])')
for path in $paths; do [ -c "$path" ] || fail "$uuid should have the device node $path"; done
echo "uses $uuid ($paths)"

echo "== a program on that GPU"
if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>"$scratch/torch"; then
  echo "PyTorch with CUDA is not at hand; nothing runs on the GPU: $(tail -n 1 "$scratch/torch")"
  exit 0
fi
cat >"$scratch/work.py" <<'WORK'
import os, sys, time, torch
assert torch.cuda.device_count() == 1, torch.cuda.device_count()
a = torch.rand(8192, 8192, device="cuda")
print("torch", torch.__version__, "CUDA", torch.version.cuda, torch.cuda.get_device_name(0), flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    a = torch.tanh(a @ a)
    torch.cuda.synchronize()
WORK
before=$(field "$uuid" 'gpu["used"]')
CUDA_VISIBLE_DEVICES=$uuid "$python" "$scratch/work.py" >"$scratch/work.log" 2>&1 &
worker=$!
runs_there() { field "$uuid" '"yes" if any(p["memory"] for p in gpu["processes"]) else ""' | grep -q yes; }
eventually 60 runs_there || { cat "$scratch/work.log"; fail "no process appeared on $uuid"; }
cat "$scratch/work.log"

echo "== samples"
"$survey" --sample 5 "$uuid" | tee "$scratch/samples"
"$python" - "$scratch/samples" "$worker" <<'CHECK' || fail "the samples do not show the program"
import json, os, sys
samples = [json.loads(line) for line in open(sys.argv[1])]
assert len(samples) == 5, len(samples)
pids = {process["pid"] for sample in samples for process in sample["processes"]}
# In a container the driver tells the host's numbers.
print("processes", pids, "here it is", sys.argv[2])
assert len(pids) >= 1
assert max(sample["used"] for sample in samples) >= 2**28
busy = [sample["utilisation"] for sample in samples if sample["utilisation"] is not None]
assert not busy or max(busy) >= 50, busy
CHECK

echo "== its end gives the memory back"
kill -9 "$worker"
wait "$worker" 2>/dev/null || true
worker=
given_back() { [ "$(field "$uuid" 'gpu["used"]')" -le "$((before + 67108864))" ] && ! runs_there; }
eventually 30 given_back || fail "$uuid still has $(field "$uuid" 'gpu["used"]') bytes in use, before $before"
echo "used before $before, now $(field "$uuid" 'gpu["used"]')"
echo "all is well"
