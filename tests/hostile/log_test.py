"""The log reaches every reader exactly, whatever the reader's pace, and no log keeps the agent from the others."""

import hashlib
import os
import signal
import subprocess
import threading
import time

from hostile import Client, HostileTest, eventually, harness, main

PYTHON = "/usr/bin/python3"
LINES = 300_000
SEQUENCE = b"".join(b"%d\n" % number for number in range(1, LINES + 1))
PATIENCE = 60


def digest(content):
    return len(content), hashlib.sha256(content).hexdigest()


class Reader(threading.Thread):
    """Reads a pipe at its own pace: `before` seconds of nothing, then pieces with a pause after each."""

    def __init__(self, pipe, before=0.0, piece=65536, pause=0.0):
        super().__init__(daemon=True)
        self.pipe, self.before, self.piece, self.pause = pipe, before, piece, pause
        self.content = bytearray()
        self.start()

    def run(self):
        time.sleep(self.before)
        with self.pipe:
            while part := self.pipe.read1(self.piece):
                self.content += part
                if self.pause:
                    time.sleep(self.pause)


class LogTest(HostileTest):
    config = "cpus: 8\nmax_parallel: 8"

    def command(self, *arguments, **options):
        """`berth` by the victim, its output in a pipe."""
        process = harness.family.popen(self.command_of(self.victim, harness.BIN / "berth", *arguments),
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.victim.home, **options)
        self.addCleanup(process.stderr.close)
        return process

    def ends(self, process, reader, code=0, content=SEQUENCE):
        self.assertEqual(process.wait(PATIENCE), code, process.stderr.read())
        reader.join(PATIENCE)
        self.assertEqual(digest(reader.content), digest(content))

    def run_and_read(self, *options, script=f"seq {LINES}", code=0, content=SEQUENCE, **pace):
        process = self.command("run", "--no-code", *options, "--", "sh", "-c", script)
        self.ends(process, Reader(process.stdout, **pace), code, content)

    def test_run_gives_each_byte_once_to_readers_of_every_pace(self):
        self.start()
        for pace in ({}, {"before": 1.5}, {"before": 0.3, "piece": 100_000, "pause": 0.01}, {"before": 2.5}):
            with self.subTest(pace):
                self.run_and_read(**pace)
        self.run_and_read(before=1.0, code=7, script=f"seq {LINES}; exit 7")

    def test_each_attempt_reaches_a_reader_that_lags_behind_all_of_them(self):
        self.start()
        self.run_and_read("--retry", "failed=2", before=1.5, code=3, script=f"seq {LINES}; exit 3", content=SEQUENCE * 3)

    def test_followers_that_are_stopped_and_continued_get_it_all(self):
        self.start()
        job = self.script_of(self.victim, f"seq 100000; sleep 1; seq 100001 {LINES}")
        processes = [self.command("logs", "-f", job) for _ in range(3)]
        readers = [Reader(process.stdout) for process in processes]
        time.sleep(0.3)  # so that they have begun, mostly; it ends alike if they have not
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        self.agent.wait(job)
        for process, reader in zip(processes, readers):
            process.send_signal(signal.SIGCONT)
            self.ends(process, reader)

    def test_a_reader_over_the_api_may_lag_stop_and_begin_anywhere(self):
        self.start()
        job = self.script_of(self.victim, f"sleep 0.5; seq {LINES}", )
        client = Client(self.agent.socket_path)
        offsets = (0, 1, 4096, 65536, 65537, 500_000, len(SEQUENCE) - 1, len(SEQUENCE))
        found = {}
        with_streams = []
        for offset in offsets:
            stream = client.stream(f"/v1/jobs/{job}/log", follow=True, offset=offset)
            with_streams.append((offset, stream, stream.__enter__()))
        self.agent.wait(job)
        for offset, stream, response in with_streams:
            found[offset] = digest(response.read())
            stream.__exit__(None, None, None)
        self.assertEqual(found, {offset: digest(SEQUENCE[offset:]) for offset in offsets})
        self.assertEqual(digest(self.ask(self.victim, "GET", f"/v1/jobs/{job}/log")), digest(SEQUENCE))

    def test_the_agent_is_killed_while_a_reader_lags(self):
        self.start()
        process = self.command("run", "--no-code", "--retry", "failed=1", "--", "sh", "-c",
                               f"seq 100000; sleep 1; seq 100001 {LINES}; exit 1")
        reader = Reader(process.stdout, before=0.8, piece=50_000, pause=0.02)
        for _ in range(3):
            time.sleep(0.6)  # of the job's life before it is killed
            self.agent.kill()
            self.agent.start()
        self.ends(process, reader, 1, SEQUENCE * 2)

    def test_a_reader_that_goes_away_ends_the_command_and_not_the_job(self):
        self.start()
        process = self.command("run", "--no-code", "--name", "read by head", "--", "sh", "-c",
                               f"seq {LINES}; sleep 0.5; echo done")
        self.assertEqual(process.stdout.read1(10)[:2], b"1\n")
        process.stdout.close()
        self.assertIn(process.wait(PATIENCE), (141, -signal.SIGPIPE), process.stderr.read())
        job = self.ask(self.victim, "GET", "/v1/jobs/@last")["id"]
        self.assertEqual(self.agent.wait(job)["exit_code"], 0)
        self.assertEqual(digest(self.agent.log_of(job)), digest(SEQUENCE + b"done\n"))

    def test_a_log_of_sixteen_tebibytes_is_answered_at_once_and_stalls_nobody(self):
        self.start()
        grow = "import os\nprint('first', flush=True)\nn = 1 << 44\nwhile n:\n  try: os.ftruncate(1, n); break\n  except OSError: n //= 2\nprint('last', flush=True)"
        quiet = self.script_of(self.victim, "echo mine")
        job = self.job_of(self.attacker, PYTHON, "-c", grow, log_cap_bytes=1 << 20)
        self.agent.wait(job)
        self.agent.wait(quiet)
        begun = time.monotonic()
        for query in ("tail=1", "tail=3", "tail=100", "offset=0", "offset=1000000", "since=2020-01-01T00:00:00Z",
                      "since=2099-01-01T00:00:00Z", "offset=0&follow=1", "tail=3&follow=1", "offset=9223372036854775807"):
            with self.subTest(query):
                answer = self.request(self.attacker, "GET", f"/v1/jobs/{job}/log?{query}", timeout=20)
                self.assertEqual(answer.status, 200)
                self.assertLess(len(answer.body), 4 << 20)
                self.assertEqual(self.ask(self.victim, "GET", f"/v1/jobs/{quiet}/log", timeout=20), b"mine\n")
        self.assertIn(b"last\n", self.request(self.attacker, "GET", f"/v1/jobs/{job}/log?tail=1").body)
        self.assertEqual(self.request(self.attacker, "GET", f"/v1/jobs/{job}/log/index", timeout=20).status, 200)
        self.assertLess(time.monotonic() - begun, 60)  # hours, where each byte is looked at

    def test_a_log_that_is_cut_punched_or_locked_by_its_job_is_still_answered(self):
        self.start()
        scripts = {
            "cut": "import os, time\nfor i in range(20000): print('line', i)\nimport sys; sys.stdout.flush()\n"
                   "os.ftruncate(1, 0); time.sleep(0.2); print('after', flush=True)",
            "locked": "import fcntl, time\nfcntl.flock(1, fcntl.LOCK_EX); print('locked', flush=True); time.sleep(0.5)",
            "one line": "import os\nfor _ in range(100): os.write(1, b'x' * (1 << 20))",
        }
        for name, script in scripts.items():
            with self.subTest(name):
                job = self.job_of(self.attacker, PYTHON, "-c", script)
                answer = self.request(self.attacker, "GET", f"/v1/jobs/{job}/log?follow=1", timeout=PATIENCE)
                self.assertEqual(answer.status, 200)
                self.agent.wait(job)
                tail = self.request(self.attacker, "GET", f"/v1/jobs/{job}/log?tail=3", timeout=20)
                self.assertEqual(tail.status, 200)
                self.assertEqual("Berth-Log-Note" in tail.headers, name == "one line", tail.headers)

    def test_more_followers_than_a_person_has_watches_are_served_all_the_same(self):
        self.start()
        release = self.place / "work" / "release"
        job = self.script_of(self.attacker, f"while [ ! -e {release} ]; do sleep 0.2; done; echo out")
        streams = []
        for number in range(90):
            stream = Client(self.agent.socket_path).stream(f"/v1/jobs/{job}/log", follow=True)
            streams.append((stream, stream.__enter__()))
        release.touch()
        for stream, response in streams:
            self.assertEqual(response.read(), b"out\n")
            stream.__exit__(None, None, None)
        eventually(lambda: self.agent.job(job)["state"] == "Completed", "it is over")


if __name__ == "__main__":
    main()
