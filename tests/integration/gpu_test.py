"""GPUs of a running agent, on machines that cannot be had: NVML is a library that answers as the test says."""

import json
import os
import stat
import time
import unittest
from pathlib import Path

from harness import BIN, BerthTest, eventually, main
from wheels import make_wheel

LIBRARY = Path(os.environ.get("BERTH_TEST_LIB", BIN.parent / "lib")) / "nvml.so"
GIB = 1 << 30
SEEN = 'echo "$CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES"'


def h100(number):
    return {"uuid": f"GPU-{number}", "name": "NVIDIA H100 80GB HBM3", "brand": 14, "minor": number,
            "capability": [9, 0], "memory": 80 * GIB, "used": GIB, "utilization": 10 * number, "ecc": 0,
            "remapped": [0, 0, 0, 0]}


class GpuTest(BerthTest):
    def setUp(self):
        super().setUp()
        self.script = self.place / "machine.json"

    def set_machine(self, *gpus, **rest):
        self.gpus = list(gpus)
        self.rest = rest
        self.write()

    def write(self):
        """What the machine is from now on."""
        new = self.script.with_suffix(".new")
        new.write_text(json.dumps({"driver": "550.54.14", "cuda": 12040, "gpus": self.gpus, **self.rest}))
        new.rename(self.script)

    def change(self, agent, **fields):
        """Makes the first GPU so, and returns when the agent has looked at it since."""
        self.gpus[0].update(fields, used=self.gpus[0]["used"] + (1 << 20))  # by which that is seen
        self.write()
        eventually(lambda: self.gpu(agent, self.gpus[0]["uuid"])["used_bytes"] == self.gpus[0]["used"], "it has looked")

    def start_node(self, more="", **options):
        config = f"cpus: 16\nmax_parallel: 16\nnvml: {LIBRARY}\ngpu_sample: 100ms\n{more}"
        return self.start_agent(config=config, environment={"BERTH_TEST_NVML": str(self.script)}, **options)

    @staticmethod
    def sh(agent, script, gpus=1, gpu_memory=0, **fields):
        resources = {"cpu_milli": 1000, "gpus": gpus}
        if gpu_memory:
            resources["gpu_memory_bytes"] = gpu_memory
        return agent.sh(script, resources=resources, **fields)

    @staticmethod
    def gpu(agent, uuid):
        return next(gpu for gpu in agent.get("/v1/status")["gpus"] if gpu["uuid"] == uuid)

    @staticmethod
    def gpu_remarks(agent):
        return [remark for remark in agent.get("/v1/status")["remarks"] if "GPU" in remark]

    def log_once_written(self, agent, job):
        return eventually(lambda: agent.log_of(job).decode(), f"{job} has written").strip()


