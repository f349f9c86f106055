"""One user asks for as much as he can; the others, root and the agent do not notice."""

import json
import statistics
import subprocess
import threading
import time
from pathlib import Path

from hostile import Client, HostileTest, eventually, harness, main, new_submission_id, sanitized

PYTHON = "/usr/bin/python3"
PATIENCE = 60
REQUESTS = 32  # of one user at once: runtime/http/server.hpp

# What attacks are made of: argv[1] is the socket, argv[2] how many. Each says "ready", and holds on until its input ends.
PRELUDE = """
import json, os, resource, socket, sys, threading, time
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
PATH, N = sys.argv[1], int(sys.argv[2])
def connect(patience=30):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(patience)
    s.connect(PATH)
    return s
def ask(target, s=None, head=b""):
    s = s or connect()
    try:
        s.sendall(b"GET %s HTTP/1.1\\r\\nHost: x\\r\\n%s\\r\\n" % (target.encode(), head))
    except OSError:
        pass
    return s
def first_line(s):
    try:
        return s.recv(12)
    except OSError:
        return b""
def hold(**told):
    print(json.dumps(told), flush=True)
    sys.stdin.read()
"""

IDLE = "keep = [connect() for _ in range(N)]; hold(held=len(keep))"
FOLLOW = """
keep = [ask(sys.argv[3] + "?follow=1") for _ in range(N)]
answers = [first_line(s) for s in keep]
hold(served=sum(a.endswith(b"200") for a in answers), refused=sum(a.endswith(b"429") for a in answers))
"""
# Lists that are asked for and not read, others that are read for ever, and connections that are thrown away.
LISTS = """
keep = [ask("/v1/jobs?all=1&limit=10000") for _ in range(N)]
def for_ever(target):
    while True:
        try:
            s = ask(target)
            while s.recv(1 << 16):
                pass
        except OSError:
            pass
def throw_away():
    try:
        while True:
            ask("/v1/jobs?all=1&limit=10000").close()
    except OSError:
        pass
def heap():
    try:
        s = connect()
        while True:
            s.sendall(b"GET /v1/status HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" * 100)
    except OSError:
        pass
for target in ("/v1/jobs?all=1&limit=10000", "/v1/jobs?order=queue&limit=10000", "/v1/usage", "/v1/doctor"):
    for _ in range(2):
        threading.Thread(target=for_ever, args=(target,), daemon=True).start()
threading.Thread(target=throw_away, daemon=True).start()
threading.Thread(target=heap, daemon=True).start()
hold()
"""
SLOW_HEADERS = """
keep = [connect() for _ in range(N)]
for s in keep:
    try:
        s.sendall(b"GET /v1/st")
    except OSError:
        pass
hold()
"""
BODIES = """
keep = []
for _ in range(N):
    s = connect()
    try:
        s.sendall(b"POST /v1/jobs HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 30000000\\r\\n\\r\\n" + b" " * 29000000)
    except OSError:
        pass
    keep.append(s)
hold()
"""
# Requests whose handlers wait for a body: a handler that has its turn asks for it with "100 Continue".
UNFINISHED = """
import select
keep = [connect() for _ in range(N)]
for s in keep:
    s.sendall(b"POST /v1/jobs HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\nExpect: 100-continue\\r\\n\\r\\n")
begun = []
def until_quiet():
    while found := select.select([s for s in keep if s not in begun], [], [], 1)[0]:
        for s in found:
            assert s.recv(100) == b"HTTP/1.1 100 Continue\\r\\n\\r\\n"
            begun.append(s)
    return len(begun)
print(json.dumps({"begun": until_quiet()}), flush=True)
sys.stdin.readline()
for s in begun[:5]:
    s.sendall(b"{}")
    assert first_line(s) == b"HTTP/1.1 400"
hold(begun=until_quiet())
"""


