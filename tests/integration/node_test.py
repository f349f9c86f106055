"""The agent as a whole: starting and stopping, its status, its metrics, its configuration, its state directory."""

import fcntl
import json
import os
import re
import shutil
import signal
import sqlite3
import threading
import time
import unittest

import harness
import processes
from harness import BIN, BerthTest, eventually

STATUS_KEYS = {"gpus", "nvidia", "capacity", "cgroup", "controllers", "disk", "drained", "health", "in_use", "jobs", "mode", "environment_changes", "name", "overlays", "pid",
               "remarks", "started", "state_dir", "uptime_ms", "version"}


class StartTest(BerthTest):
    def test_a_second_agent_refuses_and_names_the_first(self):
        agent = self.start_agent()
        second = self.new_agent()
        code, said = second.fails_to_start()
        self.assertEqual(code, 2, said)
        self.assertIn(str(agent.pid), said)
        self.assertIn(str(agent.state), said)
        self.assertEqual(agent.get("/v1/status")["pid"], agent.pid)  # the first is not disturbed

    def test_one_that_is_about_to_let_go_is_waited_for(self):
        agent = self.start_agent()
        agent.stop()
        with open(agent.state / "lock", "r+", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            threading.Timer(0.5, fcntl.flock, (lock, fcntl.LOCK_UN)).start()
            agent.start()
        self.assertEqual(agent.get("/v1/status")["pid"], agent.pid)

    def test_what_a_killed_agent_leaves_stops_nobody(self):
        agent = self.start_agent()
        first = agent.pid
        agent.kill()
        self.assertTrue(os.path.exists(agent.socket_path))
        agent.start()
        self.assertNotEqual(agent.pid, first)

    def test_what_few_agents_need_is_not_loaded(self):
        """OpenSSL alone costs 1.7 MiB, and only registries need it."""
        agent = self.start_agent()
        agent.berth("run", "--no-code", "--", "true")
        with open(f"/proc/{agent.pid}/maps") as maps:
            loaded = maps.read()
        for library in ("libssl", "libcrypto", "libgit2", "libstdc++"):
            self.assertNotIn(library, loaded)

    def test_signals_stop_it_cleanly_while_jobs_run_on(self):
        agent = self.start_agent()
        job = agent.submit("sleep", "300")
        pid = agent.running_pid(job, "sleep 300")
        for number in (signal.SIGTERM, signal.SIGINT):
            agent.process.send_signal(number)
            self.assertEqual(agent.process.wait(harness.PATIENCE), 0)
            self.assertFalse(os.path.exists(agent.socket_path))
            self.assertTrue(processes.is_alive(pid))
            agent.start()
            self.assertEqual(agent.job(job)["state"], "Running")

    def test_it_stops_although_clients_wait(self):
        agent = self.start_agent()
        job = agent.submit("sleep", "300")
        with agent.stream(f"/v1/jobs/{job}/log", follow=True), agent.stream(f"/v1/jobs/{job}/log", follow=True):
            waiting = harness.family.popen([str(BIN / "berth"), "wait", job], env=agent.cli_environment(), stdout=-3,
                                           stderr=-3)
            eventually(lambda: len(agent.descriptors()) >= len(agent.baseline) + 3, "all three wait")
            time.sleep(0.5)  # the command line looks the job up before it waits
            begin = time.monotonic()
            self.assertEqual(agent.stop(), 0)
            self.assertLess(time.monotonic() - begin, 5)
        agent.start()
        agent.cancel(job)
        self.assertEqual(waiting.wait(harness.PATIENCE), 130)  # it has waited on

    def test_the_state_directory_is_its_owners(self):
        agent = self.start_agent()
        self.assertEqual(os.stat(agent.state).st_mode & 0o777, 0o700)
        self.assertEqual(os.stat(agent.socket_path).st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(agent.state / "berth.db").st_mode & 0o077, 0)

    def test_without_its_supervisor_program_it_says_so(self):
        lonely = self.place / "bin"
        lonely.mkdir()
        shutil.copy(BIN / "berthd", lonely)
        done = harness.family.run([str(lonely / "berthd"), "--user", "--state", str(self.place / "s")], 30,
                                  env=self.new_agent().environment())
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"berth-shim", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become somebody else")
    def test_serving_the_machine_needs_root(self):
        program = self.place / "berthd"
        shutil.copy(BIN / "berthd", program)
        done = harness.family.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(program)], 30,
                                  env=self.new_agent().environment())
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"--user", done.stderr)

    def test_version_and_help(self):
        for program in ("berthd", "berth"):
            done = harness.family.run([str(BIN / program), "--version"], 30)
            self.assertRegex(done.stdout.decode(), rf"\A{program} \d+\.\d+\.\d+\n\Z")
        self.assertIn(b"--state", harness.family.run([str(BIN / "berthd"), "--help"], 30).stdout)