class AssignmentTest(GpuTest):
    def test_jobs_get_particular_gpus_and_see_only_those(self):
        self.set_machine(*map(h100, range(8)))
        agent = self.start_node()
        three, five = (self.sh(agent, f"{SEEN}; sleep 1000", gpus=number) for number in (3, 5))
        first, second = "GPU-0,GPU-1,GPU-2", "GPU-3,GPU-4,GPU-5,GPU-6,GPU-7"
        self.assertEqual(self.log_once_written(agent, three), f"{first} {first}")
        self.assertEqual(self.log_once_written(agent, five), f"{second} {second}")
        self.assertEqual(agent.job(three)["attempts"][-1]["gpus"], first.split(","))
        self.assertEqual(self.gpu(agent, "GPU-4")["jobs"], [five])
        waiting = self.sh(agent, SEEN)
        self.assertIn("8 of 8 are in use", agent.job(waiting)["waiting"])
        without = self.sh(agent, SEEN, gpus=0)
        agent.wait(without)
        self.assertEqual(agent.log_of(without).decode(), " void\n")
        error = self.refuses(400, "invalid", self.sh, agent, "true", gpus=9)
        self.assertIn("this node has 8 GPUs", error["message"])
        agent.cancel(three)
        self.assertEqual(agent.wait(waiting)["state"], "Completed")
        self.assertEqual(agent.log_of(waiting).decode(), "GPU-0 GPU-0\n")
        ended = agent.wait(three)["attempts"][-1]
        self.assertAlmostEqual(ended["gpu_time_ms"], 3 * ended["duration_ms"], delta=3)
        self.assertIn("GPU time", agent.berth("show", three).out)
        agent.cancel(five)

    def test_jobs_that_say_how_much_memory_they_need_share_a_gpu(self):
        self.set_machine(h100(0), h100(1))
        agent = self.start_node()
        jobs = [self.sh(agent, f"{SEEN}; sleep 1000", gpu_memory=need * GIB) for need in (40, 30, 50)]
        seen = [self.log_once_written(agent, job).split()[0] for job in jobs]
        self.assertEqual(seen, ["GPU-0", "GPU-0", "GPU-1"])
        self.assertEqual(sorted(self.gpu(agent, "GPU-0")["jobs"]), sorted(jobs[:2]))
        for job in jobs:
            agent.cancel(job)

    def test_assignments_outlive_the_agent(self):
        self.set_machine(h100(0), h100(1))
        agent = self.start_node()
        first = self.sh(agent, "sleep 1000")
        second = self.sh(agent, "sleep 1000")
        agent.wait_state(second, "Running")
        agent.cancel(first)
        agent.wait(first)
        agent.restart()
        self.assertEqual(self.gpu(agent, "GPU-1")["jobs"], [second])
        third = self.sh(agent, SEEN)
        agent.wait(third)
        self.assertEqual(agent.log_of(third).decode(), "GPU-0 GPU-0\n")
        agent.cancel(second)

    def test_only_what_the_configuration_names_is_offered(self):
        self.set_machine(h100(0), h100(1))
        agent = self.start_node("gpus: [1]")
        job = self.sh(agent, SEEN)
        agent.wait(job)
        self.assertEqual(agent.log_of(job).decode(), "GPU-1 GPU-1\n")
        self.assertIn("does not offer", self.gpu(agent, "GPU-0")["withheld"])
        self.assertEqual(agent.get("/v1/status")["capacity"]["gpus"], 1)

    def test_instances_of_a_gpu_are_handed_out_one_by_one(self):
        parts = [{"uuid": f"MIG-{name}", "gi": number, "ci": 0, "slices": [1, 1], "memory_mib": 9856}
                 for number, name in enumerate("ab")]
        self.set_machine({**h100(0), "mig": parts})
        agent = self.start_node()
        jobs = [self.sh(agent, f"{SEEN}; sleep 1000") for _ in parts]
        self.assertEqual([self.log_once_written(agent, job).split()[0] for job in jobs], ["MIG-a", "MIG-b"])
        self.assertEqual(self.gpu(agent, "MIG-a")["mig"], {"parent": "GPU-0", "profile": "1g.10gb"})
        self.assertEqual(self.gpu(agent, "MIG-a")["label"], "GPU 0 MIG 1g.10gb")
        for job in jobs:
            agent.cancel(job)


