"""Records: a job of the agent's own user, and what else this user runs, cannot forge its ending, nor hang or confuse the
agent, and a user who uses up his inotify watches keeps nobody from knowing what runs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

from hostile import HostileTest, eventually, harness, main

PYTHON = "/usr/bin/python3"

# What a job begins with, until the attack is done.
JOB = """
import os, shutil, signal, sys, time
shim = os.getppid()
print('up', flush=True)
while not os.path.exists(sys.argv[1]): time.sleep(.01)
"""

# What an attack begins with: the launch directory, and the job's supervisor. A job cannot write where its own launch is,
# so this is another process of its user's, outside of the job.
PREAMBLE = """
import fcntl, json, os, shutil, signal, subprocess, sys, time
place, shim = sys.argv[1], int(sys.argv[2])
def ending(code, **more):
    return json.dumps({'version': {'major': 1, 'minor': 2}, 'outcome': {'exited': code}, 'stopped_because': '',
                       'started': '2026-01-01T00:00:00.000000Z', 'ended': '2026-01-01T00:00:01.000000Z', 'duration_us': 1000000,
                       'user_cpu_us': 0, 'system_cpu_us': 0, 'peak_memory': 0, 'log_bytes': 0, 'remarks': [], **more}, indent=2) + '\\n'
def put(name, content):
    with open(place + '/new', 'w') as file: file.write(content)
    os.rename(place + '/new', place + '/' + name)
"""


class OwnUserTest(HostileTest):
    """The agent of somebody who is not root: its jobs have its user, as has whatever else he runs."""

    def setUp(self):
        super().setUp()
        self.who = self.attacker
        programs = self.programs_for(self.who.uid, self.who.gid)
        self.prefix = ["setpriv", f"--reuid={self.who.uid}", f"--regid={self.who.gid}", "--clear-groups"]
        self.agent = self.start_agent(cgroup=False, programs=programs, prefix=self.prefix,
                                      config="cpus: 16\nmax_parallel: 16")

    def job_until(self, then, **fields):
        """A job that runs, and goes on with `then` once the file is there that comes second."""
        go = self.place / "work" / f"go-{harness.new_submission_id()}"
        job = self.agent.submit(PYTHON, "-c", JOB + then, str(go), **fields)
        eventually(lambda: b"up" in self.agent.log_of(job), "the job runs")
        return job, go

    def forge(self, job, code):
        """Runs it outside of the job; what it printed."""
        place, shim = self.agent.launch_directory(job), self.agent.started_record(job)["shim"]["pid"]
        done = harness.family.run([*self.prefix, PYTHON, "-c", PREAMBLE + code, str(place), str(shim)], 30)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode()

    def attack(self, code, then="time.sleep(60)", **fields):
        job, go = self.job_until(then, **fields)
        self.forge(job, code)
        go.touch()
        return job

    def remarks(self, job):
        return self.agent.log_of(job, stream="agent").decode()

    def outcome(self, code, *then, **fields):
        job = self.attack(code, *then, **fields)
        ended = self.agent.wait(job)
        return ended, self.remarks(job)

    def assert_told_as_changed(self, code, *then, **fields):
        ended, remarks = self.outcome(code, *then, **fields)
        self.assertEqual(ended["ending"], {"kind": "lost", "cause": "records_changed"}, remarks)
        self.assertIn("its records were changed", remarks)
        self.assertEqual(len(ended["attempts"]), 1)
        return ended, remarks

    def test_from_within_the_job_nothing_of_its_launch_can_be_written(self):
        if self.agent.get("/v1/status")["environment_changes"] == "shared":
            self.skipTest("no mounts of one's own here")
        job, go = self.job_until("""
place = os.environ['BERTH_LAUNCH']
def attempt(what, act, *arguments):
    try: act(*arguments)
    except OSError as error: print('refused', what, error.errno)
    else: print('DONE', what, *arguments)
for name in ('launch.json', 'started.json', 'ending.json', 'stop.json', 'stop-reason', 'claim', 'ending.part', 'anything'):
    path = os.path.join(place, name)
    attempt('write', open, path, 'a')
    attempt('make', os.mkdir, path)
    attempt('remove', os.unlink, path)
    attempt('rename', os.rename, path, path + '.old')
    attempt('chmod', os.chmod, path, 0o777)
