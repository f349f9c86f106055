"""Reading and following logs: prompt, complete to the byte, and in nobody's way."""

import hashlib
import json
import re
import statistics
import struct
import threading
import time
from datetime import datetime, timedelta, timezone

import harness
from harness import PATIENCE, PYTHON, BerthTest, eventually

# Writes its monotonic time every 50 ms, forty times.
TICKING = "import time\nfor n in range(40):\n    print(n, time.monotonic_ns(), flush=True)\n    time.sleep(0.05)\n"
# MIB mebibytes of numbered lines at about 5 MB a second.
STREAMING = """
import os, sys, time
begin, sent, number = time.monotonic(), 0, 0
while sent < MIB << 20:
    piece = b"".join(b"%011d %s\\n" % (number + n, b"x" * 51) for n in range(256))
    number += 256
    while piece:
        written = os.write(1, piece)
        piece, sent = piece[written:], sent + written
    time.sleep(max(0, begin + sent / 5e6 - time.monotonic()))
"""


TOKEN = "s3cr3t-value-4711"
FRAMES = "application/x-berth-log"


def frames_of(body):
    """[(kind, attempt, begin, end, text)] of a log in frames, as agent/model/log_frame.hpp describes them."""
    frames = []
    while body:
        kind, attempt, begin, end, length = struct.unpack_from("<IIQQI", body)
        text, body = body[28:28 + length], body[28 + length:]
        assert len(text) == length, "the body ends within a frame"
        frames.append((kind, attempt, begin, end, text))
    return frames