class HealthTest(GpuTest):
    def test_a_card_on_which_somebody_else_computes_is_withheld_and_says_so(self):
        desktop = {"uuid": "GPU-home", "name": "NVIDIA GeForce RTX 4090", "brand": 5, "capability": [8, 9],
                   "memory": 24 * GIB, "used": 3 * GIB, "processes": [{"pid": os.getpid(), "memory": 2 * GIB}]}
        self.set_machine(desktop)
        agent = self.start_node()
        job = self.sh(agent, "true")
        waiting = agent.job(job)["waiting"]
        self.assertIn("GPU 0", waiting)
        self.assertIn(f"pid {os.getpid()}", waiting)
        withheld = self.gpu(agent, "GPU-home")["withheld"]
        self.assertTrue(withheld.startswith(f"used by pid {os.getpid()} ("), withheld)
        self.assertTrue(withheld.endswith("2.0 GiB), which is no job's"), withheld)
        self.assertEqual(self.gpu_remarks(agent), [])  # nothing is broken
        self.assertIn(withheld, agent.berth("status").out)
        self.assertIn("withheld", agent.berth("doctor", expect=None).out)
        self.assertRegex(agent.get("/metrics").decode(), r'berth_gpu_withheld\{uuid="GPU-home",gpu="GPU 0"\} 1\b')
        self.gpus[0]["processes"] = []
        self.write()
        self.assertEqual(agent.wait(job)["state"], "Completed")

    def test_a_gpu_that_dies_ends_its_job_truthfully_and_no_other(self):
        self.set_machine(h100(0), h100(1), h100(2))
        agent = self.start_node()
        go = self.place / "work/go"
        until = f"while [ ! -e {go} ]; do sleep 0.05; done"
        victim = self.sh(agent, f"{until}; exit 1")
        other = self.sh(agent, f"{until}; exit 1")
        again = self.sh(agent, f"{SEEN}; {until}; [ $CUDA_VISIBLE_DEVICES != GPU-2 ]", retries={"gpu_error": 1})
        for job in (victim, other, again):
            agent.wait_state(job, "Running")
        self.gpus[0]["xids"] = [79]
        self.gpus[1]["xids"] = [31]  # a program's own doing
        self.gpus[2]["gone"] = True
        self.write()
        eventually(lambda: self.gpu(agent, "GPU-2")["withheld"], "the lost GPU is withheld")
        self.assertIn("Xid 79", eventually(lambda: self.gpu(agent, "GPU-0")["withheld"], "the dead one is withheld"))
        go.touch()
        ended = agent.wait(victim)
        self.assertEqual(ended["ending"], {"kind": "gpu_error", "gpu": "GPU 0", "uuid": "GPU-0", "xid": 79,
                                           "reason": "Xid 79 (the GPU has fallen off the bus)"})
        self.assertEqual(ended["state"], "Failed")
        self.assertIn("GPU 0 failed: Xid 79", agent.berth("show", victim).out)
        self.assertIn("GPU 0, which the job holds, failed", agent.log_of(victim, stream="agent").decode())
        self.assertEqual(agent.wait(other)["ending"]["kind"], "exited")
        first, second = agent.wait(again)["attempts"]
        self.assertEqual((first["ending"]["kind"], first["ending"]["xid"]), ("gpu_error", None))
        self.assertEqual((first["gpus"], second["gpus"]), (["GPU-2"], ["GPU-1"]))
        self.assertEqual(agent.job(again)["state"], "Completed")
        self.assertEqual(agent.get("/v1/status")["health"], "degraded")
        self.assertRegex("\n".join(self.gpu_remarks(agent)), "^GPU 0 is withheld: Xid 79.*\nGPU 2 is withheld: ")

    def test_a_gpu_that_goes_while_the_agent_is_away_is_told_too(self):
        self.set_machine(h100(0), h100(1))
        agent = self.start_node()
        go = self.place / "work/go"
        job = self.sh(agent, f"while [ ! -e {go} ]; do sleep 0.05; done; exit 1")
        agent.running_pid(job)
        agent.kill()
        self.gpus[0]["gone"] = True
        self.write()
        agent.start()
        go.touch()
        ending = agent.wait(job)["ending"]
        self.assertEqual((ending["kind"], ending["uuid"]), ("gpu_error", "GPU-0"))
        self.assertIn("does not answer any more", ending["reason"])
        self.assertIn("does not answer any more", self.gpu(agent, "GPU-0")["withheld"])
        self.assertIn("it is forgotten", agent.berth("gpu", "resume", "0").out)
        self.assertEqual([gpu["uuid"] for gpu in agent.get("/v1/status")["gpus"]], ["GPU-1"])

    def test_jobs_wait_for_a_driver_that_stops_answering_and_go_on_when_it_is_back(self):
        self.set_machine(h100(0), h100(1))
        wheels = self.directory("wheels")
        make_wheel(wheels, "needed", "1.0+cu121")
        agent = self.start_node(f"uv: ''\nfind_links: [{wheels}]\noffline: true\n")
        go = self.place / "work/go"
        until = f"while [ ! -e {go} ]; do sleep 0.05; done"
        well, unwell = self.sh(agent, f"{until}; exit 0"), self.sh(agent, f"{until}; exit 1")
        for job in (well, unwell):
            agent.wait_state(job, "Running")
        self.rest["init"] = 9
        self.write()
        eventually(lambda: all(self.gpu(agent, f"GPU-{n}")["withheld"] for n in (0, 1)), "both are withheld")
        plain = self.sh(agent, SEEN, retries={"gpu_error": 1})
        code = self.directory("code")
        (code / "requirements.txt").write_text("needed==1.0+cu121\n")
        cuda = agent.berth("submit", "--gpus", "1", "--requirements", "requirements.txt", "--no-code", "--",
                           "python", "-c", "import needed; print(needed.version)", cwd=code).out.strip()
        for restarted in (False, True):
            if restarted:
                agent.restart()
            eventually(lambda: "waits for the GPU driver: " in (agent.job(cuda)["waiting"] or ""), "it waits for the driver")
            self.assertIn("does not answer any more", agent.job(plain)["waiting"])
            self.assertEqual([agent.job(job)["state"] for job in (well, unwell)], ["Running"] * 2)  # as they are
        self.assertEqual(agent.get("/v1/status")["health"], "degraded")
        go.touch()
        self.assertEqual(agent.wait(well)["state"], "Completed")
        ended = agent.wait(unwell)["ending"]
        self.assertEqual(ended["kind"], "gpu_error")
        self.assertIn("does not answer any more", ended["reason"])
        time.sleep(0.5)  # looks go on
        self.assertEqual(agent.job(plain)["state"], "Queued")
        del self.rest["init"]
        self.write()
        for job in (plain, cuda):
            ended = agent.wait(job, 60)
            self.assertEqual(ended["state"], "Completed", ended.get("ending_words"))
            self.assertEqual(len(ended["attempts"]), 1)
        self.assertEqual(self.gpu_remarks(agent), [])

    def test_a_cancellation_is_done_when_the_memory_is_back(self):
        self.set_machine(h100(0))
        agent = self.start_node()
        job = self.sh(agent, "exec sleep 1000")
        pid = agent.running_pid(job, "sleep")
        self.change(agent, processes=[{"pid": pid, "memory": 3 * GIB}])
        self.assertIsNone(self.gpu(agent, "GPU-0")["withheld"])
        following = self.sh(agent, "true")
        agent.cancel(job)
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), "the process has ended")
        self.change(agent)  # the driver takes its time
        self.assertEqual(agent.job(job)["state"], "CancelRequested")
        self.assertEqual(agent.job(following)["state"], "Queued")
        self.gpus[0]["processes"] = []
        self.write()
        ended = agent.wait(job)
        self.assertEqual(ended["state"], "Canceled")
        self.assertEqual(ended["attempts"][-1]["gpu_peak_memory_bytes"], 3 * GIB)
        self.assertEqual(agent.wait(following)["state"], "Completed")

    def test_a_gpu_whose_memory_does_not_come_back_is_withheld_until_it_does(self):
        self.set_machine(h100(0))
        agent = self.start_node()
        job = self.sh(agent, "exec sleep 1000")
        self.change(agent, processes=[{"pid": agent.running_pid(job, "sleep"), "memory": 3 * GIB}])
        agent.cancel(job)
        self.assertEqual(agent.wait(job)["state"], "Canceled")
        self.assertIn(f"memory of the job {job} is not back yet", self.gpu(agent, "GPU-0")["withheld"])
        following = self.sh(agent, "true")
        self.assertIn("is not back yet", agent.job(following)["waiting"])
        self.gpus[0]["processes"] = []
        self.write()
        self.assertEqual(agent.wait(following)["state"], "Completed")

    def test_a_gpu_stays_withheld_over_a_restart_of_the_agent_until_it_is_forgiven(self):
        self.set_machine(h100(0), h100(1))
        agent = self.start_node()
        job = self.sh(agent, f"while [ ! -e {self.place}/work/go ]; do sleep 0.05; done; exit 1")
        agent.running_pid(job)
        self.gpus[0]["xids"] = [79]
        self.write()
        eventually(lambda: self.gpu(agent, "GPU-0")["withheld"], "the dead one is withheld")
        agent.kill()
        self.gpus[0]["xids"] = []  # nobody tells of it again
        self.write()
        agent.start()
        withheld = self.gpu(agent, "GPU-0")["withheld"]
        self.assertRegex(withheld, r"^Xid 79 .*reboot, or reset the GPU and `berth gpu resume 0`$")
        self.assertIn(withheld, "\n".join(self.gpu_remarks(agent)))
        (self.place / "work/go").touch()
        self.assertEqual(agent.wait(job)["ending"]["xid"], 79)
        after = self.sh(agent, SEEN)
        agent.wait(after)
        self.assertEqual(agent.log_of(after), b"GPU-1 GPU-1\n")
        self.assertIn("free", agent.berth("gpu", "resume", "0").out)
        self.assertIsNone(self.gpu(agent, "GPU-0")["withheld"])
        agent.restart()
        self.assertIsNone(self.gpu(agent, "GPU-0")["withheld"])
        self.assertEqual(self.gpu_remarks(agent), [])

    def test_a_reboot_and_another_driver_end_an_xid(self):
        self.set_machine(h100(0), h100(1))
        agent = self.start_agent(config=f"cpus: 16\nnvml: {LIBRARY}\ngpu_sample: 100ms",
                                 environment={"BERTH_TEST_NVML": str(self.script), "BERTH_BOOT_ID": "first"})
        for end in ("reboot", "driver"):
            self.gpus[0]["xids"] = [48]
            self.write()
            eventually(lambda: self.gpu(agent, "GPU-0")["withheld"], "it is withheld")
            agent.berth("gpu", "drain", "1", "--reason", "loud")
            agent.stop()
            self.gpus[0]["xids"] = []
            if end == "reboot":
                agent.extra["BERTH_BOOT_ID"] = "second"
            else:
                self.rest["driver"] = "560.28.03"
            self.write()
            agent.start()
            self.assertIsNone(self.gpu(agent, "GPU-0")["withheld"], end)
            self.assertRegex(self.gpu(agent, "GPU-1")["withheld"], r"^taken out of use by \S+: loud$")

    def test_status_shows_who_has_what(self):
        self.set_machine(h100(0), h100(7))
        agent = self.start_node()
        job = self.sh(agent, "sleep 1000")
        agent.wait_state(job, "Running")
        status = agent.berth("status").out
        self.assertRegex(status, rf"0% busy, 1\.0 GiB of 80 GiB, {job}\n")
        self.assertRegex(status, r"70% busy, 1\.0 GiB of 80 GiB, free\n")
        self.assertIn("550.54.14 (CUDA 12.4)", status)
        agent.cancel(job)


