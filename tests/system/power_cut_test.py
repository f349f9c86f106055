"""The power fails at random instants of a burst of submissions.

BERTH_SYSTEM_SEED repeats a run."""

import json
import os
import random
import time
from collections import Counter

import images
from harness import VirtualMachineTest, eventually, main

CUTS = 3
SLOTS = 4
LAST_PATIENCE = 120


class PowerCutTest(VirtualMachineTest):
    keeps_disk = True

    def test_what_was_acknowledged_is_neither_lost_nor_doubled(self):
        seed = int(os.environ.get("BERTH_SYSTEM_SEED", random.SystemRandom().randrange(10**6)))
        print(f"BERTH_SYSTEM_SEED={seed}", flush=True)
        chance = random.Random(seed)
        self.machine.configure(max_parallel=SLOTS, cpus=SLOTS)
        self.machine.run("sync")
        for number in range(1, CUTS + 1):
            self.cut_during_a_burst(chance)
            self.machine.boot()
            self.assert_kept(number)

    def cut_during_a_burst(self, chance):
        before = len(self.acknowledged())
        self.machine.run("systemd-run", "-q", "--uid=ann", "--unit=burst", "python3", "/opt/test/burst.py", "3")
        eventually(lambda: len(self.acknowledged()) > before, "the burst has begun", pause=0.01)
        time.sleep(chance.uniform(0.1, 4))
        self.machine.cut_power()

    def told(self, word):
        return [line.split()[1] for line in self.machine.witness() if line.startswith(f"{word} ") and len(line.split()) == 2]

    def acknowledged(self):
        return self.told("ACK")

    def assert_kept(self, cuts):
        """All of them are known and come to an end; each ran once, or was running when the power failed."""
        acknowledged = self.acknowledged()
        self.assertEqual(self.told("REFUSED"), [])
        self.assertGreater(len(acknowledged), 3 * cuts)
        eventually(lambda: not any(self.machine.status()["jobs"].values()), "all jobs have ended", LAST_PATIENCE, pause=1)
        jobs = {job["id"]: job for job in self.all_jobs()}
        self.assertEqual([job for job in acknowledged if job not in jobs], [], "acknowledged, but forgotten")
        ran = Counter(self.told("RAN"))
        self.assertEqual({job: count for job, count in ran.items() if count > 1}, {}, "ran twice")
        endings = Counter(job["ending_words"] if job["state"] == "Completed" else job["ending"]["kind"] for job in jobs.values())
        never = [job for job in jobs if jobs[job]["state"] == "Completed" and ran[job] != 1]
        self.assertEqual(never, [], "said to have run, but did not")
        self.assertEqual(set(endings) - {"exited with code 0", "lost"}, set())
        self.assertLessEqual(endings["lost"], cuts * SLOTS, "only what ran may be lost")
        print(f"cut {cuts}: {len(acknowledged)} acknowledged, {len(ran)} ran, {endings['lost']} lost while they ran", flush=True)

    def all_jobs(self):
        return json.loads(self.machine.berth("--json", "ps", "-a", "-n", "10000").out)["jobs"]


if __name__ == "__main__":
    main(images.require_virtual_machines)