class LimitsTest(HostileTest):
    config = "cpus: 8\nmax_parallel: 8\nmax_connections: 512\nmax_connections_per_user: 128"

    def attack(self, script, number, *arguments):
        """Runs the script as the attacker until the test ends; what it told when it was ready."""
        process = harness.family.popen(
            self.command_of(self.attacker, PYTHON, "-c", PRELUDE + script, self.agent.socket_path, number, *arguments),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/tmp")
        self.addCleanup(self.end, process)
        return process, json.loads(process.stdout.readline())

    def end(self, process):
        if process.poll() is None:
            process.kill()
            process.wait(PATIENCE)
        process.stdin.close()
        process.stdout.close()

    def resident(self):
        status = Path(f"/proc/{self.agent.pid}/status").read_text().splitlines()
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) << 10

    def latencies(self, who, target="/v1/jobs", count=20):
        def ask():
            begun = time.monotonic()
            answer = self.request(who, "GET", target, timeout=PATIENCE)
            self.assertEqual(answer.status, 200, answer)
            return time.monotonic() - begun
        return sorted(ask() for _ in range(count))

    def assert_served(self, *people):
        for who in people or (self.victim, self.third):
            self.assertEqual(self.request(who, "GET", "/v1/jobs", timeout=20).status, 200)
            job = self.job_of(who, "/bin/true")
            self.assertEqual(self.agent.wait(job)["exit_code"], 0)
        self.assertEqual(self.agent.request("GET", "/v1/status").status, 200)  # by root

    def test_no_more_than_a_persons_share_of_requests_is_answered_at_once(self):
        self.start()
        process, told = self.attack(UNFINISHED, 100)
        self.assertEqual(told["begun"], REQUESTS)
        with self.assertRaises(TimeoutError):  # his further ones wait for those
            self.request(self.attacker, "GET", "/v1/jobs", timeout=1)
        self.assertLess(max(self.latencies(self.victim)), 2)
        self.assert_served()
        process.stdin.write(b"\n")
        process.stdin.flush()
        self.assertEqual(json.loads(process.stdout.readline())["begun"], REQUESTS + 5)  # one for each that is done

    def test_idle_connections_shut_nobody_out(self):
        self.start()
        before = len(self.agent.descriptors())
        first, told = self.attack(IDLE, 1000)
        self.assertEqual(told["held"], 1000)
        self.assert_served()
        self.assert_served(self.attacker)  # his oldest ones go
        self.assertLess(len(self.agent.descriptors()) - before, 140)
        self.attack(SLOW_HEADERS, 1000)
        self.assert_served()
        self.end(first)

    def test_connections_that_are_in_use_are_refused_beyond_a_persons_share(self):
        self.start()
        job = self.script_of(self.attacker, "sleep 300")
        self.agent.running_pid(job)
        _, told = self.attack(FOLLOW, 300, f"/v1/jobs/{job}/log")
        self.assertEqual(told["served"] + told["refused"], 300, told)
        self.assertLessEqual(told["served"], 128)
        self.assertGreater(told["served"], 100)
        error = self.refused(429, self.attacker, "GET", "/v1/jobs")
        self.assertIn("connections to the agent already", error["message"])
        self.assertTrue(error["hint"])
        done = self.berth(self.attacker, "ps", expect=None)
        self.assertEqual(done.returncode, 125, done.err)
        self.assertIn("connections to the agent already", done.err)
        self.assert_served()

    def test_a_body_of_many_values_is_refused_early_and_leaves_no_memory_in_use(self):
        self.start()
        self.assert_served()
        bodies = {
            "lists": b"[" + b"[]," * (10 << 20) + b"[]]",
            "objects": b'{"jobs":[' + b"{}," * (10 << 20) + b"{}]}",
            "lists as jobs": b'{"jobs":[' + b"[]," * 9000 + b"[]]}",
            "fields": b'{"tags":{' + b",".join(b'"%d":[]' % n for n in range(2 << 20)) + b"}}",
            "deep": b"[" * (30 << 20),
            "text": b'"' + b"a" * (30 << 20) + b'"',
            "too long": b" " * (40 << 20),
        }
        most = before = self.resident()
        watching = True

        def watch():
            nonlocal most
            while watching:
                most = max(most, self.resident())
                time.sleep(0.002)
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        for name, body in bodies.items():
            with self.subTest(name):
                answer = self.request(self.attacker, "POST", "/v1/jobs", body)
                self.assertIn(answer.status, (400, 413), answer)
                self.assertTrue(answer.error["message"])
        self.assert_served()
        watching = False
        watcher.join()
        if not sanitized():
            self.assertLess(most - before, 72 << 20)  # the body itself is 30 MiB, half of it twice while it grows
            eventually(lambda: self.resident() - before < 8 << 20, "the memory has gone back", 10)

    def test_a_lock_that_nobody_can_read_is_refused(self):
        """Nested as deep as a request may be long, or of as many values."""
        tools = self.directory("tools")
        tools.chmod(0o755)
        tool = tools / "micromamba"
        tool.write_text('#!/bin/sh\ncase "$1" in --version) echo 2.0.5;; *) echo \'{"platform":"linux-64"}\';; esac\n')
        tool.chmod(0o755)
        self.start(f"conda: {tool}\nuv: ''")
        pid = self.agent.pid
        deep = "[" * 450_000 + "]" * 450_000
        wide = "[" + "[]," * 300_000 + "0]"
        conda = '{"kind":"conda","explicit":["https://x/y/linux-64/a-1-0.conda"],"platform":%s}'
        venv = '{"kind":"venv","python":"3.11","pip":[],"x":%s}'
        image = '{"kind":"image","image":"x","conda":%s}'
        for form in (conda, venv, image):
            for value, words in ((deep, "nested too deeply"), (wide, "more values"), ("[" * 900_000, "nested too deeply")):
                lock = {"kind": "lock", "file": "lock.json", "files": {"lock.json": form % value}}
                with self.subTest(form[:16], words=words):
                    answer = self.request(self.attacker, "POST", "/v1/environments", lock)
                    self.assertIn(words, str(answer.body))
                    self.assertTrue(self.agent.is_running())
        job = self.job_of(self.attacker, "true", environment={"kind": "lock", "file": "l", "files": {"l": conda % deep}})
        ended = self.agent.wait(job)
        self.assertEqual(ended["ending"]["kind"], "environment_failed")
        self.assertIn("nested too deeply", ended["ending"]["reason"])
        self.assertEqual(self.agent.pid, pid)

    def test_bodies_under_way_are_bounded_together(self):
        self.start()
        before = self.resident()
        self.attack(BODIES, 20)
        self.assert_served()
        if not sanitized():
            self.assertLess(self.resident() - before, 80 << 20)  # of 600 MB
        error = self.refused(503, self.attacker, "POST", "/v1/jobs", b" " * 25_000_000)
        self.assertIn("of memory", error["message"])

    def test_a_long_list_of_jobs_is_still_taken(self):
        self.start()
        requests = [self.agent.request_for("/bin/true", held=True, environment_variables={"N": str(n)}) for n in range(10_000)]
        submitted = self.ask(self.victim, "POST", "/v1/jobs", {"jobs": requests}, timeout=PATIENCE)["jobs"]
        self.assertEqual(len({job["id"] for job in submitted}), 10_000)
        one_more = self.refused(413, self.victim, "POST", "/v1/jobs", {"jobs": requests + requests[:1]})
        self.assertIn("10000", one_more["message"])
        pages, query = [], "limit=3000"
        while True:
            page = self.ask(self.victim, "GET", f"/v1/jobs?{query}")
            pages.insert(0, page["jobs"])
            if page["next"] is None:
                break
            query = f"limit=3000&before={page['next']}"
        listed = [job["id"] for page in pages for job in page]
        self.assertEqual(listed, [job["id"] for job in submitted])
        self.agent.kill()  # canceling them one by one is another test's business

    def test_a_list_of_big_commands_is_small_and_quick(self):
        self.start()
        command = ["/bin/true", "a" * 900_000]
        for _ in range(30):
            self.job_of(self.attacker, *command, held=True, environment_variables={"B": "b" * 100_000})
        before = self.resident()
        for target in ("/v1/jobs", "/v1/jobs?all=1", "/v1/jobs?order=queue", "/v1/jobs?limit=10000"):
            for who in (self.attacker, self.victim):
                answer = self.request(who, "GET", target, timeout=PATIENCE)
                rows = answer.json["jobs"]
                self.assertEqual(sum(row["held"] for row in rows), 30)
                self.assertLess(len(answer.body), 30 * 2000 + 10_000)
                self.assertNotIn(b"b" * 40, answer.body)
                self.assertEqual(b"a" * 40 in answer.body, who is self.attacker)
        if not sanitized():
            self.assertLess(self.resident() - before, 8 << 20)

    def test_others_are_served_quickly_while_one_asks_for_everything(self):
        self.start()
        requests = [self.agent.request_for("/bin/true", held=True, submission_id=new_submission_id()) for _ in range(2000)]
        self.ask(self.attacker, "POST", "/v1/jobs", {"jobs": requests}, timeout=PATIENCE)
        mine = self.job_of(self.victim, "/bin/echo", "mine")
        self.agent.wait(mine)
        targets = ("/v1/jobs?mine=1", f"/v1/jobs/{mine}", f"/v1/jobs/{mine}/log", "/v1/status")
        calm = {target: statistics.median(self.latencies(self.victim, target)) for target in targets}
        self.attack(LISTS, 60)
        for target, before in calm.items():
            with self.subTest(target):
                taken = self.latencies(self.victim, target)
                self.assertLess(statistics.median(taken), max(25 * before, 0.5), f"{before} s before")
        begun = time.monotonic()
        self.assert_served()
        self.assertLess(time.monotonic() - begun, 20)
        if not sanitized():
            self.assertLess(self.resident(), 160 << 20)
        self.agent.kill()

    def assert_root_does_not_wait(self, doing):
        """Though the function takes the agent long."""
        taken = []
        def timed():
            begun = time.monotonic()
            doing()
            taken.append(time.monotonic() - begun)
        thread = threading.Thread(target=timed)
        thread.start()
        slowest = 0
        while thread.is_alive():
            begun = time.monotonic()
            self.agent.request("GET", "/v1/jobs")
            slowest = max(slowest, time.monotonic() - begun)
            time.sleep(0.01)
        thread.join()
        self.assertLess(slowest, max(1.2 if sanitized() else 0.3, taken[0] / 2))

    def test_large_requests_of_one_keep_nobody_waiting(self):
        """Each of these was parsed on the loop, which did nothing else meanwhile."""
        self.start("offline: true")
        large = self.agent.request_for("/bin/true", held=True)
        large["command"] = ["/bin/true"] + ["x" * 20] * 45_000
        for _ in range(25):
            large["submission_id"] = new_submission_id()
            self.ask(self.attacker, "POST", "/v1/jobs", large, timeout=PATIENCE)
        self.assert_root_does_not_wait(lambda: self.ask(self.attacker, "GET", "/v1/doctor", timeout=PATIENCE))
        texts = {"requirements.txt": "x=://a@b " * (7 * 2**20 // 9)}
        wanted = {"kind": "venv", "file": "requirements.txt", "files": texts}
        def build():
            answer = self.request(self.attacker, "POST", "/v1/environments", wanted, timeout=PATIENCE)
            self.assertEqual(answer.status, 400, answer)
        self.assert_root_does_not_wait(build)


if __name__ == "__main__":
    main()