class ConfigurationTest(BerthTest):
    def refused(self, text, expect=78):  # EX_CONFIG, after which the service manager does not try again
        agent = self.new_agent(cgroup=False)
        agent.config.write_text(text)
        code, said = agent.fails_to_start()
        self.assertEqual(code, expect, said)
        return said.replace(str(agent.config), "FILE")

    def test_mistakes_are_told_with_file_and_line(self):
        self.assertIn("FILE:2: unknown key 'max_paralel'", self.refused("cpus: 2\nmax_paralel: 3\n"))
        self.assertIn("FILE:1: 'cpus'", self.refused("cpus: many\n"))
        self.assertIn("FILE:3: 'log_cap'", self.refused("# a\n# b\nlog_cap: -1\n"))
        self.assertIn("FILE:2: 'cpus' is set twice", self.refused("cpus: 1\ncpus: 2\n"))
        self.assertIn("FILE:2: end of sequence", self.refused("cpus: [1\n"))
        self.assertIn("/no/such/cgroup", self.refused("cgroup: /no/such/cgroup\n", expect=2))

    def test_an_absent_file_is_named(self):
        agent = self.new_agent()
        agent.config.unlink()
        code, said = agent.fails_to_start()
        self.assertEqual(code, 2)
        self.assertIn(str(agent.config), said)

    def test_capacity_is_what_is_configured(self):
        agent = self.start_agent(config="cpus: 3.5\nmemory: 6GiB\nmax_parallel: 9")
        self.assertEqual(agent.get("/v1/status")["capacity"],
                         {"cpu_milli": 3500, "memory_bytes": 6 << 30, "gpus": 0, "slots": 9})

    def test_without_a_configuration_it_finds_its_own_control_group(self):
        agent = self.start_agent(cgroup=False)
        group = agent.get("/v1/status")["cgroup"]
        if harness.CGROUP2 is None:
            self.assertIsNone(group)
        else:
            job = agent.submit("sleep", "300")
            pid = agent.running_pid(job, "sleep")
            own = eventually(lambda: next((line[3:] for line in processes.read(f"/proc/{pid}/cgroup").decode().splitlines()
                                           if line.startswith("0::")), None), "the job has a control group")
            self.assertTrue(group.endswith("/berth"), group)
            self.assertIn(job, own)
            agent.cancel(job)
            agent.wait(job)
            self.assertFalse(os.path.exists(f"{group}/{job}-1"))


