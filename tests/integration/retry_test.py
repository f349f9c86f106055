"""Attempts: which endings are followed by another one, how often, and by hand."""

import harness
from harness import PYTHON, BerthTest


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


if __name__ == "__main__":
    harness.main()