def numbered_lines(mib):
    return b"".join(b"%011d %s\n" % (number, b"x" * 51) for number in range((mib << 20) // 64))


class Follower(threading.Thread):
    """Reads one follow request to its end."""

    def __init__(self, agent, job, **query):
        super().__init__(daemon=True)
        self.agent, self.job, self.query = agent, job, query
        self.pieces = []  # (monotonic time, bytes)
        self.failure = None
        self.start()

    def run(self):
        try:
            with self.agent.stream(f"/v1/jobs/{self.job}/log", follow=True, **self.query) as response:
                while piece := response.read1(65536):
                    self.pieces.append((time.monotonic(), piece))
        except Exception as failure:
            self.failure = failure

    def content(self):
        self.join(PATIENCE)
        assert not self.is_alive(), "the follower has not come to an end"
        assert self.failure is None, self.failure
        return b"".join(piece for _, piece in self.pieces)

    def received(self):
        return b"".join(piece for _, piece in list(self.pieces))


class Command:
    """`berth` in the background, its output collected as it comes."""

    def __init__(self, agent, *arguments, cwd=None):
        self.process = harness.family.popen(
            [str(harness.BIN / "berth"), *arguments], stdout=-1, stderr=-1, cwd=cwd or agent.place / "work",
            env=agent.cli_environment())
        self.pieces, self.errors = [], []
        self.threads = [threading.Thread(target=self._collect, args=pair, daemon=True)
                        for pair in ((self.process.stdout, self.pieces), (self.process.stderr, self.errors))]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def _collect(pipe, pieces):
        with pipe:
            while piece := pipe.read1(65536):
                pieces.append(piece)

    def output(self):
        return b"".join(self.pieces)

    def end(self):
        """(exit code, output, errors) once it has ended by itself."""
        code = self.process.wait(PATIENCE)
        for thread in self.threads:
            thread.join(PATIENCE)
        return code, self.output(), b"".join(self.errors).decode()


class FollowTest(BerthTest):
    config = "cpus: 8\nmax_parallel: 8"

    def test_a_line_reaches_the_follower_when_it_is_written(self):
        agent = self.start_agent()
        job = agent.submit(PYTHON, "-ISE", "-c", TICKING)
        follower = Follower(agent, job)
        content = follower.content()
        self.assertEqual([line.split()[0] for line in content.splitlines()], [b"%d" % n for n in range(40)])
        delays = [arrived - int(line.split()[1]) / 1e9 for arrived, piece in follower.pieces
                  for line in piece.splitlines()]
        self.assertLess(statistics.median(delays), 0.05)
        self.assertGreater(len(follower.pieces), 20)  # as it was written, not in one lump

    def test_following_begins_before_the_job_does(self):
        agent = self.start_agent()
        job = agent.sh("echo begun", held=True)
        follower = Follower(agent, job)
        time.sleep(0.2)  # in which it might end, of which there is no other sign
        self.assertTrue(follower.is_alive())
        agent.act(job, "release")
        self.assertEqual(follower.content(), b"begun\n")

    def test_following_ends_with_a_job_that_never_ran(self):
        agent = self.start_agent()
        job = agent.sh("echo never", held=True)
        follower = agent.connected(lambda: Follower(agent, job))
        agent.cancel(job)
        self.assertEqual(follower.content(), b"")

    def test_three_followers_get_five_megabytes_a_second_to_the_byte(self):
        agent = self.start_agent()
        job = agent.submit(PYTHON, "-ISE", "-c", STREAMING.replace("MIB", "12"))
        early = [Follower(agent, job) for _ in range(3)]
        eventually(lambda: len(early[0].received()) > 4 << 20, "some of it has been read")
        late = Follower(agent, job, offset=1 << 20)
        expected = numbered_lines(12)
        for follower in early:
            self.assertEqual(digest(follower.content()), digest(expected))
        self.assertEqual(digest(late.content()), digest(expected[1 << 20:]))
        self.assertEqual(agent.wait(job)["state"], "Completed")
        self.assertEqual(digest(agent.log_of(job)), digest(expected))

    def test_a_follower_that_goes_away_leaves_no_trace(self):
        agent = self.start_agent()
        job = agent.sh("while :; do echo x; sleep 0.02; done")
        agent.running_pid(job)
        before = len(agent.descriptors())
        for _ in range(20):
            with agent.stream(f"/v1/jobs/{job}/log", follow=True) as response:
                self.assertTrue(response.read1(1))
        eventually(lambda: len(agent.descriptors()) <= before, "their descriptors are closed")

    def test_a_follower_that_does_not_read_slows_nobody(self):
        agent = self.start_agent()
        job = agent.submit(PYTHON, "-ISE", "-c", STREAMING.replace("MIB", "6"))
        with agent.stream(f"/v1/jobs/{job}/log", follow=True):  # not read
            other = Follower(agent, job)
            self.assertEqual(digest(other.content()), digest(numbered_lines(6)))
            self.assertLess(agent.wait(job)["duration_ms"], 6000)

    def test_following_goes_on_through_a_retry(self):
        agent = self.start_agent()
        job = agent.sh("echo attempt $BERTH_ATTEMPT; sleep 0.2; [ $BERTH_ATTEMPT = 2 ]", retries={"failed": 1})
        self.assertEqual(Follower(agent, job).content(), b"attempt 1\nattempt 2\n")


class ReadTest(BerthTest):
    config = "cpus: 8"

    def test_offset_and_tail(self):
        agent = self.start_agent()
        job = agent.sh("seq 1 1000")
        agent.wait(job)
        everything = b"".join(b"%d\n" % n for n in range(1, 1001))
        self.assertEqual(agent.log_of(job), everything)
        self.assertEqual(agent.log_of(job, offset=100), everything[100:])
        self.assertEqual(agent.log_of(job, offset=10_000), b"")
        answer = agent.request("GET", f"/v1/jobs/{job}/log", tail=3)
        self.assertEqual(answer.body, b"998\n999\n1000\n")
        self.assertEqual(int(answer.headers["Berth-Log-Offset"]), len(everything) - len(answer.body))
        self.assertEqual(agent.berth("logs", job, "--tail", 2).stdout, b"999\n1000\n")
        self.assertEqual(agent.berth("logs", "--tail", 0, job).stdout, b"")
        self.assertEqual(agent.berth("logs", job).stdout, everything)
        self.assertEqual(agent.berth("logs", "@last", "--tail", 5000).stdout, everything)

    def test_since_and_timestamps(self):
        agent = self.start_agent()
        job = agent.sh("echo early; sleep 1.2; echo late; sleep 1.2; echo later")
        agent.wait(job)
        between = datetime.now(timezone.utc) - timedelta(seconds=0.6)
        self.assertEqual(agent.log_of(job, since=between.strftime("%Y-%m-%dT%H:%M:%S.%fZ")), b"later\n")
        since = agent.berth("logs", "--since", between.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), job)
        self.assertEqual(since.stdout, b"later\n")
        self.assertEqual(agent.berth("logs", "--since", "10m", job).stdout, b"early\nlate\nlater\n")
        self.assertIn("--since", agent.berth("logs", "--since", "noonish", job, expect=2).err)

        lines = agent.berth("logs", "--timestamps", job).out.splitlines()
        self.assertEqual([line.split()[-1] for line in lines], ["early", "late", "later"])
        times = [datetime.fromisoformat(re.match(r"\S+[ T]\S+?(?=\s)", line).group().replace("Z", "+00:00"))
                 for line in lines]
        self.assertGreater(times[1] - times[0], timedelta(seconds=1))
        self.assertGreater(times[2] - times[1], timedelta(seconds=1))

    def test_bytes_that_are_no_text_stay_as_they_are(self):
        agent = self.start_agent()
        job = agent.submit(PYTHON, "-ISE", "-c", "import os; os.write(1, bytes(range(256)) * 100); os.write(2, b'\\xff')")
        agent.wait(job)
        self.assertEqual(agent.log_of(job), bytes(range(256)) * 100 + b"\xff")
        self.assertEqual(agent.berth("logs", job).stdout, bytes(range(256)) * 100 + b"\xff")

    def test_a_log_over_its_cap_keeps_head_and_tail(self):
        agent = self.start_agent()
        cap = 1 << 20
        job = agent.submit(PYTHON, "-ISE", "-c", STREAMING.replace("MIB", "8"), log_cap_bytes=cap)
        agent.wait(job)
        expected, log = numbered_lines(8), agent.log_of(job)
        self.assertLess(len(log), 2 * cap)
        self.assertEqual(log[:100_000], expected[:100_000])
        self.assertEqual(log[-100_000:], expected[-100_000:])
        notice = [line for line in log.splitlines() if not re.fullmatch(rb"\d{11} x{51}", line)]
        self.assertTrue(any(b"left out" in line for line in notice), notice[:3])
        stored = (agent.launch_directory(job) / "log").stat().st_blocks * 512
        self.assertLess(stored, 2 * cap)
        self.assertEqual(agent.berth("logs", "--tail", 1, job).stdout, expected[-64:])

    def test_what_there_is_no_log_of(self):
        agent = self.start_agent()
        job = agent.sh("true", held=True)
        self.assertEqual(agent.log_of(job), b"")
        self.refuses(404, "not_found", agent.log_of, job, attempt=3)
        self.refuses(400, "invalid", agent.log_of, job, stream="other")
        self.refuses(400, "invalid", agent.log_of, job, tail="many")
        self.refuses(400, "invalid", agent.log_of, job, since="yesterday")
        self.refuses(404, "not_found", agent.log_of, "no-such-job")
        self.assertEqual(agent.berth("logs", "--build", job).stdout, b"")


class FramesTest(BerthTest):
    """The log for readers that go on after an interruption: offsets beside the text."""

    config = "cpus: 8"

    def frames(self, agent, job, **query):
        answer = agent.request("GET", f"/v1/jobs/{job}/log", headers={"Accept": FRAMES}, **query)
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, FRAMES), answer)
        return frames_of(answer.body)

    def test_who_does_not_ask_for_frames_gets_the_text(self):
        agent = self.start_agent()
        job = agent.sh("echo one")
        agent.wait(job)
        for headers in ({}, {"Accept": "*/*"}, {"Accept": "text/plain"}):
            answer = agent.request("GET", f"/v1/jobs/{job}/log", headers=headers)
            self.assertEqual((answer.body, answer.headers["Content-Type"]), (b"one\n", "text/plain; charset=utf-8"))

    def test_frames_tell_where_their_text_is(self):
        agent = self.start_agent()
        job = agent.sh("seq 1 100000")
        agent.wait(job)
        log = agent.log_of(job)
        for query in ({}, {"offset": 1234}, {"tail": 3}, {"follow": True}, {"offset": len(log)}, {"offset": len(log) + 9}):
            with self.subTest(query):
                frames = self.frames(agent, job, **query)
                place = {"tail": len(log) - len(b"99998\n99999\n100000\n")}.get(next(iter(query), ""), query.get("offset", 0))
                for kind, attempt, begin, end, text in frames:
                    self.assertEqual((kind, attempt, begin, text), (0, 1, place, log[begin:end]))
                    place = end
                self.assertEqual(place, max(len(log), query.get("offset", 0)))

    def test_each_attempt_has_offsets_of_its_own(self):
        agent = self.start_agent()
        job = agent.sh("echo attempt $BERTH_ATTEMPT; sleep 0.2; [ $BERTH_ATTEMPT = 2 ]", retries={"failed": 1})
        expected = [(0, 1, 0, 10, b"attempt 1\n"), (0, 2, 0, 10, b"attempt 2\n")]
        self.assertEqual(self.frames(agent, job, follow=True), expected)
        self.assertEqual(self.frames(agent, job), expected[1:])
        self.assertEqual(self.frames(agent, job, attempt=1), expected[:1])

    def test_a_job_without_a_log_has_no_frames(self):
        agent = self.start_agent()
        job = agent.sh("true", held=True)
        self.assertEqual(self.frames(agent, job), [])
        self.assertEqual(self.frames(agent, job, stream="build"), [])

    def test_the_agents_remarks_come_in_frames_of_no_attempt(self):
        agent = self.start_agent()
        job = agent.sh("true")
        agent.wait(job)
        (agent.state / "jobs" / job / "agent").write_bytes(b"a remark\n")
        self.assertEqual(self.frames(agent, job, stream="agent"), [(0, 0, 0, 9, b"a remark\n")])


