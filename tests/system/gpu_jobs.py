"""Jobs of a real agent on this machine's GPUs. tests/system/gpu.sh runs it, with BERTH_BIN; PYTHON is whose PyTorch the
jobs use. Prints what it saw, as it is to be recorded.

With BERTH_TEST_NVML and NVML (tests/support/nvml) the machine is a scripted one: what a GPU does is then written by the
test, and only the agent's part is tested."""

import json
import os
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from harness import ROOT, BerthTest, eventually, main  # pylint: disable=wrong-import-position

PYTHON = shutil.which(os.environ.get("PYTHON", "python3"))
# Where a container's libraries of the driver are.
LIBRARIES = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
HELD = 1024  # MiB
SLACK = 64 << 20  # bytes: what other programs may have taken meanwhile
PATIENCE = 120  # seconds: CUDA's first start is slow


def say(what, value):
    print(f"  {what}: {value}", flush=True)


class RealMachine:
    config = ""
    scripted = False
    environment = LIBRARIES

    def used(self, uuid):
        """Bytes in use by nvidia-smi's account; of a MIG instance nothing is told."""
        told = subprocess.run(["nvidia-smi", "--query-gpu=uuid,memory.used", "--format=csv,noheader,nounits"],
                              capture_output=True, text=True, timeout=60, check=True).stdout
        return next((int(memory) << 20 for name, memory in (line.split(", ") for line in told.splitlines())
                     if name == uuid), None)

    def job_runs(self, uuid, pid):
        pass

    def job_ended(self, uuid):
        pass


class ScriptedMachine:
    """Shows of a job what the driver would."""
    scripted = True

    def __init__(self):
        self.script = Path(os.environ["BERTH_TEST_NVML"])
        self.config = f"nvml: {os.environ['NVML']}\n"
        self.environment = {"BERTH_TEST_NVML": str(self.script)}

    def set(self, uuid, **fields):
        machine = json.loads(self.script.read_text())
        next(gpu for gpu in machine["gpus"] if gpu["uuid"] == uuid).update(fields)
        new = self.script.with_suffix(".new")
        new.write_text(json.dumps(machine))
        new.rename(self.script)

    def used(self, uuid):
        return next(gpu for gpu in json.loads(self.script.read_text())["gpus"] if gpu["uuid"] == uuid).get("used", 0)

    def job_runs(self, uuid, pid):
        self.set(uuid, used=HELD << 20, utilization=90, processes=[{"pid": pid, "memory": HELD << 20}])

    def job_ended(self, uuid):
        time.sleep(0.5)  # a driver takes its time
        self.set(uuid, used=0, utilization=0, processes=[])


