"""What the agent does for a user, it does as that user, within limits, apart from everybody else: looking at
interpreters, collecting outputs, removing trees. And outputs are never lost in silence."""

import json
import os
import signal
import statistics
import subprocess
import threading
import time
from pathlib import Path

from hostile import HostileTest, eventually, main

import processes
from harness import LIVE
from small_disk import SmallDisk

SYSTEM_PYTHON = "/usr/bin/python3"
DEEP = """exec python3 -c '
import os, sys
where, depth = sys.argv[1], int(sys.argv[2])
os.chdir(os.environ["TMPDIR"] if where == "tmp" else ".")
if where == "outputs":
    os.mkdir("outputs"); os.chdir("outputs"); open("kept", "w").write("k")
for i in range(depth): os.mkdir("d"); os.chdir("d")
open("leaf", "w").write("x")
' {where} {depth}"""


def median_of(call, times=15):
    """Seconds that a call takes in the middle."""
    taken = []
    for _ in range(times):
        begin = time.monotonic()
        call()
        taken.append(time.monotonic() - begin)
    return statistics.median(taken)


class IdentityTest(HostileTest):
    small = None  # a file system of its own for the state
    # --- what the tests ask

    def record(self, who, job):
        return self.ask(who, "GET", f"/v1/jobs/{job}")

    def ended(self, who, job):
        self.agent.wait(job)
        return self.record(who, job)

    def attempt(self, who, job):
        return self.ended(who, job)["attempts"][-1]

    def left_out(self, who, job):
        told = self.attempt(who, job)["outputs_left_out"]
        return {} if told is None else {each["path"]: each["why"] for each in told["first"]}

    def code_job(self, who, script, **fields):
        """A job with code, submitted by the command line."""
        code = self.files_of(who, main_sh="#!/bin/sh\n")
        return self.berth(who, "submit", "--json", "--", "sh", "-c", script, cwd=code, **fields)

    def submit_code(self, who, script):
        return json.loads(self.code_job(who, script).out)["id"]

    def outputs_of(self, who, job):
        place = Path(who.home) / f"back-{job}"
        done = self.berth(who, "download", job, "-o", place)
        return {str(path.relative_to(place)): path for path in sorted(place.rglob("*"))}, done.err

    def interpreter(self, who, body):
        path = Path(who.home) / f"python-{time.monotonic_ns()}"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        os.chown(path, who.uid, who.gid)
        return str(path)

    def python_job(self, who, python, *command):
        return self.job_of(who, *(command or ("true",)), environment={"kind": "user_managed", "python": python},
                           working_directory=who.home)

    def dismantle(self):
        if self.small:
            self.small.unmount()

    def make_stuck(self, path):
        """Nobody can remove it, until the function returned is called."""
        eventually(path.exists, f"{path} exists")
        subprocess.run(["chattr", "+i", str(path)], check=True)

        def let_go():
            if path.exists():
                subprocess.run(["chattr", "-i", str(path)], check=True)
        self.addCleanup(let_go)
        return let_go

    def told_stuck(self, job):
        return sum("cannot be removed now" in line and job in line for line in self.agent.log().splitlines())

    def nothing_left(self, *jobs):
        """Of these jobs there are only logs."""
        def left():
            return [str(path) for job in jobs for path in (self.agent.state / "jobs" / job).glob("*/*")
                    if path.name not in ("log", "log.index")]
        eventually(lambda: not left(), "what the jobs left is removed", patience=60)

    def others_get_on(self, call):
        """What the victim's requests take while the attacker's work goes on is what they took before, generously."""
        before = median_of(call)
        return lambda: self.assertLess(median_of(call), before * 8 + 0.25)

    # --- interpreters

    def test_an_interpreter_is_looked_at_as_its_user_with_nothing_of_the_agents(self):
        self.start()
        told = Path(self.attacker.home) / "told"
        python = self.interpreter(self.attacker, f"""
            (id -u; id -g; id -G; ls /proc/self/fd; cat /proc/self/status; env; cat /proc/self/cgroup) > {told} 2>&1
            exec {SYSTEM_PYTHON} "$@" """)
        job = self.python_job(self.attacker, python)
        self.assertEqual(self.ended(self.attacker, job)["state"], "Completed")
        uid, gid, groups, *rest = told.read_text().splitlines()
        self.assertEqual((int(uid), int(gid)), (self.attacker.uid, self.attacker.gid))
        self.assertEqual(set(map(int, groups.split())), set(self.attacker.groups))
        self.assertLessEqual({line for line in rest if line.isdigit()}, {"0", "1", "2", "3"})
        text = "\n".join(rest)
        self.assertIn("NoNewPrivs:\t1", text)
        self.assertIn("CapEff:\t0000000000000000", text)
        self.assertNotIn(str(self.agent.state), text)
        if self.agent.cgroup:
            self.assertIn("/errand-", text)

    def test_an_interpreter_leaves_no_daemon(self):
        self.start()
        pids = Path(self.attacker.home) / "pids"
        python = self.interpreter(self.attacker, f"""
            setsid setsid sh -c 'echo $$ >> {pids}; trap "" TERM HUP; while :; do sleep 1; done' >/dev/null 2>&1 </dev/null &
            sleep 0.2
            exec {SYSTEM_PYTHON} "$@" """)
        self.assertEqual(self.ended(self.attacker, self.python_job(self.attacker, python))["state"], "Completed")
        daemons = [int(pid) for pid in pids.read_text().split()]
        self.assertTrue(daemons)
        eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in daemons), "the daemons have ended", patience=20)

    def test_interpreters_that_hang_keep_nobody_else_waiting_and_end_when_their_job_is_canceled(self):
        self.start()
        hangs = [self.python_job(self.attacker, self.interpreter(self.attacker, "trap '' TERM; sleep 86017; sleep 1"))
                 for _ in range(6)]
        eventually(lambda: processes.about("sleep\x0086017"), "one of them hangs")
        get_on = self.others_get_on(lambda: self.ask(self.victim, "GET", "/v1/jobs?limit=10"))
        for who in (self.victim, self.third):
            job = self.python_job(who, SYSTEM_PYTHON)
            self.assertEqual(self.ended(who, job)["state"], "Completed")
        get_on()
        for job in hangs:
            self.ask(self.attacker, "POST", f"/v1/jobs/{job}/cancel", {})
            self.assertEqual(self.ended(self.attacker, job)["state"], "Canceled")
        eventually(lambda: not processes.about("sleep\x0086017"), "none hangs any more", patience=20)

    # --- outputs, as the user

    def test_outputs_are_not_read_with_what_the_agent_may(self):
        self.start()
        place = self.drop / "place"
        (place / "d").mkdir(parents=True)
        place.chmod(0o755)
        secret = place / "d/secret"
        secret.write_text("the agent's group may read this\n")
        os.chown(secret, 0, 0)
        secret.chmod(0o640)
        (place / "d/open").write_text("o")
        job = self.job_of(self.attacker, "true", working_directory=str(place), outputs=["d"])
        self.assertIn("d/secret", self.left_out(self.attacker, job))
        files, told = self.outputs_of(self.attacker, job)
        self.assertEqual(set(files), {"d", "d/open"})
        self.assertIn("d/secret", told)
        for directory, outputs in (("/proc/self", ["fd"]), ("/proc/self", ["task", "map_files", "ns"]), ("/proc", ["self", "1"]),
                                   ("/etc", ["ssl/private", "sudoers.d"]), ("/sys", ["kernel"]), ("/dev", ["fd", "shm"])):
            job = self.job_of(self.attacker, "true", working_directory=directory, outputs=outputs)
            attempt = self.attempt(self.attacker, job)
            if attempt["outputs"] is None:
                continue
            back, _ = self.outputs_of(self.attacker, job)
            for path in back.values():
                self.assertNotIn(b"berthd", path.read_bytes() if path.is_file() and not path.is_symlink() else b"")

    def test_set_uid_programs_do_not_outlive_their_job(self):
        self.start()
        job = self.submit_code(self.attacker, "mkdir outputs; cp /bin/sh outputs/sh; chmod 6755 outputs/sh . outputs; "
                                              "cp /bin/sh $TMPDIR/sh; chmod 6755 $TMPDIR/sh $TMPDIR")
        files, _ = self.outputs_of(self.attacker, job if self.ended(self.attacker, job) else job)
        self.assertEqual(os.stat(files["outputs/sh"]).st_mode & 0o7777, 0o755)
        self.nothing_left(job)
        for place, names, files in os.walk(self.agent.state):
            for name in (*names, *files):
                self.assertFalse(os.lstat(os.path.join(place, name)).st_mode & 0o6000, os.path.join(place, name))

    # --- never lost in silence

    def test_what_cannot_be_collected_is_named_wherever_one_looks(self):
        self.start()
        code = self.files_of(self.victim, main_sh="#!/bin/sh\n")
        script = r"""mkdir -p outputs/closed outputs/.git; mkfifo outputs/pipe; echo k > outputs/kept; ln kept outputs/hard 2>/dev/null
            echo c > outputs/closed/file; chmod 0 outputs/closed; ln -s /etc/hosts outputs/away
            python3 -c 'open(b"outputs/mod\xe8le.pt", "w").write("w")'"""
        done = self.berth(self.victim, "run", "--", "sh", "-c", script, cwd=code)
        self.assertIn("not collected as the job left them", done.err)
        job = self.ask(self.victim, "GET", "/v1/jobs?all=true&limit=1")["jobs"][0]["id"]
        told = self.left_out(self.victim, job)
        self.assertEqual(set(told), {"outputs/closed", "outputs/pipe", "outputs/.git", "outputs/away", "outputs/mod\\xe8le.pt"})
        shown = self.berth(self.victim, "show", job).out
        files, download = self.outputs_of(self.victim, job)
        self.assertEqual(files["outputs/mod\\xe8le.pt"].read_text(), "w")  # kept, under a name that can be written
        for text in (shown, download):
            self.assertIn("outputs/closed", text)
        self.assertIn("mod\\xe8le.pt", shown)

    def test_outputs_that_are_a_link_are_followed_within_the_tree_and_named_otherwise(self):
        self.start()
        inside = self.submit_code(self.victim, "mkdir big; ln -s big outputs; echo w > outputs/model.pt")
        absolute = self.submit_code(self.victim, "mkdir big; ln -s $PWD/big outputs; echo w > outputs/model.pt")
        for job in (inside, absolute):
            self.assertEqual(self.left_out(self.victim, job), {})
            files, _ = self.outputs_of(self.victim, job)
            self.assertEqual(files["outputs/model.pt"].read_text(), "w\n")
        outside = self.submit_code(self.attacker, f"ln -s {self.agent.state} outputs")
        self.assertIn("out of the job's tree", self.left_out(self.attacker, outside)["outputs"])
        refused = self.berth(self.attacker, "download", outside, expect=None)
        self.assertIn("out of the job's tree", refused.err)

    def test_one_deep_directory_costs_no_other_output(self):
        self.start()
        job = self.submit_code(self.attacker, DEEP.format(where="outputs", depth=255))
        files, _ = self.outputs_of(self.attacker, job if self.ended(self.attacker, job) else job)
        self.assertIn("outputs/kept", files)
        self.assertEqual(len(self.left_out(self.attacker, job)), 1)

    # --- trees

    def test_trees_of_any_depth_are_removed_and_hold_nobody_up(self):
        self.small = SmallDisk(self.place / "s", 512 << 20, "tmpfs")  # where so many directories take moments
        (self.place / "s").chmod(0o711)
        self.start("reserved_space: 8MiB")
        jobs = [self.submit_code(self.attacker, DEEP.format(where=where, depth=30_000)) for where in ("tmp", "tree", "outputs")]
        for job in jobs:
            self.assertEqual(self.ended(self.attacker, job)["state"], "Completed", self.record(self.attacker, job))
        job = self.submit_code(self.victim, "mkdir outputs; echo hi > outputs/x")
        self.assertIsNotNone(self.attempt(self.victim, job)["outputs"])
        self.agent.kill()
        self.agent.start()
        self.ask(self.victim, "POST", f"/v1/jobs/{job}/retry", {})
        self.assertEqual(self.ended(self.victim, job)["state"], "Completed")
        self.nothing_left(*jobs, job)

    def test_deep_trees_on_a_disk_are_removed(self):
        self.start()
        job = self.submit_code(self.attacker, DEEP.format(where="tree", depth=3000))
        self.assertEqual(self.ended(self.attacker, job)["state"], "Completed")
        self.nothing_left(job)

    def test_what_cannot_be_removed_keeps_nothing_else_and_is_tried_again(self):
        self.start()
        script = "mkdir $TMPDIR/a $TMPDIR/z; touch $TMPDIR/a/1 $TMPDIR/kept $TMPDIR/z/1; while [ ! -e $TMPDIR/go ]; do sleep 0.05; done"
        jobs = [self.script_of(self.attacker, script) for _ in range(3)] + [self.script_of(self.victim, script)]
        stuck = self.agent.launch_directory(jobs[0]) / "tmp/kept"
        let_go = self.make_stuck(stuck)
        for job in jobs:
            eventually((self.agent.launch_directory(job) / "tmp/z/1").exists, "it has written")
            (self.agent.launch_directory(job) / "tmp/go").touch()
        for job in jobs:
            self.assertEqual(self.agent.wait(job)["state"], "Completed")
        self.nothing_left(*jobs[1:])
        eventually(lambda: list(stuck.parent.iterdir()) == [stuck], "all else of it is gone")
        eventually(lambda: self.told_stuck(jobs[0]) == 1, "the agent's log tells of it")
        self.assertIn("what it left cannot be removed: 1 entries; cannot remove",
                      self.agent.log_of(jobs[0], stream="agent").decode())
        self.agent.kill()  # and the next agent goes on with it
        self.agent.start()
        eventually(lambda: self.told_stuck(jobs[0]) == 2, "the next agent's log tells of it")
        time.sleep(2)  # of tries that fail: that they are not told again has no other sign
        self.assertTrue(stuck.exists())
        let_go()
        self.nothing_left(*jobs)
        self.assertEqual(self.told_stuck(jobs[0]), 2)  # once each

    def test_records_that_go_leave_what_cannot_be_removed_to_be_tried_again(self):
        self.start("keep_jobs: 4s")
        script = "while [ ! -e $TMPDIR/go ]; do sleep 0.05; done"
        jobs = [self.script_of(self.attacker, script) for _ in range(3)]
        logs = [self.agent.launch_directory(job) / "log" for job in jobs]
        for job, log in zip(jobs, logs):
            eventually(log.exists, "it has begun")
            (self.agent.launch_directory(job) / "tmp/go").touch()
            self.agent.wait(job)
        let_go = self.make_stuck(logs[1])
        for log in (logs[0], logs[2]):
            eventually(lambda: not log.parent.parent.exists(), "the others go", patience=30)
        eventually(lambda: self.told_stuck(jobs[1]), "the agent's log tells of the one")
        self.assertTrue(logs[1].exists())
        let_go()
        eventually(lambda: not logs[1].parent.parent.exists(), "it goes at last", patience=30)
        self.assertEqual(self.told_stuck(jobs[1]), 1)

    def test_many_files_are_removed_apart_from_others_requests(self):
        self.start()
        get_on = self.others_get_on(lambda: self.ask(self.victim, "GET", "/v1/jobs?limit=10"))
        job = self.script_of(self.attacker, """exec python3 -c '
import os
os.chdir(os.environ["TMPDIR"])
for i in range(30000): os.close(os.open(str(i), os.O_CREAT | os.O_WRONLY))'""")
        self.ended(self.attacker, job)
        get_on()
        self.nothing_left(job)

    # --- sizes

    def test_sparse_outputs_take_moments_and_keep_nobody_waiting(self):
        self.start("max_outputs: 10TiB")
        get_on = self.others_get_on(lambda: self.ask(self.victim, "GET", "/v1/jobs?limit=10"))
        jobs = [self.submit_code(self.attacker, f"mkdir outputs; truncate -s {size} outputs/sparse")
                for size in ("900G", "4G", "4G")]
        get_on()
        for job in jobs:
            attempt = self.attempt(self.attacker, job)
            self.assertIsNotNone(attempt["outputs"], attempt)
        job = self.submit_code(self.victim, "mkdir outputs; echo hi > outputs/x")
        self.assertIsNotNone(self.attempt(self.victim, job)["outputs"])

    def test_more_outputs_than_the_node_takes_are_named(self):
        self.start("max_outputs: 1MiB\nmax_output_files: 20")
        job = self.submit_code(self.attacker, "mkdir outputs; cd outputs; truncate -s 5M large; echo s > small")
        self.assertEqual(set(self.left_out(self.attacker, job)), {"outputs/large"})
        files, _ = self.outputs_of(self.attacker, job)
        self.assertIn("outputs/small", files)
        many = self.submit_code(self.attacker, "mkdir outputs; cd outputs; for i in $(seq 500); do : > $i; done")
        told = self.attempt(self.attacker, many)["outputs_left_out"]
        self.assertGreaterEqual(told["count"], 1)
        self.assertLessEqual(len(told["first"]), 200)

    @staticmethod
    def collectors_of(who):
        mark = f"Uid:\t{who.uid}\t".encode()
        return [pid for pid in processes.pids() if "berth-collect" in processes.command_line(pid)
                and mark in processes.read(f"/proc/{pid}/status")]

    def stopped_collectors(self, who):
        """Whatever gathers for that user is stopped by the user, who may do that."""
        done = threading.Event()

        def stop_them():
            while not done.wait(0.002):
                for pid in self.collectors_of(who):
                    try:
                        os.kill(pid, signal.SIGSTOP)
                    except ProcessLookupError:
                        pass

        thread = threading.Thread(target=stop_them)
        thread.start()
        self.addCleanup(lambda: (done.set(), thread.join()))
        return done

    def test_collecting_can_be_canceled_and_goes_on_after_a_restart(self):
        self.start()
        done = self.stopped_collectors(self.attacker)
        script = "mkdir outputs; head -c 60000000 /dev/urandom > outputs/large"
        job, other = self.submit_code(self.attacker, script), self.submit_code(self.attacker, script)
        self.agent.wait_state(job, "Finalizing")
        self.agent.wait_state(other, "Finalizing")
        mine = self.submit_code(self.victim, "mkdir outputs; echo hi > outputs/x")
        self.assertIsNotNone(self.attempt(self.victim, mine)["outputs"])
        self.ask(self.attacker, "POST", f"/v1/jobs/{job}/cancel", {})
        record = self.ended(self.attacker, job)
        self.assertEqual(record["state"], "Completed")
        self.assertIn("canceled by " + self.attacker.name, record["attempts"][-1]["outputs_left_out"]["first"][0]["why"])
        self.assertIn(self.record(self.attacker, other)["state"], LIVE)
        self.agent.kill()
        done.set()
        self.agent.start()
        self.assertIsNotNone(self.attempt(self.attacker, other)["outputs"])

    def test_collecting_that_does_not_end_keeps_no_space_from_being_given_back(self):
        self.start("keep_at_least: 0s\nreserved_space: 1MiB")
        theirs = self.submit_code(self.victim, "mkdir outputs; head -c 20000000 /dev/urandom > outputs/large")
        self.assertIsNotNone(self.attempt(self.victim, theirs)["outputs"])
        self.stopped_collectors(self.attacker)
        job = self.submit_code(self.attacker, "mkdir outputs; head -c 60000000 /dev/urandom > outputs/large")
        self.agent.wait_state(job, "Finalizing")
        eventually(lambda: self.collectors_of(self.attacker), "it is being collected")
        stored = lambda: sum(file.stat().st_size for file in (self.agent.state / "objects").rglob("*") if file.is_file())
        self.assertGreater(stored(), 20_000_000)
        self.agent.berth("gc", "--free", "15MiB")
        self.assertLess(stored(), 5_000_000)
        self.assertIn(self.record(self.attacker, job)["state"], LIVE)

    def test_an_agent_that_ends_time_and_again_does_not_collect_for_ever(self):
        self.start()
        self.stopped_collectors(self.attacker)
        job = self.submit_code(self.attacker, "mkdir outputs; head -c 30000000 /dev/urandom > outputs/large")
        for _ in range(4):
            self.agent.wait_state(job, "Finalizing")
            eventually(lambda: self.collectors_of(self.attacker), "it is being collected")
            self.agent.kill()
            self.agent.start()
        self.assertIn("the agent ended", self.left_out(self.attacker, job)["outputs"])


if __name__ == "__main__":
    main()
