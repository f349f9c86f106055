"""Being stopped: whoever asks, a job learns why and has its grace, and its record tells it."""

import time

import harness
from harness import BerthTest, eventually

# Saves its work when it is asked to stop, as a training script would; a second start goes on from there.
TRAINS = """
if [ -e {place}/checkpoint ]; then echo resumed; exit 0; fi
trap 'cat "$BERTH_STOP_REASON"; echo saved > {place}/checkpoint; exit 0' TERM
echo ready
while :; do sleep 0.02; done
"""


class StopTest(BerthTest):
    def training(self, agent, **fields):
        job = agent.sh(TRAINS.format(place=self.place), **fields)
        eventually(lambda: agent.log_of(job) == b"ready\n", "it trains")
        return job

    def stopped(self, agent, job, reason, grace=10):
        ended = agent.wait(job)
        self.assertEqual(agent.log_of(job).decode(), f"ready\n{reason}\n{grace}\n")
        self.assertEqual((self.place / "checkpoint").read_text(), "saved\n")
        return ended

    def test_a_canceled_job_reads_that_it_is_canceled(self):
        agent = self.start_agent()
        job = self.training(agent)
        agent.cancel(job)
        self.assertEqual(self.stopped(agent, job, "canceled")["ending"]["kind"], "canceled")

    def test_the_time_limit_is_a_reason_too(self):
        agent = self.start_agent()
        job = self.training(agent, timeout_ms=700, stop={"signal": 15, "grace_ms": 3000})
        self.assertEqual(self.stopped(agent, job, "timed_out", 3)["ending"]["kind"], "timed_out")

    def test_the_nodes_grace_is_for_those_who_ask_for_none(self):
        agent = self.start_agent(config="stop_grace: 33s")
        job = self.training(agent)
        self.assertEqual(agent.job(job)["stop"], {"signal": 15, "grace_ms": 33_000})
        agent.cancel(job)
        self.stopped(agent, job, "canceled", 33)

    def test_drain_stop_ends_running_jobs_and_keeps_the_rest(self):
        agent = self.start_agent(config="max_parallel: 1")
        job = self.training(agent)
        waiting = agent.sh("echo later")
        agent.berth("drain", "--stop")
        self.assertEqual(agent.job(job)["state"], "Failed")
        ended = self.stopped(agent, job, "drain")
        self.assertEqual((ended["ending"], ended["exit_code"]), ({"kind": "preempted", "cause": "drain"}, 125))
        self.assertIn("drained", ended["ending_words"])
        self.assertEqual(agent.job(waiting)["state"], "Queued")
        agent.berth("resume")
        self.assertEqual(agent.wait(waiting)["state"], "Completed")

    def test_a_preempted_job_goes_on_where_its_policy_asks(self):
        agent = self.start_agent()
        job = self.training(agent, retries={"preempted": 1})
        agent.berth("drain", "--stop")
        self.assertEqual(agent.job(job)["state"], "Queued")
        agent.restart()
        self.assertEqual(agent.job(job)["state"], "Queued")
        agent.berth("resume")
        ended = agent.wait(job)
        self.assertEqual((ended["state"], len(ended["attempts"])), ("Completed", 2))
        self.assertEqual(ended["attempts"][0]["ending"]["kind"], "preempted")
        self.assertEqual(agent.log_of(job), b"resumed\n")

    def test_a_job_that_ignores_the_signal_is_killed_after_its_grace(self):
        agent = self.start_agent()
        job = agent.sh("trap '' TERM; echo ready; while :; do sleep 0.02; done", stop={"signal": 15, "grace_ms": 300})
        eventually(lambda: agent.log_of(job) == b"ready\n", "it runs")
        began = time.monotonic()
        agent.berth("drain", "--stop")
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual(agent.job(job)["ending"]["kind"], "preempted")


class IdleTest(BerthTest):
    def config_for(self, after):
        self.mark = self.place / "idle"
        return f"idle_after: {after}\non_idle: [/bin/sh, -c, 'echo idle >> {self.mark}']"

    def times(self):
        return self.mark.read_text().count("idle") if self.mark.exists() else 0

    def test_the_command_runs_once_each_time_the_node_becomes_idle(self):
        agent = self.start_agent(config=self.config_for("300ms"))
        eventually(lambda: self.times() == 1, "it is idle after its start")
        job = agent.sh("sleep 0.1")
        agent.wait(job)
        eventually(lambda: self.times() == 2, "it is idle again")
        time.sleep(1)  # three times as long: that it does not run again has no other sign
        self.assertEqual(self.times(), 2)

    def test_a_running_job_keeps_it_from_being_idle_and_a_held_one_does_not(self):
        agent = self.start_agent(config=self.config_for("400ms"))
        job = agent.sh("sleep 300")
        time.sleep(1)  # longer than it takes to be idle
        self.assertEqual(self.times(), 0)
        agent.sh("true", held=True)
        agent.cancel(job)
        agent.wait(job)
        eventually(lambda: self.times() == 1, "only a held job is left")

    def test_a_command_that_fails_is_told(self):
        agent = self.start_agent(config="idle_after: 100ms\non_idle: [/bin/sh, -c, 'echo no >&2; exit 3']")
        eventually(lambda: "on_idle failed" in agent.log(), "the log tells")
        self.assertIn('"status":3', agent.log())
        self.assertEqual(agent.wait(agent.sh("true"))["state"], "Completed")


class LimitsTest(BerthTest):
    def test_a_job_has_a_temporary_directory_of_its_own_that_goes_with_it(self):
        agent = self.start_agent()
        job = agent.sh('echo $TMPDIR; touch $TMPDIR/a; stat -c %a $TMPDIR; readlink -f $TMPDIR')
        self.assertEqual(agent.wait(job)["state"], "Completed")
        path, mode, real = agent.log_of(job).decode().split()
        self.assertEqual((mode, real), ("700", path))
        eventually(lambda: not harness.os.path.exists(path), "it is gone")

    def test_limits_are_on_record_and_defaults_are_the_nodes(self):
        agent = self.start_agent(config="default_memory: 1GiB\ndefault_pids: 500\nmemory: 8GiB")
        job = agent.wait(agent.sh("true"))
        self.assertEqual(job["limits"], {"cpus": False, "pids": 500, "tmp_bytes": None, "network": True})
        self.assertEqual(job["resources"]["memory_bytes"], 1 << 30)
        asked = agent.berth("submit", "--no-code", "--pids", "77", "--cpus", "0.5", "--memory", "64M", "--", "true").out.strip()
        job = agent.wait(asked)
        self.assertEqual(job["limits"], {"cpus": True, "pids": 77, "tmp_bytes": None, "network": True})
        self.assertEqual(job["resources"]["memory_bytes"], 64 << 20)
        self.assertIn("77 processes and threads", agent.berth("show", asked).out)


if __name__ == "__main__":
    harness.main()