class ResumeTest(BerthTest):
    """`berth logs -f` through a restart of the agent: what it prints is the log, whatever the log says."""

    config = "cpus: 8"
    END = "while not os.path.exists('go'): time.sleep(0.02)\nos.write(1, b'two\\nthree\\n')\n"

    def follow_through_restart(self, agent, script, seen, restarts=("kill",), **fields):
        """(what is printed, the log) of a job that does `script`, is followed until `seen` is printed, and then writes two
        lines more and ends; the agent is started anew in between."""
        (self.place / "work/go").unlink(missing_ok=True)
        job = agent.submit(PYTHON, "-ISE", "-c", f"import os, time\n{script}\n{self.END}", **fields)
        follower = Command(agent, "logs", "-f", job)
        eventually(lambda: seen in follower.output(), f"{seen!r} has been printed")
        for end in restarts:
            getattr(agent, end)()
            time.sleep(0.3)  # of absence
            agent.start()
        (self.place / "work/go").touch()
        code, output, errors = follower.end()
        self.assertEqual(code, 0, errors)
        agent.wait(job)
        return output, agent.log_of(job)

    def test_a_line_that_looks_as_one_for_a_hole_moves_nothing(self):
        """At the very offsets at which there could be one, at the line's beginning or one byte before it."""
        agent = self.start_agent()
        head = b"head\n"
        for begin, end in ((5, 1048576), (5, 12), (5, 5), (4, 1048576), (4, 4)):
            with self.subTest((begin, end)):
                forged = head + f"[… 1.0 MiB left out (bytes {begin}–{end}) …]\n".encode()
                output, log = self.follow_through_restart(agent, f"os.write(1, {forged!r})", forged)
                self.assertEqual(output, forged + b"two\nthree\n")
                self.assertEqual(log, output)

    def test_a_hole_is_passed_once(self):
        """A file of the job's own can have one of any length."""
        script = "os.write(1, b'head\\n'); os.ftruncate(1, 3 << 20); os.write(1, b'one\\n')"
        output, log = self.follow_through_restart(self.start_agent(), script, b"one\n")
        self.assertEqual(output, log)
        self.assertEqual(output.count(b"left out (bytes "), 1)
        self.assertTrue(output.startswith(b"head\n") and output.endswith(b" \xe2\x80\xa6]\none\ntwo\nthree\n"), output[-100:])

    def test_a_secret_that_is_written_before_and_after_the_restart_is_hidden(self):
        half = len(TOKEN) // 2
        script = ("token = os.environ['TOKEN'].encode()\n"
                  f"os.write(1, b'begins ' + token[:{half}])\n"
                  "while not os.path.exists('go'): time.sleep(0.02)\n"
                  f"os.write(1, token[{half}:] + b' ends\\n')")
        secrets = {"TOKEN": {"value": TOKEN, "variable": True}}
        output, log = self.follow_through_restart(self.start_agent(), script, b"begins ", ("stop", "kill"), secrets=secrets)
        self.assertEqual(output, b"begins " + b"*" * len(TOKEN) + b" ends\ntwo\nthree\n")
        self.assertEqual(log, output)

    def test_lines_of_json_have_the_offsets_of_the_log(self):
        forged = "[… 1.0 MiB left out (bytes 0–1048576) …]\n".encode()
        agent = self.start_agent()
        job = agent.submit(PYTHON, "-ISE", "-c", f"import os\nos.write(1, {forged!r} + b'one\\n'); os.ftruncate(1, 3 << 20)\n"
                                                 "os.write(1, b'two\\n')")
        agent.wait(job)
        lines = [json.loads(line) for line in agent.berth("logs", "--json", job).out.splitlines()]
        self.assertEqual([(line["offset"], line["text"]) for line in lines[:2]],
                         [(0, forged.decode()[:-1]), (len(forged), "one")])
        self.assertEqual([(line["offset"], line["text"]) for line in lines[-1:]], [(3 << 20, "two")])


