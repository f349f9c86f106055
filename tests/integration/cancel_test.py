"""A job is canceled in each of its states, and nothing of it runs on."""

import time

import harness
import processes
from harness import PYTHON, BerthTest, eventually
from processes import STUBBORN


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


if __name__ == "__main__":
    harness.main()
