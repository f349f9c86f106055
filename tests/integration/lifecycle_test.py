"""A job's life through the command line: from submission to its end, in all the ways it can end."""

import fcntl
import json
import os
import select
import signal
import termios
import time

import harness
import processes
from harness import PATIENCE, PYTHON, BerthTest, eventually

# Ignores SIGTERM and has children in other sessions.
STUBBORN = "trap '' TERM; setsid sleep 300 & (setsid sleep 301 &); echo up; while :; do sleep 302; done"

JOB_KEYS = {
    "attempts", "canceled_by", "command", "diff", "duration_ms", "ending", "ending_words", "environment",
    "environment_digest", "environment_record", "environment_variables", "exit_code", "experiment", "finished", "held", "id",
    "limits", "log_cap_bytes", "log_removed", "name", "outputs", "outputs_removed", "priority", "properties", "requested_held",
    "requested_priority", "resources", "retries", "sequence", "snapshot", "started", "state", "stop",
    "submission_id", "submitted", "tags", "timeout_ms", "uid", "user", "working_directory"}
LISTED_KEYS = {
    "attempt", "canceled_by", "duration_ms", "ending", "ending_words", "exit_code", "experiment", "finished", "held", "id",
    "log_removed", "name", "outline", "outputs_removed", "priority", "resources", "sequence", "started", "state",
    "submission_id", "submitted", "timeout_ms", "title", "uid", "user"}
ATTEMPT_KEYS = {"duration_ms", "ended", "ending", "ending_words", "environment_changes", "gpu_peak_memory_bytes", "gpu_time_ms", "gpus",
                "io_read_bytes", "io_written_bytes", "launch", "number", "outputs", "outputs_bytes",
                "outputs_left_out", "peak_memory_bytes", "started",
                "system_cpu_ms", "user_cpu_ms"}
ENDING_KEYS = {"exited": {"kind", "code"}, "signalled": {"kind", "signal", "signal_name"},
               "timed_out": {"kind", "limit_ms"}, "canceled": {"kind", "by"},
               "start_failed": {"kind", "reason", "exit_code"}}


