"""Whatever is killed and whenever: an acknowledged job runs exactly once, and its log is what it wrote.

BERTH_CRASH_KILLS sets how often the agent is killed (60), BERTH_CRASH_SEED what is random in it."""

import os
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPException
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "programs"))
import harness
import pattern
import processes
from client import Refused
from harness import PATIENCE, PYTHON, BerthTest, eventually, new_submission_id, remove_group

KILLS = int(os.environ.get("BERTH_CRASH_KILLS", "60"))
SEED = int(os.environ.get("BERTH_CRASH_SEED", random.SystemRandom().randrange(1_000_000)))
CLIENTS = 3
MOST_UNFINISHED = 60
SETTLED_WITHIN = 120


@dataclass
class Submission:
    submission_id: str
    kind: str  # "steady", "quick", "canceled" or "abandoned"
    lines: int
    witness: Path
    job: str = ""  # its name, once it was acknowledged
    cancel_acknowledged: bool = False

    def starts(self):
        return self.witness.read_text().count("started") if self.witness.exists() else 0


@dataclass
class Ledger:
    """What the clients asked for and were promised."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    entries: list = field(default_factory=list)
    failures: list = field(default_factory=list)

    def add(self, entry):
        with self.lock:
            self.entries.append(entry)

    def unstarted(self):
        with self.lock:
            return sum(1 for entry in self.entries if not entry.witness.exists())


class SubmittingClient(threading.Thread):
    """Submits and cancels, and repeats what was not answered, as the command line does."""

    def __init__(self, agent, ledger, snapshot, seed, stopping):
        super().__init__(daemon=True)
        self.agent, self.ledger, self.snapshot, self.stopping = agent, ledger, snapshot, stopping
        self.random = random.Random(seed)

    def run(self):
        try:
            while not self.stopping.is_set():
                if self.ledger.unstarted() < MOST_UNFINISHED:
                    self.submit_some()
                time.sleep(self.random.uniform(0.02, 0.4))
        except BaseException as failure:
            self.ledger.failures.append(failure)
            raise

    def submit_some(self):
        kind = self.random.choices(["steady", "quick", "canceled", "abandoned"], [10, 6, 5, 1])[0]
        batch = [self.new_submission(kind) for _ in range(self.random.choice([1, 1, 1, 3]))]
        requests = [self.request_for(entry) for entry in batch]
        body = requests[0] if len(requests) == 1 else {"jobs": requests}
        if kind == "abandoned":
            return self.try_once(body)
        answer = self.until_answered("/v1/jobs", body)
        for entry, acknowledged in zip(batch, answer["jobs"], strict=True):
            entry.job = acknowledged["id"]
        if self.random.random() < 0.1:
            self.repeat(batch, body)
        if kind == "canceled":
            time.sleep(self.random.uniform(0, 1.2))
            for entry in batch:
                self.until_answered(f"/v1/jobs/{entry.job}/cancel", {})
                entry.cancel_acknowledged = True

    def new_submission(self, kind):
        submission_id = new_submission_id()
        entry = Submission(submission_id, kind, 10 if kind == "quick" else 600,
                           self.agent.place / "witness" / submission_id)
        self.ledger.add(entry)
        return entry

    def request_for(self, entry):
        linger = ["300"] if entry.kind == "canceled" else []
        pause = 0 if entry.kind == "quick" else self.random.choice([2, 10, 40])
        request = self.agent.request_for(
            PYTHON, "-ISE", str(Path(pattern.__file__)), str(entry.witness), entry.submission_id, str(entry.lines),
            str(pause), *linger, snapshot=self.snapshot if self.random.random() < 0.4 else None)
        request["submission_id"] = entry.submission_id
        request["stop"] = {"signal": 15, "grace_ms": 2000}
        return request

    def repeat(self, batch, body):
        again = self.until_answered("/v1/jobs", body)["jobs"]
        assert [job["id"] for job in again] == [entry.job for entry in batch], (again, batch)
        assert all(job["known"] for job in again), again

    def try_once(self, body):
        try:
            self.agent.post("/v1/jobs", body)
        except (OSError, HTTPException, Refused):
            pass

    def until_answered(self, path, body):
        """Repeats the request until the agent answers; what it refuses other than for now is a failure."""
        end = time.monotonic() + SETTLED_WITHIN
        while True:
            try:
                return self.agent.post(path, body)
            except Refused as refused:
                if refused.status != 503 or time.monotonic() > end:
                    raise
            except (OSError, HTTPException) as failure:
                if isinstance(failure, TimeoutError) or time.monotonic() > end:
                    raise  # an agent that is killed closes the connection, one that hangs does not
            time.sleep(0.02)


class KilledAgentTest(BerthTest):
    config = "cpus: 64\nmax_parallel: 8\nlog_level: debug"

    def test_every_acknowledged_job_runs_exactly_once(self):
        print(f"BERTH_CRASH_KILLS={KILLS} BERTH_CRASH_SEED={SEED}", file=sys.stderr)
        agent = self.start_agent()
        agent.timeout = PATIENCE
        (self.place / "witness").mkdir()
        ledger, stopping = Ledger(), threading.Event()
        snapshot = self.snapshot(agent)
        clients = [SubmittingClient(agent, ledger, snapshot, SEED + n, stopping) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        killing = random.Random(SEED)
        for _ in range(KILLS):
            self.kill_somewhen(agent, killing)
        agent.start()
        stopping.set()
        for client in clients:
            client.join(SETTLED_WITHIN)
            self.assertFalse(client.is_alive(), "a client is still waiting for an answer")
        self.assertEqual(ledger.failures, [])
        eventually(lambda: not agent.jobs(all=False), "all jobs have ended", SETTLED_WITHIN)
        self.check(agent, ledger)

    def snapshot(self, agent):
        """The digest of a snapshot that the agent has."""
        code = self.directory("code", train_py="print('hello')\n", data_txt="x" * 10_000)
        job = agent.berth("submit", "--", "true", cwd=code).out.strip()
        return agent.wait(job)["snapshot"]

    def kill_somewhen(self, agent, killing):
        if not agent.is_running():
            agent.spawn()
        if killing.random() < 0.15:  # while it starts and takes up its jobs
            time.sleep(killing.uniform(0, 0.4))
            return agent.kill()
        eventually(agent.is_serving, "berthd serves")
        time.sleep(min(killing.expovariate(1.6), 3))
        if killing.random() < 0.05:
            self.assertEqual(agent.stop(), 0)
        else:
            agent.kill()

    def check(self, agent, ledger):
        jobs = {job["submission_id"]: job for job in agent.jobs(limit=10_000)}
        asked = {entry.submission_id: entry for entry in ledger.entries}
        mistakes = []
        states = {}
        for entry in ledger.entries:
            job = jobs.get(entry.submission_id)
            mistakes += [f"{entry}: {mistake}" for mistake in self.mistakes_of(agent, entry, job)]
            state = job["state"] if job else "unknown"
            states[f"{entry.kind} {state}"] = states.get(f"{entry.kind} {state}", 0) + 1
        print(f"{len(ledger.entries)} submissions: {states}", file=sys.stderr)
        self.assertEqual(mistakes, [], f"{len(mistakes)} mistakes")
        self.assertLessEqual(len([job for job in jobs if job not in asked]), CLIENTS, "jobs that nobody asked for")
        self.assertGreater(len(ledger.entries), KILLS, "too few jobs to tell anything")

    def mistakes_of(self, agent, entry, job):
        starts = entry.starts()
        if job is None:
            if entry.job:
                yield "was acknowledged, but is not known"
            if starts:
                yield "is not known, but ran"
            return
        if entry.job and job["id"] != entry.job:
            yield f"was acknowledged as {entry.job}, but is {job['id']}"
        expected = "Canceled" if entry.kind == "canceled" else "Completed"  # those linger until they are canceled
        if job["state"] != expected:
            yield f"is {job['state']}: {job['ending']}"
        if starts > 1 or (starts == 0 and job["state"] == "Completed"):
            yield f"was started {starts} times"
        if job["attempt"] > 1:
            yield f"has {job['attempt']} attempts"
        if job["attempt"]:
            yield from self.mistakes_in_log(agent, entry, job)

    @staticmethod
    def mistakes_in_log(agent, entry, job):
        wanted = pattern.text(entry.submission_id, entry.lines)
        try:
            found = agent.log_of(job["id"])
        except Refused as refused:
            if job["state"] == "Completed":
                yield f"has no log: {refused}"
            return
        if job["state"] == "Completed" and found != wanted:
            yield f"has a log of {len(found)} bytes instead of {len(wanted)}, or other ones"
        if not wanted.startswith(found):
            yield f"has a log that is no beginning of what it writes: {found[:80]!r}"


class LostJobTest(BerthTest):
    """The supervisor dies, or the machine does."""
    config = "cpus: 8\nmax_parallel: 8"

    # a child of its own session, one forked twice, and one that ignores what it can
    BUSY = "trap '' TERM HUP; setsid sleep 300 & (sleep 301 &) ; echo ready; while :; do sleep 302; done"

    def busy_job(self, agent, **fields):
        job = agent.sh(self.BUSY, **fields)
        eventually(lambda: agent.job(job)["state"] == "Running" and b"ready" in agent.log_of(job), "the job runs")
        sleeping = eventually(lambda: len(found := [pid for pid in processes.of_job(job)
                                                    if processes.command_line(pid).startswith("sleep 30")]) >= 3
                              and found, "its three sleeping processes are there")
        return job, sleeping

    def shim_of(self, agent, job, launch=1):
        pid = agent.started_record(job, launch)["shim"]["pid"]
        self.assertIn("berth-shim", processes.command_line(pid))
        return pid

    def assert_lost(self, job, cause):
        self.assertEqual(job["state"], "Failed")
        self.assertEqual(job["ending"], {"kind": "lost", "cause": cause})
        self.assertEqual(job["exit_code"], 125)

    def assert_gone(self, job):
        eventually(lambda: not processes.of_job(job), f"no process of {job} is left")

    def test_a_killed_supervisor_takes_its_job_with_it(self):
        agent = self.start_agent()
        job, _ = self.busy_job(agent)
        processes.kill(self.shim_of(agent, job))
        ended = agent.wait(job)
        self.assert_lost(ended, "shim_killed")
        self.assertIn("supervisor", ended["ending_words"])
        self.assert_gone(job)
        self.assertEqual(agent.log_of(job), b"ready\n")
        agent.berth("wait", job, expect=125)

    def test_a_job_lost_with_its_supervisor_runs_again_where_asked(self):
        agent = self.start_agent()
        job, _ = self.busy_job(agent, retries={"lost": 1})
        first = self.shim_of(agent, job)
        processes.kill(first)
        eventually(lambda: len(agent.job(job)["attempts"]) == 2 and agent.job(job)["state"] == "Running",
                   "a second attempt runs")
        attempts = agent.job(job)["attempts"]
        self.assertEqual([attempt["number"] for attempt in attempts], [1, 2])
        self.assertEqual(attempts[0]["ending"], {"kind": "lost", "cause": "shim_killed"})
        eventually(lambda: b"ready" in agent.log_of(job), "the second attempt has begun")  # else it never ran
        processes.kill(self.shim_of(agent, job, launch=2))
        self.assert_lost(agent.wait(job), "shim_killed")  # it was to be repeated once only
        self.assert_gone(job)

    def test_supervisor_and_agent_killed_together(self):
        agent = self.start_agent()
        job, sleeping = self.busy_job(agent)
        shim = self.shim_of(agent, job)
        agent.kill()
        processes.kill(shim)
        eventually(lambda: not processes.is_alive(shim), "the supervisor is dead")
        agent.start()
        self.assert_lost(agent.wait(job), "shim_killed")
        self.assert_gone(job)
        self.assertEqual([pid for pid in sleeping if processes.is_alive(pid)], [])

    def test_what_ended_while_no_agent_ran_is_recorded_as_it_was(self):
        agent = self.start_agent()
        job = agent.sh("sleep 1; echo done; exit 7")
        waiting = agent.sh("echo next", held=True)
        agent.running_pid(job, "sleep")
        agent.kill()
        ending = agent.launch_directory(job) / "ending.json"
        eventually(ending.exists, "the supervisor has written the ending")
        ended_at = ending.stat().st_mtime
        time.sleep(1.2)  # what its end must not be confused with: when it was found
        agent.start()
        ended = agent.wait(job)
        self.assertEqual((ended["state"], ended["exit_code"]), ("Failed", 7))
        self.assertLess(abs(seconds_of(ended["attempts"][0]["ended"]) - ended_at), 1)
        self.assertLess(ended["duration_ms"], 5000)
        self.assertEqual(agent.log_of(job), b"done\n")
        self.assertEqual(agent.job(waiting)["state"], "Queued")

    def test_a_cancellation_survives_the_agent(self):
        agent = self.start_agent()
        job, _ = self.busy_job(agent, stop={"signal": 15, "grace_ms": 1500})
        agent.cancel(job)
        agent.kill()
        agent.start()
        ended = agent.wait(job)
        self.assertEqual((ended["state"], ended["ending"]["kind"]), ("Canceled", "canceled"))
        self.assert_gone(job)

    def test_a_running_job_is_adopted(self):
        agent = self.start_agent()
        job = agent.sh("echo one; while [ ! -e go ]; do sleep 0.05; done; echo two; exit 3")
        pid = agent.running_pid(job, "/bin/sh")
        for end in (agent.kill, agent.stop):
            end()
            agent.start()
            self.assertEqual(agent.job(job)["state"], "Running")
            self.assertTrue(processes.is_alive(pid))
            self.assertIn("/bin/sh", processes.command_line(pid))
        (self.place / "work/go").touch()
        ended = agent.wait(job)
        self.assertEqual((ended["state"], ended["exit_code"]), ("Failed", 3))
        self.assertEqual(len(ended["attempts"]), 1)
        self.assertEqual(agent.log_of(job), b"one\ntwo\n")

    # --- the machine restarts

    def reboot(self, agent, jobs):
        """What a power cut leaves: no process, the files as they are, another boot id."""
        shims = [self.shim_of(agent, job) for job in jobs]
        agent.kill()
        for pid in shims + [pid for job in jobs for pid in processes.of_job(job)]:
            processes.kill(pid)
        for job in jobs:
            self.assert_gone(job)
        for path, _, _ in os.walk(agent.cgroup or "/nonexistent", topdown=False):
            if path != agent.cgroup:
                eventually(lambda: remove_group(path), f"{path} is removed")
        agent.extra["BERTH_BOOT_ID"] = "after-the-restart"
        agent.start()

    def test_after_a_reboot_running_jobs_are_lost_and_waiting_ones_run(self):
        agent = self.start_agent(config="cpus: 1\nmax_parallel: 1",
                                 environment={"BERTH_BOOT_ID": "before-the-restart"})
        running, _ = self.busy_job(agent)
        queued = agent.sh("echo ran")
        held = agent.sh("echo held", held=True)
        self.assertEqual(agent.job(queued)["state"], "Queued")
        self.reboot(agent, [running])
        lost = agent.wait(running)
        self.assert_lost(lost, "reboot")
        self.assertIn("restarted", lost["ending_words"])
        self.assertEqual(agent.wait(queued)["state"], "Completed")
        self.assertEqual(agent.log_of(queued), b"ran\n")
        self.assertEqual(agent.job(held)["state"], "Queued")

    def test_after_a_reboot_a_job_runs_again_where_asked(self):
        agent = self.start_agent(environment={"BERTH_BOOT_ID": "before-the-restart"})
        job = agent.sh("echo attempt $BERTH_ATTEMPT; if [ $BERTH_ATTEMPT = 1 ]; then sleep 300; fi",
                       retries={"lost": 1})
        agent.running_pid(job, "sleep")
        self.reboot(agent, [job])
        ended = agent.wait(job)
        self.assertEqual(ended["state"], "Completed")
        self.assertEqual([attempt["ending"]["kind"] for attempt in ended["attempts"]], ["lost", "exited"])
        self.assertEqual(agent.log_of(job, attempt=1), b"attempt 1\n")
        self.assertEqual(agent.log_of(job), b"attempt 2\n")

    def test_a_job_that_ended_before_the_reboot_has_ended(self):
        agent = self.start_agent(environment={"BERTH_BOOT_ID": "before-the-restart"})
        job = agent.sh("sleep 0.5; exit 4")
        agent.running_pid(job, "sleep")
        agent.kill()
        eventually((agent.launch_directory(job) / "ending.json").exists, "the supervisor has written the ending")
        agent.extra["BERTH_BOOT_ID"] = "after-the-restart"
        agent.start()
        self.assertEqual(agent.wait(job)["exit_code"], 4)


def seconds_of(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


if __name__ == "__main__":
    harness.main()