attempt('replace', os.rename, place, place + '.old')
attempt('make', os.mkdir, place + '.new')
attempt('open the database', open, os.path.join(place, '../../../berth.db'), 'r+b')
sys.exit(7)
""")
        go.touch()
        self.assertEqual(self.agent.wait(job)["ending"], {"kind": "exited", "code": 7})
        log = self.agent.log_of(job).decode()
        self.assertEqual([line for line in log.splitlines() if line.startswith("DONE")], [])
        self.assertEqual(log.count("refused"), 8 * 5 + 3)
        self.assertEqual(self.remarks(job), "")

    def test_a_forged_ending_is_not_believed_when_its_supervisor_is_killed(self):
        self.assert_told_as_changed("put('ending.json', ending(0)); os.kill(shim, 9)")

    def test_a_supervisor_killed_by_its_own_job_is_told(self):
        ended, remarks = self.outcome("", "os.kill(shim, 9); time.sleep(60)")
        self.assertEqual(ended["ending"]["kind"], "lost", remarks)

    def test_an_ending_of_another_launch_is_not_believed(self):
        first, go = self.job_until("sys.exit(0)")
        kept = self.place / "work" / "kept"
        copier = harness.family.popen([*self.prefix, PYTHON, "-c", f"""
import time
until = time.monotonic() + 30
print('looks', flush=True)
while time.monotonic() < until:
    try: content = open({str(self.agent.launch_directory(first) / 'ending.json')!r}).read(); break
    except FileNotFoundError: pass
else: raise SystemExit(1)
open({str(kept)!r}, 'w').write(content)"""], stdout=subprocess.PIPE)
        self.addCleanup(copier.stdout.close)
        self.assertEqual(copier.stdout.readline(), b"looks\n")
        go.touch()
        self.agent.wait(first)
        try:
            eventually(kept.exists, "an ending was copied", patience=2)
        except AssertionError:
            self.skipTest("the ending was gone before it could be copied")
        finally:
            copier.kill()
            copier.wait()
        self.assert_told_as_changed(f"put('ending.json', open({str(kept)!r}).read()); os.kill(shim, 9)")

    def test_a_forged_ending_beside_a_living_supervisor_is_replaced_by_its_own(self):
        for forged in ("put('ending.json', ending(0))", "put('ending.json', '{garbage')", "os.mkdir(place + '/ending.json')",
                       "os.mkfifo(place + '/ending.json')", "os.symlink('/dev/zero', place + '/ending.json')",
                       "put('ending.json', 'x' * 100_000_000)", "os.mkdir(place + '/ending.json'); open(place + '/ending.json/x', 'w')",
                       "os.unlink(place + '/ending.part')", "put('stop-reason', 'x')"):
            ended, _ = self.outcome(f"{forged}; time.sleep(.3)", "sys.exit(7)")
            self.assertEqual(ended["ending"], {"kind": "exited", "code": 7}, forged)

    def test_other_forged_files_neither_hang_the_agent_nor_end_the_job_otherwise(self):
        for forged in ("os.unlink(place + '/started.json'); os.mkfifo(place + '/started.json')",
                       "put('started.json', 'x')", "os.mkfifo(place + '/launch.json')", "os.unlink(place + '/claim'); os.mkfifo(place + '/claim')",
                       "put('launch.json', '{}')", "os.unlink(place + '/claim')"):
            ended, _ = self.outcome(f"{forged}; time.sleep(.3)", "sys.exit(7)")
            self.assertEqual(ended["ending"], {"kind": "exited", "code": 7}, forged)
            self.assertEqual(self.agent.request("GET", "/v1/usage").status, 200)
            self.assertEqual(self.agent.request("GET", "/v1/doctor").status, 200)

    def test_killed_supervisors_and_records_that_are_gone_are_told(self):
        for gone in ("os.unlink(place + '/started.json'); put('started.json', 'x'); os.kill(shim, 9)",
                     "os.unlink(place + '/started.json'); os.kill(shim, 9)",
                     "os.kill(shim, 9); shutil.rmtree(place, ignore_errors=True)"):  # which the agent clears away, too
            ended, remarks = self.outcome(gone)
            self.assertEqual(ended["ending"]["kind"], "lost", gone)
            self.assertEqual(len(ended["attempts"]), 1)

    def test_a_removed_directory_loses_the_ending_and_says_so(self):
        self.assert_told_as_changed("shutil.rmtree(place)", "time.sleep(.5)")

    def test_a_claim_that_is_held_is_not_waited_for_for_ever(self):
        job, go = self.job_until("time.sleep(60)")
        holder = int(self.forge(job, """