class StatusTest(BerthTest):
    config = "cpus: 2\nmax_parallel: 2"

    def test_status(self):
        agent = self.start_agent()
        running = agent.submit("sleep", "300")
        agent.wait_state(running, "Running")
        agent.submit("true", held=True)
        status = agent.berth_json("status")
        self.assertEqual(set(status), STATUS_KEYS)
        self.assertEqual(status["jobs"], {"finalizing": 0, "preparing": 0, "queued": 1, "running": 1})
        self.assertEqual((status["mode"], status["pid"], status["state_dir"]), ("user", agent.pid, str(agent.state)))
        self.assertEqual(status["in_use"]["cpu_milli"], 1000)
        self.assertGreater(status["disk"]["free_bytes"], 0)
        told = agent.berth("status").out
        for word in ("1 running", "1 queued", "1 of 2 in use", str(agent.pid)):
            self.assertIn(word, told)

    def test_metrics(self):
        agent = self.start_agent()
        agent.wait(agent.sh("exit 1"))
        answer = agent.request("GET", "/metrics")
        self.assertTrue(answer.headers["Content-Type"].startswith("text/plain"))
        values = {}
        for line in answer.body.decode().splitlines():
            if line.startswith("#"):
                self.assertRegex(line, r"\A# (HELP|TYPE) berth_\w+ \S")
            else:
                match = re.fullmatch(r'(berth_\w+(?:\{\w+="[^"]*"\})?) ([-+0-9.e]+)', line)
                self.assertTrue(match, line)
                values[match[1]] = float(match[2])
        self.assertEqual(values['berth_jobs_ended_total{state="failed"}'], 1)
        self.assertEqual(values['berth_capacity{resource="cpus"}'], 2)
        self.assertEqual(values['berth_jobs{state="running"}'], 0)

    def test_gc_tells_before_it_takes(self):
        agent = self.start_agent()
        code = self.directory("code", train_py="print('x')\n", weights_bin="w" * 200_000)
        job = agent.berth("submit", "--", "true", cwd=code).out.strip()
        agent.wait(job)
        pack = agent.get(f"/v1/jobs/{job}/code")
        other = self.start_agent("other")  # has the snapshot, but no job that needs it
        digest = json.loads(other.post("/v1/snapshots", pack) if isinstance(pack, str) else
                            other.request("POST", "/v1/snapshots", pack).body)["digest"]
        self.assertEqual(digest, agent.job(job)["snapshot"])
        self.assertEqual(set(agent.berth_json("gc", "--dry-run")), {"bytes", "dry_run", "disk", "items", "kinds", "remarks"})
        told = other.berth_json("gc", "--dry-run")
        self.assertEqual(other.berth_json("gc", "--dry-run")["kinds"], told["kinds"])
        other.submit("true", snapshot=digest, working_directory="", held=True)  # it is still there

    def test_the_paths_of_the_api(self):
        agent = self.start_agent()
        self.refuses(404, "not_found", agent.get, "/v1/nothing")
        self.assertEqual(agent.request("DELETE", "/v1/jobs").status, 405)
        self.assertEqual(agent.request("HEAD", "/v1/status").body, b"")


class StateDirectoryTest(BerthTest):
    """What an agent finds on its disk may be newer than it, or broken."""

    def stopped_agent(self):
        agent = self.start_agent()
        agent.wait(agent.submit("true"))
        agent.stop()
        return agent

    def test_a_newer_schema_is_refused(self):
        agent = self.stopped_agent()
        with sqlite3.connect(agent.state / "berth.db") as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            db.execute(f"PRAGMA user_version = {version + 1}")
        db.close()
        before = (agent.state / "berth.db").read_bytes()
        code, said = agent.fails_to_start()
        self.assertEqual(code, 2, said)
        self.assertIn("newer", said)
        self.assertIn("berth.db", said)
        self.assertEqual((agent.state / "berth.db").read_bytes(), before)

    def test_a_database_that_is_none_is_refused(self):
        agent = self.stopped_agent()
        for wal in agent.state.glob("berth.db-*"):
            wal.unlink()
        (agent.state / "berth.db").write_bytes(b"this is not a database " * 1000)
        code, said = agent.fails_to_start()
        self.assertEqual(code, 125, said)
        self.assertIn("berth.db", said)
        self.assertIn("move", said)
        (agent.state / "berth.db").rename(agent.state / "berth.db.broken")  # as it said
        agent.start()
        self.assertEqual(agent.jobs(), [])
        (agent.state / "berth.db.broken").unlink()

    def test_a_damaged_database_is_refused(self):
        agent = self.stopped_agent()
        with sqlite3.connect(agent.state / "berth.db") as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        content = bytearray((agent.state / "berth.db").read_bytes())
        for offset in range(4096, len(content)):
            content[offset] ^= 0x5a
        (agent.state / "berth.db").write_bytes(content)
        code, said = agent.fails_to_start()
        self.assertEqual(code, 125, said)
        self.assertIn("berth.db", said)
        self.assertIn("move", said)

    def test_a_state_directory_that_cannot_be_made_is_named(self):
        agent = self.new_agent()
        agent.state = self.place / "file" / "s"
        (self.place / "file").write_text("")
        code, said = agent.fails_to_start()
        self.assertIn(code, (2, 125))
        self.assertIn(str(self.place / "file"), said)


if __name__ == "__main__":
    harness.main()