class OperatorTest(GpuTest):
    def test_a_gpu_taken_out_of_use_goes_to_no_job_until_it_is_taken_back(self):
        self.set_machine(h100(0), h100(1))
        agent = self.start_node()
        first = self.sh(agent, "sleep 1000")
        agent.running_pid(first)
        self.assertIn("withheld: taken out of use by", agent.berth("gpu", "drain", "GPU-1").out)
        said = agent.berth_json("gpu", "drain", "0", "--reason", "its fan is loud")
        self.assertEqual(len(said["gpus"]), 1)
        self.assertIn("its fan is loud", said["gpus"][0]["withheld"])
        self.assertEqual(said["gpus"][0]["jobs"], [first])  # who has it keeps it
        waiting = self.sh(agent, SEEN)
        self.assertIn("taken out of use by", agent.job(waiting)["waiting"])
        agent.kill()
        agent.start()
        self.assertEqual(agent.job(first)["state"], "Running")
        self.assertEqual(agent.job(waiting)["state"], "Queued")
        self.assertEqual(self.gpu_remarks(agent), [])  # nothing is broken
        listed = agent.berth("gpu", "ls").out
        self.assertRegex(listed, rf"(?m)^0 +GPU-0 .* {first} +withheld: taken out of use by \w+: its fan is loud$")
        agent.berth("gpu", "resume", "1")
        self.assertEqual(agent.wait(waiting)["state"], "Completed")
        self.assertEqual(agent.log_of(waiting), b"GPU-1 GPU-1\n")
        agent.cancel(first)
        agent.wait(first)
        self.assertIsNotNone(self.gpu(agent, "GPU-0")["withheld"])

    def test_forgiving_does_not_hide_what_is_wrong_now(self):
        self.set_machine({**h100(0), "ecc": 3}, {**h100(1), "gone": True})
        agent = self.start_node()
        self.assertIn("withheld: 3 uncorrected memory errors", agent.berth("gpu", "resume", "0").out)

    def test_mistakes_are_told(self):
        self.set_machine(h100(0), h100(1))
        agent = self.start_node()
        for arguments, words in ((["resume", "7"], "there is no GPU '7'"), (["drain", "GPU-"], "ambiguous"),
                                 (["drain"], "name one GPU"), (["ls", "0"], "takes no GPU"),
                                 (["dance"], "there is no `berth gpu dance`"),
                                 (["drain", "0", "--reason", "x" * 201], "at most 200")):
            self.assertIn(words, agent.berth("gpu", *arguments, expect=2).err, arguments)
        self.refuses(400, "invalid", agent.post, "/v1/gpus/0/drain", {"reason": 7})

    def test_the_older_names_of_drain_and_resume_are_understood(self):
        self.set_machine(h100(0))
        agent = self.start_node()
        self.assertIn("loud", agent.berth("gpu", "withhold", "0", "--reason", "loud").out)
        self.assertIn("free", agent.berth("gpu", "forgive", "0").out)

    def test_a_machine_without_gpus_says_so(self):
        agent = self.start_agent(config="nvml: /nowhere/libnvidia-ml.so.1")
        self.assertIn("no GPUs: NVML cannot be loaded: /nowhere", agent.berth("gpu", "ls").out)
        self.assertIn("there is no GPU", agent.berth("gpu", "drain", "0", expect=2).err)