holder = subprocess.Popen([sys.executable, '-c', 'import fcntl, time\\nfcntl.flock(0, fcntl.LOCK_EX)\\ntime.sleep(100)'],
                          stdin=open(place + '/claim'), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          start_new_session=True)
print(holder.pid)
time.sleep(.3)
os.kill(shim, 9)"""))
        try:
            self.assertEqual(self.agent.wait(job)["ending"]["kind"], "lost", self.remarks(job))
            self.assertTrue(os.path.exists(f"/proc/{holder}"))
        finally:
            os.kill(holder, signal.SIGKILL)

    def test_a_supervisor_that_is_stopped_goes_on_and_tells(self):
        ended, remarks = self.outcome("os.kill(shim, signal.SIGSTOP); time.sleep(.2)", "sys.exit(3)")
        self.assertEqual(ended["ending"], {"kind": "exited", "code": 3})
        self.assertIn("its supervisor was stopped from outside", remarks)

    def test_a_job_that_stops_all_of_them_can_still_be_canceled(self):
        job, go = self.job_until("""
for pid in os.listdir('/proc'):
    try:
        if pid.isdigit() and open(f'/proc/{pid}/comm').read() == 'berth-shim\\n': os.kill(int(pid), signal.SIGSTOP)
    except (FileNotFoundError, PermissionError, ProcessLookupError): pass
print('done', flush=True)
time.sleep(300)""", stop={"signal": 15, "grace_ms": 200})
        go.touch()
        eventually(lambda: b"done" in self.agent.log_of(job), "all are stopped")
        self.agent.cancel(job)
        self.assertIn(self.agent.wait(job)["state"], ("Canceled", "Failed"))

    def test_a_stop_file_that_is_not_the_agents_is_no_cancellation(self):
        ended, remarks = self.outcome("""
put('stop.json', json.dumps({'version': {'major': 1, 'minor': 2}, 'signal': 15, 'grace_ms': 100, 'reason': 'canceled'}))""")
        self.assertEqual(ended["state"], "Failed")
        self.assertIn("its records were changed", remarks)

    def test_a_huge_stop_file_stops_nothing_but_the_job(self):
        ended, _ = self.outcome("put('stop.json', 'x' * 5_000_000)", stop={"signal": 15, "grace_ms": 100})
        self.assertEqual(ended["state"], "Failed")
        self.assertEqual(self.agent.request("GET", "/v1/status").status, 200)

    def test_a_forged_ending_is_not_believed_by_the_next_agent_either(self):
        job, go = self.job_until("time.sleep(60)")
        self.agent.kill()
        self.forge(job, "put('ending.json', ending(0)); os.kill(shim, 9)")
        self.agent.start()
        ended = self.agent.wait(job)
        self.assertEqual(ended["ending"], {"kind": "lost", "cause": "records_changed"})

    def test_a_genuine_ending_is_believed_by_the_next_agent(self):
        job, go = self.job_until("sys.exit(7)")
        self.agent.kill()
        go.touch()
        eventually((self.agent.launch_directory(job) / "ending.json").exists, "it has ended")
        self.agent.start()
        self.assertEqual(self.agent.wait(job)["ending"], {"kind": "exited", "code": 7})

    def test_neither_supervisor_nor_agent_can_be_looked_into(self):
        looks = """
for what in ('mem', 'environ', 'fd'):
    path = f'/proc/{shim}/{what}'
    try:
        os.listdir(path) if what == 'fd' else open(path, 'rb').read(1)
        print('OPEN', path)
    except OSError as error: print('closed', what)