class EndingTest(BerthTest):
    config = "cpus: 8\nmax_parallel: 8"

    def run_sh(self, agent, script, *options, expect):
        return agent.berth("run", "--no-code", *options, "--", "sh", "-c", script, expect=expect)

    def test_run_exits_as_the_job_does(self):
        agent = self.start_agent()
        done = self.run_sh(agent, "echo to stdout; echo to stderr >&2", expect=0)
        self.assertEqual(done.out, "to stdout\nto stderr\n")
        self.run_sh(agent, "exit 3", expect=3)
        self.run_sh(agent, "kill -KILL $$", expect=137)
        self.run_sh(agent, "kill -SEGV $$", expect=139)
        self.run_sh(agent, "sleep 60", "--timeout", "300ms", expect=124)
        endings = [job["ending"]["kind"] for job in agent.jobs()[-5:]]
        self.assertEqual(endings, ["exited", "exited", "signalled", "signalled", "timed_out"])

    def test_wait_exits_as_the_job_did(self):
        agent = self.start_agent()
        job = agent.berth("submit", "--no-code", "--", "sh", "-c", "sleep 0.2; exit 9").out
        self.assertRegex(job, r"\A[a-z]+-[a-z]+-[a-z2-9]{4}\n\Z")
        agent.berth("wait", job.strip(), expect=9)
        agent.berth("wait", "@last", expect=9)
        canceled = agent.submit("sleep", "60", held=True)
        agent.cancel(canceled)
        agent.berth("wait", canceled, expect=130)

    def test_a_timeout_stops_the_whole_tree(self):
        agent = self.start_agent()
        job = agent.sh(STUBBORN, timeout_ms=500, stop={"signal": 15, "grace_ms": 300})
        agent.running_pid(job, "sleep 301")
        ended = agent.wait(job)
        self.assertEqual((ended["state"], ended["exit_code"]), ("Failed", 124))
        self.assertEqual(ended["ending"], {"kind": "timed_out", "limit_ms": 500})
        self.assertGreaterEqual(ended["duration_ms"], 500)
        self.assertEqual(processes.of_job(job), [])

    def test_what_a_job_leaves_running_ends_with_it(self):
        agent = self.start_agent()
        job = agent.sh("setsid sleep 300 & (setsid sleep 301 &); sleep 0.2; exit 0")
        agent.running_pid(job, "sleep 301")
        self.assertEqual(agent.wait(job)["state"], "Completed")
        self.assertEqual(processes.of_job(job), [])

    def test_usage_and_times_are_recorded(self):
        agent = self.start_agent()
        job = agent.submit(PYTHON, "-ISEc", "x = bytearray(60 << 20); sum(range(3_000_000))")
        ended = agent.wait(job)
        attempt = ended["attempts"][0]
        self.assertGreater(attempt["peak_memory_bytes"], 60 << 20)
        self.assertGreater(attempt["user_cpu_ms"], 10)
        self.assertGreaterEqual(attempt["duration_ms"], attempt["user_cpu_ms"] // 2)
        self.assertLessEqual(ended["submitted"], ended["started"])
        self.assertLessEqual(ended["started"], attempt["ended"])
        self.assertLessEqual(attempt["ended"], ended["finished"])

    def test_the_job_gets_a_clean_environment(self):
        agent = self.start_agent()
        os.environ["BERTH_TEST_SECRET"] = "hidden"
        self.addCleanup(os.environ.pop, "BERTH_TEST_SECRET")
        done = agent.berth("run", "--no-code", "--env", "MINE=a b", "--env", "TZ", "--experiment", "clean", "--",
                           "env", environment={"BERTH_TEST_SECRET": "hidden"})
        job = agent.job("@last")
        found = dict(line.split("=", 1) for line in done.out.splitlines())
        self.assertNotIn("BERTH_TEST_SECRET", found)
        self.assertNotIn("BERTH_SOCKET", found)
        self.assertEqual(found["MINE"], "a b")
        self.assertEqual(found["TZ"], "UTC")
        self.assertEqual(found["BERTH_JOB_ID"], job["id"])
        self.assertEqual(found["AZUREML_RUN_ID"], job["id"])
        self.assertEqual(found["AZUREML_EXPERIMENT_NAME"], "clean")
        self.assertEqual(found["BERTH_ATTEMPT"], "1")
        self.assertEqual(found["CUDA_VISIBLE_DEVICES"], "")

    def test_the_job_gets_no_descriptor_and_no_input(self):
        agent = self.start_agent()
        done = agent.berth("run", "--no-code", "--", "sh", "-c", "ls -l /proc/self/fd; cat", stdin=-3)
        numbers = {line.split(" -> ")[0].split()[-1] for line in done.out.splitlines() if "->" in line}
        self.assertLessEqual(numbers, {"0", "1", "2", "3"})  # 3: ls looks at the directory
        self.assertIn("0 -> /dev/null", done.out)


class CancelTest(BerthTest):
    config = "cpus: 1\nmax_parallel: 1"

    def assert_canceled(self, agent, job, ran=False):
        ended = agent.wait(job)
        self.assertEqual((ended["state"], ended["exit_code"], ended["ending"]["kind"]), ("Canceled", 130, "canceled"))
        self.assertEqual(ended["ending"]["by"], ended["user"])
        self.assertEqual(bool(ended["attempts"]), ran)
        self.assertEqual(processes.of_job(job), [])
        return ended

    def test_held(self):
        agent = self.start_agent()
        job = agent.berth("submit", "--hold", "--no-code", "--", "true").out.strip()
        agent.berth("cancel", job)
        self.assert_canceled(agent, job)

    def test_queued(self):
        agent = self.start_agent()
        running = agent.submit("sleep", "300")
        queued, other = agent.sh("echo ran"), agent.sh("echo ran")
        self.assertEqual(agent.job(queued)["state"], "Queued")
        agent.berth("cancel", queued, other)
        self.assert_canceled(agent, queued)
        self.assert_canceled(agent, other)
        self.assertEqual(agent.log_of(queued), b"")
        self.assertEqual(agent.job(running)["state"], "Running")

    def test_preparing(self):
        agent = self.start_agent()
        slow = self.place / "slow-python"
        slow.write_text("#!/bin/sh\nsleep 2\nexec " + PYTHON + ' "$@"\n')
        slow.chmod(0o755)
        job = agent.submit("true", environment={"kind": "user_managed", "python": str(slow)})
        self.assertEqual(agent.job(job)["state"], "Preparing")
        self.assertIn("prepared", agent.job(job)["waiting"])
        agent.cancel(job)
        self.assert_canceled(agent, job)

    def test_running_politely(self):
        agent = self.start_agent()
        job = agent.sh("trap 'echo told; exit 5' TERM; echo up; while :; do sleep 0.05; done")
        eventually(lambda: agent.log_of(job) == b"up\n", "the job runs")
        agent.berth("cancel", job)
        self.assert_canceled(agent, job, ran=True)
        self.assertEqual(agent.log_of(job), b"up\ntold\n")

    def test_running_with_a_signal_of_its_own(self):
        agent = self.start_agent()
        job = agent.berth("submit", "--no-code", "--stop-signal", "INT", "--grace", "20s", "--", "sh", "-c",
                          "trap 'echo interrupted; exit 0' INT; echo up; while :; do sleep 0.05; done").out.strip()
        eventually(lambda: agent.log_of(job) == b"up\n", "the job runs")
        agent.cancel(job)
        self.assert_canceled(agent, job, ran=True)
        self.assertEqual(agent.log_of(job), b"up\ninterrupted\n")

    def test_running_and_stubborn(self):
        agent = self.start_agent()
        job = agent.sh(STUBBORN, stop={"signal": 15, "grace_ms": 700})
        agent.running_pid(job, "sleep 301")
        begin = time.monotonic()
        state = agent.cancel(job)["state"]
        self.assertEqual(state, "CancelRequested")
        self.assert_canceled(agent, job, ran=True)
        self.assertGreater(time.monotonic() - begin, 0.6)

    def test_twice_and_when_all_is_over(self):
        agent = self.start_agent()
        job = agent.sh(STUBBORN, stop={"signal": 15, "grace_ms": 500})
        agent.running_pid(job, "sleep 301")
        agent.berth("cancel", job)
        agent.berth("cancel", job)
        first = self.assert_canceled(agent, job, ran=True)
        agent.berth("cancel", job)
        self.assertEqual(agent.job(job), first)
        completed = agent.submit("true")
        agent.wait(completed)
        self.assertEqual(agent.cancel(completed)["state"], "Completed")

    def test_finalizing(self):
        agent = self.start_agent()
        job = agent.sh("mkdir results; head -c 60000000 /dev/urandom > results/big", outputs=["results"])
        agent.wait_state(job, "Finalizing", "Completed")
        agent.cancel(job)  # its command has ended: what it was is recorded, and at most the collecting is ended
        ended = agent.wait(job)
        self.assertEqual((ended["state"], ended["exit_code"]), ("Completed", 0))
        attempt = ended["attempts"][0]
        if not attempt["outputs"]:
            self.assertIn("canceled by", attempt["outputs_left_out"]["first"][0]["why"])

    def test_at_any_instant_of_its_start(self):
        agent = self.start_agent()
        for pause in range(0, 40, 2):
            job = agent.submit("sleep", "300")
            time.sleep(pause / 1000)
            agent.cancel(job)
            self.assertEqual(agent.wait(job)["state"], "Canceled")
            self.assertEqual(processes.of_job(job), [])
        self.assertEqual(agent.wait(agent.submit("true"))["state"], "Completed")


class RetryTest(BerthTest):
    config = "cpus: 8\nmax_parallel: 8"

    def endings(self, job):
        return [attempt["ending"]["kind"] for attempt in job["attempts"]]

    def test_failed(self):
        agent = self.start_agent()
        done = agent.berth("run", "--no-code", "--retry", "2", "--", "sh", "-c",
                           "echo $BERTH_ATTEMPT; [ $BERTH_ATTEMPT = 3 ]")
        self.assertEqual(done.out, "1\n2\n3\n")
        job = agent.job("@last")
        self.assertEqual((job["state"], self.endings(job)), ("Completed", ["exited"] * 3))
        self.assertEqual([attempt["number"] for attempt in job["attempts"]], [1, 2, 3])
        self.assertEqual(agent.log_of(job["id"], attempt=2), b"2\n")

    def test_failed_more_often_than_allowed(self):
        agent = self.start_agent()
        job = agent.wait(agent.sh("kill -KILL $$", retries={"failed": 1}))
        self.assertEqual((job["state"], self.endings(job)), ("Failed", ["signalled"] * 2))
        self.assertEqual(job["exit_code"], 137)

    def test_each_cause_counts_for_itself(self):
        agent = self.start_agent()
        job = agent.wait(agent.sh("if [ $BERTH_ATTEMPT = 1 ]; then sleep 60; fi; exit 1", timeout_ms=300,
                                  stop={"signal": 9, "grace_ms": 0}, retries={"timed_out": 1, "failed": 1}))
        self.assertEqual((job["state"], self.endings(job)), ("Failed", ["timed_out", "exited", "exited"]))
        job = agent.wait(agent.sh("exit 1", retries={"timed_out": 3, "lost": 3}))
        self.assertEqual(self.endings(job), ["exited"])

    def test_start_failed(self):
        agent = self.start_agent()
        job = agent.wait(agent.submit("no-such-program", retries={"start_failed": 2}))
        self.assertEqual((job["state"], self.endings(job)), ("Failed", ["start_failed"] * 3))

    def test_environment_failed(self):
        agent = self.start_agent()
        python = self.place / "appearing-python"
        # Answers from the third time it is asked.
        python.write_text(f'#!/bin/sh\necho >> {self.place}/asked\n'
                          f'[ "$(wc -l < {self.place}/asked)" -lt 3 ] && exit 1\nexec {PYTHON} "$@"\n')
        python.chmod(0o755)
        environment = {"kind": "user_managed", "python": str(python)}
        job = agent.wait(agent.submit("true", environment=environment, retries={"environment_failed": 3}))
        self.assertEqual(job["state"], "Completed", job["ending_words"])
        self.assertEqual(self.endings(job)[:2], ["environment_failed"] * 2)

    def test_a_canceled_job_is_not_retried(self):
        agent = self.start_agent()
        job = agent.sh("sleep 60", retries={"failed": 5, "lost": 5, "timed_out": 5})
        agent.running_pid(job, "sleep")
        agent.cancel(job)
        self.assertEqual(self.endings(agent.wait(job)), ["canceled"])

    def test_retry_by_hand(self):
        agent = self.start_agent()
        job = agent.sh("echo $BERTH_ATTEMPT; [ -e fixed ]")
        self.assertEqual(agent.wait(job)["state"], "Failed")
        (self.place / "work/fixed").touch()
        agent.berth("retry", job)
        ended = agent.wait(job)
        self.assertEqual((ended["state"], self.endings(ended)), ("Completed", ["exited"] * 2))
        self.assertEqual(agent.log_of(job), b"2\n")
        running = agent.submit("sleep", "300")
        self.refuses(409, "conflict", agent.act, running, "retry")


class NamingTest(BerthTest):
    config = "cpus: 8\nmax_parallel: 8"

    def test_a_job_is_named_by_its_id_a_prefix_or_last(self):
        agent = self.start_agent()
        jobs = [agent.submit("true", held=True) for _ in range(30)]
        self.assertEqual(agent.job("@last")["id"], jobs[-1])
        self.assertEqual(agent.job(jobs[3])["id"], jobs[3])
        unique = next(jobs[5][:n] for n in range(1, 40)
                      if sum(job.startswith(jobs[5][:n]) for job in [*jobs, *self.all_ids(agent)]) <= 2)
        self.assertEqual(agent.berth_json("show", unique)["id"], jobs[5])
        letters = [job[0] for job in jobs]
        common = next(letter for letter in letters if letters.count(letter) > 1)
        error = self.refuses(409, "conflict", agent.job, common)
        self.assertIn("ambiguous", error["message"])
        said = agent.berth("show", common, expect=2).err
        self.assertTrue(any(job in said for job in jobs if job.startswith(common)), said)
        self.assertIn("no-such-job", agent.berth("show", "no-such-job", expect=2).err)
        agent.berth("cancel", *jobs)

    @staticmethod
    def all_ids(agent):
        return [job["id"] for job in agent.jobs()]

    def test_without_any_job(self):
        agent = self.new_agent().start()
        self.assertIn("no last job", agent.berth("show", "@last", expect=2).err)
        self.assertEqual(agent.berth_json("ps", "-a")["jobs"], [])

    def test_a_repeated_submission_is_the_same_job(self):
        agent = self.start_agent()
        request = agent.request_for("sh", "-c", "echo x >> ran")
        first = agent.submit_request(request)
        again = agent.submit_request(request)
        self.assertEqual((first["known"], again["known"]), (False, True))
        self.assertEqual(first["id"], again["id"])
        agent.wait(first["id"])
        agent.restart()
        self.assertEqual(agent.submit_request(request)["id"], first["id"])
        self.refuses(409, "conflict", agent.submit_request, {**request, "command": ["other"]})
        self.assertEqual((self.place / "work/ran").read_text(), "x\n")

    def test_a_batch_is_one_step(self):
        agent = self.start_agent()
        requests = [agent.request_for("true", held=True) for _ in range(50)]
        jobs = agent.post("/v1/jobs", {"jobs": requests})["jobs"]
        self.assertEqual([job["sequence"] for job in jobs],
                         list(range(jobs[0]["sequence"], jobs[0]["sequence"] + 50)))
        before = len(agent.jobs())
        requests = [agent.request_for("true"), agent.request_for("true", priority=99999)]
        self.refuses(400, "invalid", agent.post, "/v1/jobs", {"jobs": requests})
        self.assertEqual(len(agent.jobs()), before)
        for job in jobs:
            agent.cancel(job["id"])


class ShowTest(BerthTest):
    config = "cpus: 8\nmax_parallel: 8"

    def test_what_was_asked_for_is_shown(self):
        agent = self.start_agent()
        job = agent.berth("submit", "--no-code", "--hold", "--name", "my run", "--experiment", "digits", "--tag", "a=1",
                          "--tag", "b=x=y", "--env", "K=V", "--cpus", "2", "--memory", "512MiB", "--gpus", "0",
                          "--priority", "7", "--timeout", "2h", "--retry", "lost=2", "--log-cap", "10MiB", "--",
                          "python3", "-c", "print(1)").out.strip()
        shown = agent.berth_json("show", job)
        self.assertEqual(shown["name"], "my run")
        self.assertEqual(shown["experiment"], "digits")
        self.assertEqual(shown["tags"], {"a": "1", "b": "x=y"})
        self.assertEqual(shown["environment_variables"], {"K": "V"})
        self.assertEqual(shown["resources"], {"cpu_milli": 2000, "memory_bytes": 512 << 20, "gpus": 0, "slots": 1})
        self.assertEqual((shown["priority"], shown["timeout_ms"], shown["retries"]), (7, 7_200_000, {"lost": 2}))
        self.assertEqual((shown["log_cap_bytes"], shown["held"]), (10 << 20, True))
        self.assertEqual(shown["working_directory"], str(self.place / "work"))
        self.assertEqual(shown["command"], ["python3", "-c", "print(1)"])
        told = agent.berth("show", job).out
        for word in ("my run", "digits", "a=1", "python3 -c 'print(1)'", "held"):
            self.assertIn(word, told)

    def test_keys_are_stable(self):
        agent = self.start_agent()
        for script, fields in (("exit 1", {}), ("kill -9 $$", {}), ("sleep 9", {"timeout_ms": 100})):
            agent.wait(agent.sh(script, **fields))
        agent.wait(agent.submit("no-such-program"))
        held = agent.submit("true", held=True)
        agent.cancel(held)
        waiting = agent.submit("true", held=True)
        for job in agent.records():
            self.assertEqual(set(job), JOB_KEYS | ({"waiting"} if job["id"] == waiting else set()))
            for attempt in job["attempts"]:
                self.assertEqual(set(attempt), ATTEMPT_KEYS)
            if job["ending"]:
                self.assertEqual(set(job["ending"]), ENDING_KEYS[job["ending"]["kind"]])
        self.assertEqual(set(agent.berth_json("show", waiting)), JOB_KEYS | {"waiting"})
        self.assertEqual(set(agent.berth_json("ps", "-a")), {"jobs", "next"})
        self.assertEqual(set(agent.berth_json("ps", "-a")["jobs"][-1]), LISTED_KEYS | {"waiting"})
        self.assertEqual(set(agent.berth_json("submit", "--hold", "--no-code", "--", "true")),
                         {"id", "known", "sequence", "state"})
        self.assertEqual(set(agent.berth_json("cancel", waiting)), JOB_KEYS)
        failure = json.loads(agent.berth("show", "no-such-job", "--json", expect=2).err)
        self.assertEqual(failure["error"]["code"], "not_found")

    def test_ps_lists_the_live_ones_and_with_a_all(self):
        agent = self.start_agent()
        ended = agent.submit("true", name="finished one")
        agent.wait(ended)
        live = agent.submit("sleep", "300", name="live one")
        agent.wait_state(live, "Running")
        few = agent.berth("ps").out
        self.assertIn(live, few)
        self.assertNotIn(ended, few)
        self.assertIn("Running", few)
        everything = agent.berth("ps", "-a").out
        self.assertIn(ended, everything)
        self.assertIn("Completed", everything)
        self.assertNotIn("\x1b", everything)  # no colour into a pipe
        ids = [job["id"] for job in agent.jobs(limit=1)]
        self.assertEqual(ids, [live])
        older = agent.jobs(before=agent.job(live)["sequence"], limit=1)
        self.assertEqual([job["id"] for job in older], [ended])

    def test_help_is_there_for_every_verb(self):
        agent = self.start_agent()
        self.assertIn("Usage", agent.berth("--help").out)
        for verb in ("run", "submit", "ps", "show", "logs", "cancel", "wait", "retry", "hold", "release", "priority",
                     "download", "status", "drain", "resume", "gc"):
            self.assertIn(f"berth {verb}", agent.berth(verb, "--help").out)
        self.assertIn("submit", agent.berth("sumbit", expect=2).err)


class RunTest(BerthTest):
    """`berth run` and the signals it gets."""
    config = "cpus: 8"

    def run_in_background(self, agent, **options):
        command = harness.family.popen(
            [str(harness.BIN / "berth"), "run", "--no-code", "--", "sh", "-c", "echo up; sleep 300"], stdout=-1,
            env=agent.cli_environment(TERM="dumb"), cwd=self.place / "work", **options)
        self.assertEqual(command.stdout.readline(), b"up\n")
        return command

    def end_of(self, command):
        output, errors = command.communicate(timeout=PATIENCE)
        return command.returncode, (errors or b"").decode()

    def test_interrupts_without_a_terminal_cancel(self):
        agent = self.start_agent()
        for number in (signal.SIGINT, signal.SIGTERM):
            command = self.run_in_background(agent, stderr=-1, stdin=-3)
            command.send_signal(number)
            code, errors = self.end_of(command)
            self.assertEqual(code, 130, errors)
            self.assertEqual(agent.wait("@last")["state"], "Canceled")

    def test_a_terminal_that_goes_away_detaches(self):
        agent = self.start_agent()
        command = self.run_in_background(agent, stderr=-1, stdin=-3)
        command.send_signal(signal.SIGHUP)
        code, errors = self.end_of(command)
        self.assertEqual(code, 0)
        self.assertIn(agent.job("@last")["id"], errors)
        self.assertEqual(agent.job("@last")["state"], "Running")

    def test_a_killed_command_line_leaves_the_job_alone(self):
        agent = self.start_agent()
        command = self.run_in_background(agent, stderr=-1, stdin=-3)
        command.kill()
        self.end_of(command)
        self.assertEqual(agent.job("@last")["state"], "Running")

    def at_a_terminal(self, agent):
        """(the terminal's other end, the command that has it)."""
        ours, theirs = os.openpty()
        command = self.run_in_background(agent, stdin=theirs, stderr=theirs, start_new_session=True,
                                         preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)
        self.addCleanup(os.close, ours)
        return ours, command

    def read_until(self, terminal, word):
        seen = b""
        while word not in seen:
            ready, _, _ = select.select([terminal], [], [], PATIENCE)
            self.assertTrue(ready, f"{word} has not come: {seen}")
            seen += os.read(terminal, 4096)
        return seen

    def test_control_c_asks_once_whether_to_detach(self):
        agent = self.start_agent()
        terminal, command = self.at_a_terminal(agent)
        os.write(terminal, b"\x03")
        self.read_until(terminal, b"etach")
        os.write(terminal, b"d\n")
        self.assertEqual(self.end_of(command)[0], 0)
        self.assertEqual(agent.job("@last")["state"], "Running")

    def test_control_c_asks_once_whether_to_cancel(self):
        agent = self.start_agent()
        for answer in (b"c\n", b"\x03"):  # a second one is an answer as well
            terminal, command = self.at_a_terminal(agent)
            os.write(terminal, b"\x03")
            self.read_until(terminal, b"ollow")
            os.write(terminal, answer)
            self.assertEqual(self.end_of(command)[0], 130)
            self.assertEqual(agent.wait("@last")["state"], "Canceled")

    def test_no_agent(self):
        agent = self.new_agent()
        said = agent.berth("run", "--no-code", "--", "true", expect=125).err
        self.assertIn(agent.socket_path, said)
        self.assertIn("berthd", said)

    def test_socket_option(self):
        agent = self.start_agent()
        status = agent.berth_json("status", "--socket", agent.socket_path, environment={"BERTH_SOCKET": "/nowhere"})
        self.assertEqual(status["pid"], agent.pid)


if __name__ == "__main__":
    harness.main()