@unittest.skipIf(os.geteuid() != 0, "device filters are attached by root alone")
class FilterTest(GpuTest):
    def test_a_job_cannot_open_the_nodes_of_others_or_is_told_that_it_could(self):
        self.set_machine(h100(0), h100(1))
        try:
            os.mknod(self.place / "work/node", stat.S_IFCHR | 0o600, os.makedev(195, 1))
        except OSError as error:
            self.skipTest(f"device nodes cannot be made here: {error}")
        agent = self.start_node(machine=True)
        job = self.sh(agent, "rm -f own other; mknod own c 195 0 && echo own; mknod other c 195 1 && echo other; true")
        agent.wait(job)
        seen = agent.log_of(job).decode().split("\n")
        self.assertIn("own", seen)
        if "other" in seen:
            self.assertIn("could open GPUs that are not its own", agent.log_of(job, stream="agent").decode())
            self.skipTest("this kernel has no device filters: the job was told so")


class NoGpuTest(GpuTest):
    def wake_ups(self, pid):
        """Of all its threads so far."""
        total = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    total += int(line.split()[1])
        return total

    def test_a_machine_without_the_library_has_no_gpus_says_why_and_sleeps(self):
        agent = self.start_agent(config="nvml: /nowhere/libnvidia-ml.so.1\ngpu_sample: 100ms")
        status = agent.get("/v1/status")
        self.assertEqual((status["gpus"], status["capacity"]["gpus"], self.gpu_remarks(agent)), ([], 0, []))
        self.assertTrue(any("/nowhere/libnvidia-ml.so.1" in note for note in status["nvidia"]["notes"]), status["nvidia"])
        self.assertIn("/nowhere/libnvidia-ml.so.1", agent.berth("status").out)
        self.assertEqual(agent.get("/v1/doctor")["gpus"], [])
        error = self.refuses(400, "invalid", self.sh, agent, "true")
        self.assertIn("this node has none", error["message"])
        self.assertNotIn("nvidia", agent.log())
        def at_rest():
            before = self.wake_ups(agent.pid)
            time.sleep(0.5)
            return self.wake_ups(agent.pid) - before < 2
        eventually(at_rest, "what the requests brought about is over")
        before = self.wake_ups(agent.pid)
        time.sleep(2)  # what is measured
        self.assertLess(self.wake_ups(agent.pid) - before, 5)

    def test_a_driver_that_is_loaded_later_is_found_without_being_asked_for(self):
        self.set_machine(init=9)
        agent = self.start_node()
        self.assertEqual(agent.get("/v1/status")["gpus"], [])
        self.set_machine(h100(0))
        eventually(lambda: agent.get("/v1/status")["gpus"], "the GPU is found")

    def test_a_driver_that_is_loaded_much_later_is_found_when_a_job_wants_it(self):
        self.set_machine(h100(0))
        self.script.rename(self.place / "later.json")
        agent = self.start_agent(config=f"nvml: {self.place}/late.so",
                                 environment={"BERTH_TEST_NVML": str(self.place / "later.json")})
        error = self.refuses(400, "invalid", self.sh, agent, "true")
        self.assertIn("this node has none", error["message"])
        (self.place / "late.so").symlink_to(LIBRARY)  # the driver is installed
        self.assertEqual(agent.wait(self.sh(agent, "true"))["state"], "Completed")

    def test_what_asks_for_cuda_is_held_against_the_driver_that_runs_now(self):
        self.set_machine(h100(0), driver="470.82.01", cuda=11040)
        agent = self.start_node("offline: true\n")
        requirements = self.place / "requirements.txt"
        requirements.write_text("nothing-at-all==1.0+cu121\n")
        run = lambda: agent.berth("submit", "--gpus", "1", "--requirements", str(requirements), "--", "true",
                                  cwd=self.directory("code")).out.strip()
        refused = agent.wait(run())
        self.assertIn("470.82", refused["ending_words"])
        self.rest.update(driver="550.54.14", cuda=12040)
        self.write()
        eventually(lambda: agent.get("/v1/status")["nvidia"]["driver"] == "550.54.14", "the new driver is seen")
        tried = agent.wait(run())
        self.assertEqual(tried["ending"]["kind"], "environment_failed")
        self.assertNotIn("driver", tried["ending_words"])

    def test_a_driver_that_comes_later_is_found_by_doctor(self):
        self.set_machine(init=9)
        agent = self.start_node()
        self.assertEqual(agent.get("/v1/status")["gpus"], [])
        self.set_machine(h100(0))
        self.assertEqual(len(agent.get("/v1/doctor")["gpus"]), 1)
        self.assertEqual(agent.wait(self.sh(agent, "true"))["state"], "Completed")

    def test_gpus_none_leaves_them_alone(self):
        self.set_machine(h100(0))
        agent = self.start_node("gpus: none")
        status = agent.get("/v1/status")
        self.assertEqual(status["gpus"], [])
        self.assertIn("gpus: none", status["nvidia"]["notes"][0])
        self.assertNotIn(str(LIBRARY), Path(f"/proc/{agent.pid}/maps").read_text())


if __name__ == "__main__":
    main()