"""
        job, go = self.job_until(looks)
        outside = self.forge(job, looks)
        go.touch()
        self.agent.wait(job)
        for seen in (outside, self.agent.log_of(job).decode()):
            self.assertNotIn("OPEN", seen)
            self.assertIn("closed mem", seen)
        with self.assertRaises(PermissionError):
            self.acting(self.who, read_memory, self.agent.pid)


def read_memory(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read(1)


class InotifyTest(HostileTest):
    """A user without inotify watches: in a user namespace the limit is set as somebody's editor reaches it."""

    def start_with(self, limits, **options):
        programs = self.programs_for(self.attacker.uid, self.attacker.gid)
        prefix = [sys.executable, str(Path(__file__).parent / "limited.py"), str(self.attacker.uid), str(self.attacker.gid),
                  *(f"{name}={value}" for name, value in limits.items()), "--"]
        probe = subprocess.run([*prefix, "/bin/true"], capture_output=True)
        if probe.returncode != 0:
            self.skipTest(f"no user namespaces here: {probe.stderr}")
        self.agent = self.new_agent(cgroup=False, programs=programs, prefix=prefix,
                                    config="cpus: 16\nmax_parallel: 16")
        self.agent.start()
        return self.agent

    def test_a_job_without_a_watch_is_followed_canceled_and_recorded_as_it_was(self):
        self.check_without({"max_inotify_watches": 0})

    def test_so_is_one_where_not_even_an_instance_can_be_had(self):
        self.check_without({"max_inotify_instances": 0})

    def check_without(self, limits):
        agent = self.start_with(limits)
        done = agent.sh("echo said; sleep .5; exit 3", retries={"start_failed": 3})
        ended = agent.wait(done)
        self.assertEqual(ended["ending"], {"kind": "exited", "code": 3})
        self.assertEqual([each["ending"]["kind"] for each in ended["attempts"]], ["exited"])
        count = self.place / "work" / "count"
        job = agent.sh(f"echo begin >> {count}; sleep 300", retries={"start_failed": 3})
        eventually(count.exists, "the job runs")
        remarks = "\n".join(agent.get("/v1/status")["remarks"])
        self.assertIn("instead of being watched", remarks)
        agent.cancel(job)
        self.assertEqual(agent.wait(job)["state"], "Canceled")
        self.assertEqual(count.read_text(), "begin\n")
        self.assertEqual(agent.berth("run", "--no-code", "--", "echo", "followed").out, "followed\n")
        running = agent.sh("sleep 2; exit 5")
        agent.wait_state(running, "Running")
        agent.kill()
        agent.start()
        self.assertEqual(agent.wait(running)["ending"], {"kind": "exited", "code": 5})
        agent.stop()