class CommandLineTest(BerthTest):
    config = "cpus: 8"

    def test_logs_follow(self):
        agent = self.start_agent()
        job = agent.sh("echo one; while [ ! -e go ]; do sleep 0.02; done; echo two")
        follower = Command(agent, "logs", "-f", job)
        eventually(lambda: follower.output() == b"one\n", "what is there already has been printed")
        (self.place / "work/go").touch()
        self.assertEqual(follower.end()[:2], (0, b"one\ntwo\n"))

    def test_logs_follow_with_timestamps(self):
        agent = self.start_agent()
        job = agent.sh("echo one; sleep 0.3; echo two")
        code, output, _ = Command(agent, "logs", "-f", "--timestamps", job).end()
        self.assertEqual(code, 0)
        self.assertEqual([line.split()[-1] for line in output.splitlines()], [b"one", b"two"])

    def test_run_goes_on_through_a_restart_of_the_agent(self):
        agent = self.start_agent()
        running = Command(agent, "run", "--no-code", "--", PYTHON, "-ISE", "-c", STREAMING.replace("MIB", "12"))
        for end in (agent.stop, agent.kill):
            before = len(running.output())
            eventually(lambda: len(running.output()) > before + (1 << 20), "some of it has been printed")
            end()
            time.sleep(0.3)  # of absence
            agent.start()
        code, output, errors = running.end()
        self.assertEqual((code, digest(output)), (0, digest(numbered_lines(12))), errors)

    def test_run_waits_for_an_agent_that_comes_back_after_the_job_ended(self):
        agent = self.start_agent()
        running = Command(agent, "run", "--no-code", "--", "sh", "-c", "echo one; sleep 1; echo two; exit 5")
        eventually(lambda: running.output() == b"one\n", "its first line has been printed")
        directory = agent.launch_directory(agent.job("@last")["id"])
        agent.kill()
        eventually((directory / "ending.json").exists, "the job has ended")
        agent.start()
        code, output, errors = running.end()
        self.assertEqual((code, output), (5, b"one\ntwo\n"), errors)

    def test_a_reader_that_stops_reading_ends_the_command_quietly(self):
        agent = self.start_agent()
        job = agent.sh("yes | head -c 5000000")
        agent.wait(job)
        done = harness.family.run(["/bin/sh", "-c", f'"{harness.BIN}/berth" logs {job} | head -n 1'], 60,
                                  cwd=self.place / "work", env=agent.cli_environment())
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"y\n", b""))


def digest(content):
    """To compare what is too long to print."""
    return len(content), hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    harness.main()