class GpuJobs(BerthTest):
    def setUp(self):
        super().setUp()
        self.machine = ScriptedMachine() if "BERTH_TEST_NVML" in os.environ else RealMachine()
        self.agent = self.start_agent(config=f"gpu_sample: 500ms\n{self.machine.config}",
                                      environment=self.machine.environment)
        self.code = self.directory("code")
        (self.code / "hold_gpu.py").write_text((ROOT / "tests/programs/hold_gpu.py").read_text())

    def gpus(self):
        return self.agent.get("/v1/gpus")["gpus"]

    def gpu(self, uuid):
        return next(gpu for gpu in self.gpus() if gpu["uuid"] == uuid)

    def a_free_one(self):
        free = [gpu for gpu in self.gpus() if not gpu["withheld"]]
        self.assertTrue(free, f"no GPU is free: {self.gpus()}")
        return free

    def hold(self, *options):
        """The id of a job that holds its GPU, and what it printed when it did."""
        for name, value in LIBRARIES.items():
            options += ("--env", f"{name}={value}")
        job = self.agent.berth("submit", *options, "--", PYTHON, "hold_gpu.py", str(HELD), cwd=self.code).out.strip()
        facts = eventually(lambda: self.facts(job) or self.ended(job), "it holds memory", PATIENCE)
        self.assertTrue(facts.startswith("{"), f"{facts}: {self.agent.log_of(job).decode()}")
        return job, json.loads(facts)

    def facts(self, job):
        return next((line for line in self.agent.log_of(job).decode().splitlines() if line.startswith("{")), None)

    def ended(self, job):
        state = self.agent.job(job)
        return state["ending_words"] if state["state"] in ("Failed", "Completed", "Canceled") else None

    def cancel(self, job, uuid):
        """What was in use on the GPU at the moment at which the job counted as canceled."""
        begin = time.monotonic()
        self.agent.cancel(job)
        if self.machine.scripted:
            eventually(lambda: not Path(f"/proc/{self.pid}").exists(), "its process has ended")
            self.machine.job_ended(uuid)
        self.assertEqual(self.agent.wait(job, PATIENCE)["state"], "Canceled")
        used = self.machine.used(uuid)
        return used, time.monotonic() - begin

    def test_1_status_shows_the_gpus(self):
        print(self.agent.berth("status").out, flush=True)
        print(self.agent.berth("gpu", "ls").out, flush=True)
        status = self.agent.get("/v1/status")
        self.assertTrue(status["gpus"], status["nvidia"])
        self.assertEqual(status["nvidia"]["notes"], [])
        for gpu in status["gpus"]:
            self.assertIn(gpu["label"], self.agent.berth("status").out)

    def test_2_a_job_sees_exactly_its_gpu_is_sampled_and_gives_its_memory_back(self):
        before = {gpu["uuid"]: self.machine.used(gpu["uuid"]) for gpu in self.a_free_one()}
        job, facts = self.hold("--gpus", "1")
        say("the job", json.dumps(facts))
        uuid = self.agent.job(job)["attempts"][-1]["gpus"][0]
        self.assertEqual(facts["visible"], uuid)
        if not self.machine.scripted:
            self.assertNotIn("without_cuda", facts, "no CUDA for the job")
            self.assertEqual(facts["count"], 1)
            if uuid.startswith("GPU-") and "uuid" in facts:
                self.assertEqual(facts["uuid"], uuid)
        self.pid = facts["pid"]
        self.machine.job_runs(uuid, self.pid)
        time.sleep(5)  # for samples: what is measured
        shown = self.gpu(uuid)
        say("berth gpu ls", self.agent.berth("gpu", "ls").out.splitlines()[-1 if len(before) == 1 else 1])
        say("while it runs", json.dumps({key: shown[key] for key in ("used_bytes", "utilisation", "jobs", "withheld")}))
        self.assertEqual(shown["jobs"], [job])
        self.assertGreaterEqual(shown["used_bytes"], HELD << 20)
        known = self.process_is_known(shown)
        used, seconds = self.cancel(job, uuid)
        say("canceled in", f"{seconds:.2f} s")
        if before.get(uuid) is not None and used is not None:
            say("in use before, and when it counted as canceled", f"{before[uuid]}, {used} bytes")
            self.assertLessEqual(used, before[uuid] + SLACK)
        attempt = self.agent.berth_json("show", job)["attempts"][-1]
        say("berth show --json", json.dumps({key: attempt[key] for key in ("gpus", "gpu_time_ms", "gpu_peak_memory_bytes",
                                                                            "duration_ms")}))
        self.assertAlmostEqual(attempt["gpu_time_ms"], attempt["duration_ms"], delta=1)
        if known:
            self.assertGreaterEqual(attempt["gpu_peak_memory_bytes"], HELD << 20)
        self.assertIsNone(self.gpu(uuid)["withheld"])

    def process_is_known(self, shown):
        """In a container the driver tells the host's process numbers: nobody can say whose they are."""
        if not shown["withheld"]:
            return True
        print(f"  NOT TESTED: peak memory; the GPU's processes are not this machine's own: {shown['withheld']}", flush=True)
        return False

    def test_3_a_job_without_gpus_sees_none(self):
        job, facts = self.hold()
        say("the job", json.dumps(facts))
        self.assertEqual((facts["visible"], facts["count"]), ("", 0))
        self.agent.cancel(job)

    def test_4_a_gpu_taken_out_of_use_is_given_to_nobody(self):
        for gpu in self.a_free_one():
            self.agent.berth("gpu", "drain", gpu["uuid"], "--reason", "a test")
        job = self.agent.berth("submit", "--gpus", "1", "--", "true", cwd=self.code).out.strip()
        self.agent.restart()
        waiting = self.agent.job(job)["waiting"]
        say("it waits", waiting)
        self.assertIn("a test", waiting)
        for gpu in self.gpus():
            self.agent.berth("gpu", "resume", gpu["uuid"])
        self.assertEqual(self.agent.wait(job)["state"], "Completed")


if __name__ == "__main__":
    main()
