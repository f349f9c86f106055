"""What of jobs is shown, and that the keys of it stay."""

import json

import harness
from harness import BerthTest

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


if __name__ == "__main__":
    harness.main()