@unittest.skipUnless(shutil.which("strace"), "faults are injected with strace")
class FaultTest(HostileTest):
    """Calls of the agent that fail while it launches and watches jobs."""

    FAULTS = ("inotify_add_watch:error=ENOSPC:when=1+", "epoll_ctl:error=ENOSPC:when=2+3", "pidfd_open:error=EMFILE:when=1+",
              "flock:error=ENOLCK:when=1+", "recvmsg:error=EIO:when=1+", "sendto:error=EPIPE:when=1", "fdatasync:error=EIO:when=1+",
              "openat:error=EMFILE:when=5+7", "clone3,clone,fork,vfork:error=EAGAIN:when=1+", "mkdir:error=ENOSPC:when=1+")

    def test_whatever_fails_a_job_runs_once_at_a_time_and_is_recorded_as_it_was(self):
        self.start("stop_grace: 1s")
        ledger = self.place / "drop" / "ledger"
        ledger.touch()
        ledger.chmod(0o666)
        acknowledged = []
        for fault in self.FAULTS:
            tracer = self.inject(fault)
            try:
                for _ in range(3):
                    request = self.agent.request_for(
                        "/bin/sh", "-c", f"echo $BERTH_JOB_ID $BERTH_ATTEMPT >> {ledger}; sleep .4; exit 3",
                        retries={"start_failed": 1})
                    try:
                        answer = self.request(self.victim, "POST", "/v1/jobs", request, timeout=20)
                    except (OSError, EOFError):  # not acknowledged
                        continue
                    if answer.status == 201:
                        acknowledged.append((fault, json.loads(answer.body)["jobs"][0]["id"]))
                time.sleep(1)  # of faults for what was taken: its second attempts begin in it
            finally:
                tracer.send_signal(signal.SIGINT)
                tracer.communicate()
            self.assertTrue(self.agent.is_running(), fault)
            for each, job in acknowledged:
                if each == fault:
                    self.agent.wait(job, patience=60)
        # What was not acknowledged, and is on disk all the same, is a job like every other.
        eventually(lambda: not self.agent.get("/v1/jobs")["jobs"], "every job ends", patience=60)
        runs = ledger.read_text().splitlines()
        self.assertGreater(len(acknowledged), len(self.FAULTS))
        for fault, job in acknowledged:
            for attempt in self.agent.job(job)["attempts"]:
                times = runs.count(f"{job} {attempt['number']}")
                told = (fault, job, attempt["ending"], times)
                self.assertIn(attempt["ending"]["kind"], ("exited", "start_failed", "disk_full", "lost"), told)
                self.assertEqual(times, {"exited": 1, "lost": times}.get(attempt["ending"]["kind"], 0), told)
                self.assertLessEqual(times, 1, told)
        self.agent.restart()  # which clears away what could not be removed meanwhile

    def inject(self, fault):
        threads = [each for thread in os.listdir(f"/proc/{self.agent.pid}/task") for each in ("-p", thread)]
        calls = fault.partition(":")[0]
        tracer = subprocess.Popen(["strace", "-o", str(self.place / "trace"), "-e", f"trace={calls}", "-e", f"inject={fault}", *threads],
                                  stderr=subprocess.PIPE)
        for _ in range(len(threads) // 2):
            tracer.stderr.readline()  # "Process … attached"
        return tracer


class LostDatabaseTest(HostileTest):
    """A database that goes while the agent runs is told, nothing is promised meanwhile, and what runs goes on."""

    def test_nothing_is_promised_while_the_database_is_gone(self):
        self.start()
        running = self.script_of(self.victim, "sleep 4; exit 7")
        self.agent.wait_state(running, "Running")
        database = self.agent.state / "berth.db"
        for change, back in ((lambda: database.rename(self.place / "kept"), lambda: (self.place / "kept").rename(database)),
                             (lambda: Path(f"{database}-wal").rename(self.place / "kept"),
                              lambda: (self.place / "kept").rename(f"{database}-wal"))):
            change()
            request = self.agent.request_for("/bin/true")
            error = self.refused(503, self.victim, "POST", "/v1/jobs", request)
            self.assertIn("was deleted", error["message"])
            self.assertIn("restart the agent", error["hint"] if "hint" in error else json.dumps(error))
            self.assertIn("new work is refused", "\n".join(self.agent.get("/v1/status")["remarks"]))
            back()
            again = eventually(lambda: (answer := self.request(self.victim, "POST", "/v1/jobs", request)).status == 201 and answer,
                               "submissions are taken again")
            self.agent.wait(json.loads(again.body)["jobs"][0]["id"])
        self.assertEqual(self.agent.wait(running)["ending"], {"kind": "exited", "code": 7})

    def test_after_a_lost_database_what_runs_is_left_alone_and_told(self):
        self.start()
        beats = self.place / "drop" / "beats"
        job = self.script_of(self.victim, f"i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo $i >> {beats}; sleep .1; done")
        eventually(beats.exists, "the job runs")
        self.agent.kill()
        for path in self.agent.state.glob("berth.db*"):
            path.unlink()
        self.agent.start()
        self.assertEqual(self.request(self.victim, "GET", f"/v1/jobs/{job}").status, 404)
        eventually(lambda: len(beats.read_text().split()) == 40, "the job comes to its end")
        self.agent.restart()
        leftovers = eventually(lambda: (all := self.agent.get("/v1/doctor")["leftovers"]) and
                               any(job in path for path in all["unrecorded"]) and all, "doctor tells of it", patience=30)
        self.assertFalse(any(job in each["path"] for each in leftovers["cgroups"]))
        shutil.rmtree(self.agent.state / "jobs" / job)

    def is_traced(self, thread):
        try:
            status = Path(f"/proc/{self.agent.pid}/task/{thread}/status").read_text()
        except FileNotFoundError:  # it has ended
            return True
        return "TracerPid:\t0\n" not in status

    @unittest.skipUnless(shutil.which("strace"), "faults are injected with strace")
    def test_a_lock_that_could_not_be_given_back_stops_submissions_only_for_a_moment(self):
        self.start()
        self.agent.wait(self.job_of(self.victim, "/bin/true"))
        trace = self.place / "trace"
        threads = [each for thread in os.listdir(f"/proc/{self.agent.pid}/task") for each in ("-p", thread)]
        tracer = subprocess.Popen(["strace", "-q", "-o", str(trace), "-e", "trace=fcntl", "-e",
                                   "inject=fcntl:error=ENOLCK:when=2+2", *threads], stderr=subprocess.DEVNULL)
        try:
            eventually(lambda: all(self.is_traced(each) for each in os.listdir(f"/proc/{self.agent.pid}/task")), "strace is there")
            for _ in range(2):
                self.request(self.victim, "POST", "/v1/jobs", self.agent.request_for("/bin/true"))
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
        taken = eventually(lambda: (answer := self.request(self.victim, "POST", "/v1/jobs", self.agent.request_for("/bin/true"))
                                    ).status == 201 and answer, "submissions are taken again", patience=40)
        self.agent.wait(json.loads(taken.body)["jobs"][0]["id"])


if __name__ == "__main__":
    main()
