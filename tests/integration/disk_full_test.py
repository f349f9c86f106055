"""A full disk: new work is refused, what runs ends properly, cancelling works, and with space all goes on.

On a small tmpfs and on a small ext4; needs root to mount them, and is skipped, loudly, without."""

import os
import time
import unittest

import harness
import processes
from harness import BerthTest, eventually
from small_disk import SmallDisk, ext4_works

CONFIG = "cpus: 8\nmax_parallel: 8\nreserved_space: 8MiB"


@unittest.skipUnless(os.geteuid() == 0, "mounting a file system needs root")
class FullTmpfsTest(BerthTest):
    config = CONFIG
    kind = "tmpfs"
    size = 48 << 20

    def setUp(self):
        super().setUp()
        if self.kind == "ext4" and not ext4_works(self.place):
            self.skipTest("no loop devices")
        self.disk = self.place / "s"
        self.small = SmallDisk(self.disk, self.size, self.kind)

    def dismantle(self):
        if hasattr(self, "small"):
            self.small.unmount()

    def fill(self):
        """Until nothing more can be written."""
        with open(self.disk / "filler", "ab", buffering=0) as filler:
            size = 1 << 20
            while size:
                try:
                    filler.write(b"x" * size)
                except OSError:
                    size //= 2

    def free(self):
        (self.disk / "filler").unlink(missing_ok=True)

    def test_new_work_is_refused_in_time(self):
        agent = self.start_agent()
        with open(self.disk / "filler", "wb") as filler:
            space = os.statvfs(self.disk)
            filler.write(b"x" * (space.f_bavail * space.f_frsize - (4 << 20)))
        error = self.refuses(507, "no_space", agent.submit, "true")
        self.assertIn(str(self.disk), error["message"])
        self.assertIn("gc", error["hint"])
        said = agent.berth("submit", "--no-code", "--", "true", expect=125).err
        self.assertIn("free", said)
        self.refuses(507, "no_space", agent.post, "/v1/diffs", b"diff")
        self.free()
        self.assertEqual(agent.wait(agent.submit("true"))["state"], "Completed")

    def test_running_jobs_end_properly(self):
        agent = self.start_agent()
        jobs = [agent.sh(f"while [ ! -e go ]; do sleep 0.05; done; exit {code}") for code in (0, 3)]
        for job in jobs:
            agent.running_pid(job)
        self.fill()
        self.refuses(507, "no_space", agent.submit, "true")
        (self.place / "work/go").touch()
        self.assertEqual([agent.wait(job)["exit_code"] for job in jobs], [0, 3])
        agent.restart()
        self.assertEqual([agent.job(job)["exit_code"] for job in jobs], [0, 3])
        self.free()
        self.assertEqual(agent.wait(agent.submit("true"))["state"], "Completed")

    def test_cancelling_works(self):
        agent = self.start_agent()
        running, queued = agent.submit("sleep", "300"), agent.submit("true", held=True)
        agent.running_pid(running, "sleep 300")
        self.fill()
        agent.cancel(running)
        agent.cancel(queued)
        self.assertEqual([agent.wait(job)["state"] for job in (running, queued)], ["Canceled", "Canceled"])
        self.assertEqual(processes.of_job(running), [])
        agent.get("/v1/status")
        agent.berth("gc", "--dry-run")
        self.free()

    def test_what_cannot_be_recorded_now_is_recorded_later(self):
        agent = self.start_agent()
        jobs = [agent.sh(f"while [ ! -e go ]; do sleep 0.05; done; exit {code}") for code in range(6)]
        for job in jobs:
            agent.running_pid(job)
        self.fill()
        (self.place / "work/go").touch()
        for _ in range(20):  # whatever the agent sets free is taken at once
            self.fill()
            time.sleep(0.05)
        self.free()
        self.assertEqual([agent.wait(job, 60)["exit_code"] for job in jobs], list(range(6)))

    def test_a_job_that_fills_the_disk_with_its_log_ends_as_it_would(self):
        agent = self.start_agent()
        job = agent.sh("yes | head -c 60000000; exit 9")  # head is told that the disk is full
        self.assertEqual(agent.wait(job)["exit_code"], 9)
        log = agent.launch_directory(job) / "log"
        self.assertGreater(log.stat().st_size, 8 << 20)
        self.refuses(507, "no_space", agent.submit, "true")
        log.unlink()
        self.assertEqual(agent.wait(agent.submit("true"))["state"], "Completed")

    def test_a_capped_log_fits_where_the_whole_would_not(self):
        agent = self.start_agent()
        job = agent.sh("for n in $(seq 40); do yes $n | head -c 2000000; sleep 0.06; done; echo end",
                       log_cap_bytes=4 << 20)
        self.assertEqual(agent.wait(job)["state"], "Completed")
        self.assertTrue(agent.log_of(job).endswith(b"end\n"))

    def test_code_that_does_not_fit_is_refused_whole(self):
        agent = self.start_agent()
        code = self.directory("code")
        (code / "big.bin").write_bytes(os.urandom(45 << 20))
        said = agent.berth("submit", "--", "true", cwd=code, expect=None)
        self.assertEqual(said.returncode, 125, said.err)
        self.assertIn("space", said.err)
        self.assertEqual(list((agent.state / "incoming").iterdir()), [])
        self.assertEqual(agent.wait(agent.submit("true"))["state"], "Completed")
        self.assertLess(used(self.disk), 24 << 20)

    def test_a_restart_on_a_full_disk(self):
        agent = self.start_agent()
        job = agent.sh("while [ ! -e go ]; do sleep 0.05; done; exit 6")
        agent.running_pid(job)
        running, held = agent.submit("sleep", "300"), agent.submit("true", held=True)
        agent.running_pid(running, "sleep 300")
        agent.kill()
        self.fill()
        (self.place / "work/go").touch()
        agent.start()  # the reserve makes the room that it needs
        self.assertEqual(agent.wait(job, 60)["exit_code"], 6)
        for each in (running, held):
            agent.cancel(each)
            self.assertEqual(agent.wait(each)["state"], "Canceled")
        self.refuses(507, "no_space", agent.submit, "true")
        self.assertIn("refused", " ".join(agent.get("/v1/status")["remarks"]))
        agent.restart()
        self.assertEqual([agent.job(each)["state"] for each in (running, held)], ["Canceled"] * 2)
        self.free()
        self.assertEqual(agent.wait(agent.submit("true"))["state"], "Completed")

    def test_gc_works(self):
        agent = self.start_agent(config=CONFIG + "\nkeep_at_least: 0s\ndisk_high: 100%")
        jobs = []
        for _ in range(3):  # one after the other: what ended first goes first
            jobs.append(agent.sh("head -c 1000000 /dev/urandom"))
            agent.wait(jobs[-1])
        agent.kill()
        self.fill()
        agent.start()
        told = agent.berth_json("gc", "--free", "2MiB", "--dry-run")
        self.assertEqual([item["what"] for item in told["items"]][-3:], [f"log of {job}" for job in jobs])
        agent.berth("gc", "--free", "2MiB")
        self.assertFalse(any((agent.state / "jobs" / job).exists() for job in jobs))
        self.assertIn("removed on", agent.berth("logs", jobs[0], expect=2).err)
        self.free()


class FullExt4Test(FullTmpfsTest):
    kind = "ext4"
    size = 64 << 20


def used(path):
    space = os.statvfs(path)
    return (space.f_blocks - space.f_bfree) * space.f_frsize


if __name__ == "__main__":
    harness.main()
