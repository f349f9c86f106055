"""The disk manager: what goes, in which order, and that nothing that is needed goes. On a small ext4 of its own."""

import os
import random
import sqlite3
import threading
import time
import unittest

import harness
from harness import BerthTest, eventually
from small_disk import SmallDisk, ext4_works

MIB = 1 << 20
CONFIG = "cpus: 8\nmax_parallel: 8\nreserved_space: 4MiB\nkeep_at_least: 0s"


@unittest.skipUnless(os.geteuid() == 0, "mounting a file system needs root")
class DiskManagerTest(BerthTest):
    config = CONFIG
    size = 96 * MIB

    def setUp(self):
        super().setUp()
        self.disk = self.place / "s"
        self.small = SmallDisk(self.disk, self.size, "ext4" if ext4_works(self.place) else "tmpfs")
        self.written = {}

    def dismantle(self):
        if hasattr(self, "small"):
            self.small.unmount()

    def used(self):
        space = os.statvfs(self.disk)
        return (space.f_blocks - space.f_bavail) * space.f_frsize

    def percent_used(self):
        return self.used() * 100 / (os.statvfs(self.disk).f_blocks * os.statvfs(self.disk).f_frsize)

    def fill(self, size):
        """What others have on the disk."""
        (self.disk / "filler").write_bytes(os.urandom(size))

    def free(self):
        (self.disk / "filler").unlink(missing_ok=True)

    # --- jobs that leave something

    def job_with_log(self, agent, size):
        job = agent.sh(f"head -c {size} /dev/urandom")
        self.assertEqual(agent.wait(job)["state"], "Completed")
        return job

    def job_with_outputs(self, agent, size):
        content = os.urandom(size)
        directory = self.directory(f"work{len(self.written)}")
        (directory / "out").mkdir()
        (directory / "out/weights").write_bytes(content)
        job = agent.submit("true", working_directory=str(directory), outputs=["out"])
        done = agent.wait(job)
        if done["attempts"][-1]["outputs"] is None:  # its logs may be gone by now where they are
            self.fail(agent.log_of(job, stream="agent"))
        self.written[job] = content
        return job

    def code(self, name, size):
        code = self.directory(name)
        (code / "data").write_bytes(os.urandom(size))
        return code

    def job_with_code(self, agent, name, size, script="mkdir outputs; cp data outputs/copy; date >> outputs/copy"):
        job = agent.berth("submit", "--", "sh", "-c", script, cwd=self.code(name, size)).out.strip()
        agent.wait(job)
        return job

    def download(self, agent, job):
        target = self.place / f"back-{job}-{random.random()}"
        agent.berth("download", job, "-o", target)
        return (target / "out/weights").read_bytes()

    def age_uploads(self, agent):
        """As if all code had been sent a day before."""
        agent.stop()
        db = sqlite3.connect(agent.state / "berth.db")
        with db:
            db.execute("UPDATE upload SET created = created - 86400000000")
        db.close()
        agent.start()

    # --- what gc says

    @staticmethod
    def whats(report):
        return [item["what"] for item in report["items"]]

    @staticmethod
    def kind(report, name):
        return next(kind for kind in report["kinds"] if kind["kind"] == name)

    def assert_consistent(self, agent):
        """What the records say is there is there, whole; what they do not is not."""
        jobs = {job["id"]: job for job in agent.records(limit=10000)}
        directories = {path.name: path for path in (agent.state / "jobs").iterdir()}
        self.assertEqual(set(directories) - set(jobs), set())
        for name, job in jobs.items():
            if not job["attempts"]:
                continue
            self.assertEqual(job["log_removed"] is None, (agent.state / "jobs" / name / "1/log").exists(), name)
            if name in self.written:
                self.assertEqual(job["outputs_removed"] is None, job["attempts"][-1]["outputs"] is not None)
                if job["outputs_removed"] is None:
                    self.assertEqual(self.download(agent, name), self.written[name])
        self.assertNotIn("leftovers", [item["kind"] for item in agent.berth_json("gc", "--dry-run")["items"]])
        with sqlite3.connect(f"file:{agent.state}/berth.db?mode=ro", uri=True) as db:
            self.assertEqual(db.execute("SELECT * FROM doomed").fetchall(), [])
        db.close()

    # --- the tests

    def test_with_plenty_of_disk_everything_stays(self):
        agent = self.start_agent()
        jobs = [self.job_with_log(agent, 100_000), self.job_with_outputs(agent, 100_000)]
        told = agent.berth("gc", "--dry-run").out
        self.assertIn("nothing to give back", told)
        self.assertIn("cleaning starts at 90 %", told)
        agent.berth("gc")
        agent.restart()
        self.assertEqual(len(agent.log_of(jobs[0])), 100_000)
        self.assertEqual(self.download(agent, jobs[1]), self.written[jobs[1]])
        disk = agent.get("/v1/status")["disk"]
        self.assertGreater(disk["kept"]["logs"], 100_000)
        self.assertGreater(disk["kept"]["stored"], 100_000)
        self.assertIsNone(disk["refusal"])
        self.assertIn("Kept", agent.berth("status").out)

    def test_gc_does_what_it_told_and_what_stays_is_whole(self):
        agent = self.start_agent()
        logs = [self.job_with_log(agent, 500_000) for _ in range(3)]
        outputs = [self.job_with_outputs(agent, MIB) for _ in range(4)]
        coded = self.job_with_code(agent, "code", MIB)
        live = agent.berth("submit", "--", "sh", "-c", "while [ ! -e ../../../../../go ]; do sleep 0.05; done; cat data; "
                           "mkdir outputs; cp data outputs/copy", cwd=self.code("live", MIB)).out.strip()
        agent.running_pid(live)
        held = agent.submit("true", held=True)
        agent.all_cleared()
        told = agent.berth_json("gc", "--dry-run", "--free", "5MiB")
        self.assertEqual(agent.berth_json("gc", "--dry-run", "--free", "5MiB"), {**told, "disk": told["disk"]})
        before = self.used()
        done = agent.berth_json("gc", "--free", "5MiB")
        self.assertEqual(done["items"], told["items"])
        self.assertEqual(done["bytes"], told["bytes"])
        self.assertGreaterEqual(told["bytes"], 5 * MIB)
        self.assertAlmostEqual(before - self.used(), told["bytes"], delta=0.15 * told["bytes"])

        kinds = [item["kind"] for item in told["items"]]
        self.assertEqual(kinds, sorted(kinds, key=["checkouts", "logs", "outputs", "jobs"].index))
        self.assertEqual([what for what in self.whats(told) if what.startswith("log of") and what[7:] in logs],
                         [f"log of {job}" for job in logs])
        gone = {what.removeprefix("outputs of ") for what in self.whats(told) if what.startswith("outputs of")}
        self.assertTrue(gone and gone < {*outputs, coded}, told)
        self.assertFalse(any(live in what or held in what for what in self.whats(told)))
        for job in outputs:
            if job in gone:
                self.refuses(404, "not_found", agent.get, f"/v1/jobs/{job}/outputs")
            else:
                self.assertEqual(self.download(agent, job), self.written[job])
        self.assert_consistent(agent)

        first = logs[0]
        self.assertIn("removed on", agent.berth("logs", first, expect=2).err)
        self.assertIn("to make room: `berth gc --free` asks for 5.0 MiB", agent.berth("show", first).out)
        removed = next(iter(gone & set(outputs)))
        said = agent.berth("download", removed, expect=2).err
        self.assertIn("were removed on", said)
        self.assertIn("its record and its log are kept", said)  # a log in which nothing is written takes no space
        self.assertEqual(agent.job(removed)["exit_code"], 0)

        checkout = agent.job(live)["snapshot"]
        self.assertTrue(list((agent.state / "checkouts").glob(f"*/{checkout}")) or not agent.get("/v1/status")["overlays"])
        tree = agent.launch_directory(live)
        self.assertTrue(tree.exists())
        agent.cancel(live)
        agent.wait(live)
        agent.act(held, "release")
        self.assertEqual(agent.wait(held)["state"], "Completed")
        self.assertIn("Code", agent.berth("show", coded).out)
        agent.act(coded, "retry")  # its code is still there
        self.assertEqual(agent.wait(coded)["exit_code"], 0)

    def test_whole_jobs_go_last_and_the_command_line_says_so(self):
        agent = self.start_agent()
        old = self.job_with_code(agent, "one", 2 * MIB)
        new = self.job_with_code(agent, "two", 2 * MIB)
        kept = agent.berth_json("gc", "--dry-run", "--free", "80MiB")  # somebody may be about to use what was just sent
        self.assertFalse([what for what in self.whats(kept) if what.startswith("all of")])
        self.age_uploads(agent)
        report = agent.berth_json("gc", "--free", "5MiB")
        self.assertIn(f"all of {old}", self.whats(report))
        self.assertNotIn(f"all of {new}", self.whats(report))
        said = agent.berth("show", old, expect=2).err
        self.assertIn("removed to give disk space back", said)
        self.assertEqual(agent.job(new)["state"], "Completed")
        agent.berth("download", new, "--code", "-o", self.place / "code-back")
        self.assertEqual((self.place / "code-back/data").read_bytes(), (self.place / "two/data").read_bytes())
        self.assert_consistent(agent)
        again = agent.berth("submit", "--", "true", cwd=self.place / "one").out.strip()  # is sent again
        self.assertEqual(agent.wait(again)["state"], "Completed")

    def test_above_the_mark_old_logs_go_by_themselves(self):
        agent = self.start_agent(config=CONFIG + "\ndisk_high: 40%\ndisk_low: 25%")
        jobs = []
        for _ in range(24):
            jobs.append(self.job_with_log(agent, 3 * MIB))
            eventually(lambda: self.percent_used() < 42, f"the disk is cleaned up ({self.percent_used():.0f} %)")
        there = [job for job in jobs if agent.job(job)["log_removed"] is None]
        self.assertEqual(there, jobs[-len(there):])  # the oldest went
        self.assertIn(len(there), range(3, 13))
        self.assertEqual(len(agent.log_of(jobs[-1])), 3 * MIB)
        self.assertIn("disk 4", agent.job(jobs[0])["log_removed"]["why"])
        self.assert_consistent(agent)

    def test_a_budget_is_kept_and_new_work_is_refused_where_nothing_may_go(self):
        config = "cpus: 8\nmax_parallel: 8\nreserved_space: 4MiB\ndisk_budget: 12MiB\n"
        agent = self.start_agent(config=config + "keep_at_least: 0s")
        jobs = [self.job_with_outputs(agent, 2 * MIB) for _ in range(10)]
        eventually(lambda: agent.get("/v1/status")["disk"]["kept_bytes"] <= 12 * MIB, "the budget is kept")
        there = [job for job in jobs if agent.job(job)["outputs_removed"] is None]
        self.assertEqual(there, jobs[-len(there):])
        self.assertIn(len(there), range(3, 6))
        self.assertIn("disk_budget", agent.job(jobs[0])["outputs_removed"]["why"])
        self.assertIn("of 12 MiB", agent.berth("status").out)
        self.assert_consistent(agent)
        agent.stop()
        agent.configure(config + "keep_at_least: 1h")
        agent.start()
        while agent.get("/v1/status")["disk"]["refusal"] is None:
            self.job_with_outputs(agent, 2 * MIB)
        error = self.refuses(507, "no_space", agent.submit, "true")
        self.assertIn("disk_budget", error["message"])
        status = agent.get("/v1/status")
        self.assertEqual(status["health"], "degraded")
        self.assertIn("new work is refused", " ".join(status["remarks"]))
        self.assertIn("keep_at_least", agent.berth("gc", "--dry-run").out)
        self.assertEqual(agent.berth_json("gc")["items"], [])

    def test_what_would_not_help_is_not_removed(self):
        agent = self.start_agent()
        coded = self.job_with_code(agent, "code", MIB)
        log = self.job_with_log(agent, 200_000)
        agent.all_cleared()
        self.fill(os.statvfs(self.disk).f_bavail * os.statvfs(self.disk).f_frsize - 6 * MIB)
        last = self.job_with_log(agent, 1000)
        time.sleep(0.5)  # in which something might be removed, of which there is no other sign
        self.assertGreater(self.percent_used(), 90)
        for job in (coded, log, last):
            self.assertIsNone(agent.job(job)["log_removed"])
        self.assertIsNone(agent.job(coded)["outputs_removed"])
        if agent.get("/v1/status")["overlays"]:
            self.assertEqual(agent.get("/v1/status")["disk"]["kept"]["checkouts"], 0)
        self.assertIn("free some space by other means", agent.berth("gc", "--dry-run").out)
        self.free()

    def test_dates_are_kept(self):
        agent = self.start_agent(config=CONFIG + "\nkeep_logs: 1s\nkeep_jobs: 8s")
        job = self.job_with_outputs(agent, 100_000)
        removed = eventually(lambda: agent.job(job)["log_removed"], "the log is due")
        self.assertIn("keep_logs, which is 1", removed["why"])
        self.assertEqual(self.download(agent, job), self.written[job])
        agent.restart()
        eventually(lambda: agent.request("GET", f"/v1/jobs/{job}").status == 404, "the record is due")
        self.assert_consistent(agent)

    def test_an_upload_that_cannot_fit_is_refused_before_it_is_sent(self):
        agent = self.start_agent()
        answer = agent.request("POST", "/v1/snapshots", headers={"Content-Length": str(200 * MIB)})
        self.assertEqual(answer.status, 507, answer)
        self.assertIn("room for 400 MiB", answer.error["message"])

    def test_an_upload_makes_room_for_itself(self):
        agent = self.start_agent()
        logs = [self.job_with_log(agent, 10 * MIB) for _ in range(5)]
        job = agent.berth("submit", "--", "true", cwd=self.code("big", 24 * MIB)).out.strip()
        self.assertEqual(agent.wait(job)["state"], "Completed")
        self.assertIsNotNone(agent.job(logs[0])["log_removed"])
        self.assertIsNone(agent.job(job)["log_removed"])

    def test_a_kill_in_the_middle_leaves_nothing_half_done(self):
        agent = self.start_agent()
        shot = random.Random(20261121)
        for round in range(6):
            jobs = []
            for _ in range(12):
                directory = self.directory(f"work{len(self.written)}")
                (directory / "out").mkdir()
                content = os.urandom(100_000)
                (directory / "out/weights").write_bytes(content)
                job = agent.submit("head", "-c", "50000", "/dev/urandom", working_directory=str(directory), outputs=["out"])
                self.written[job] = content
                jobs.append(job)
            for job in jobs:
                agent.wait(job)
            gc = threading.Thread(target=lambda: agent.berth("gc", "--free", "1500000", expect=None))
            gc.start()
            time.sleep(shot.uniform(0.03, 0.25))
            agent.kill()
            gc.join()
            agent.start()
            eventually(lambda: not self.unfinished(agent), "the removal is completed")
            self.assert_consistent(agent)

    def unfinished(self, agent):
        db = sqlite3.connect(f"file:{agent.state}/berth.db?mode=ro", uri=True)
        try:
            return (db.execute("SELECT job FROM doomed").fetchall() +
                    db.execute("SELECT name FROM node WHERE name = 'sweep_due'").fetchall())
        finally:
            db.close()


if __name__ == "__main__":
    harness.main()
