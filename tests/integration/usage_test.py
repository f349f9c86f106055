"""What running jobs use, over the API."""

import time

from harness import BerthTest, eventually, main

BURN = "while :; do :; done"
HOG = "import time; block = bytearray(64 << 20); print('ready', flush=True); time.sleep(1000)"


class UsageTest(BerthTest):
    def use_of(self, agent, job):
        return next((each for each in agent.get("/v1/usage")["jobs"] if each["id"] == job), None)

    def rate(self, agent, job):
        """CPU in percent of one core, from two answers."""
        first = agent.get("/v1/usage")
        time.sleep(0.5)  # what is measured, not waited for
        second = agent.get("/v1/usage")
        cpu = [next(each["cpu_us"] for each in answer["jobs"] if each["id"] == job) for answer in (first, second)]
        return 100 * (cpu[1] - cpu[0]) / (second["monotonic_us"] - first["monotonic_us"])

    def test_two_answers_tell_which_job_is_busy(self):
        agent = self.start_agent()
        busy, idle = agent.sh(BURN), agent.sh("sleep 1000")
        for job in (busy, idle):
            eventually(lambda: self.use_of(agent, job), f"{job} is in the answer")
        self.assertGreater(self.rate(agent, busy), 20)
        self.assertLess(self.rate(agent, idle), 5)
        machine = agent.get("/v1/usage")["machine"]
        self.assertGreater(machine["memory_bytes"], machine["memory_available_bytes"])
        self.assertGreaterEqual(machine["cpus"], 1)

    def test_memory_processes_and_log_are_told(self):
        agent = self.start_agent()
        job = agent.submit("/usr/bin/python3", "-c", HOG)
        eventually(lambda: b"ready\n" in agent.log_of(job), "the job has its memory")
        use = self.use_of(agent, job)
        self.assertGreater(use["memory_bytes"], 60 << 20)
        self.assertLess(use["memory_bytes"], 1 << 30)
        self.assertGreaterEqual(use["memory_peak_bytes"], use["memory_bytes"])
        self.assertNotIn("memory_limit_bytes", use)
        self.assertEqual(use["processes"], 1)
        self.assertEqual(use["log_bytes"], len("ready\n"))
        self.assertEqual(use["launch"], 1)
        self.assertGreater(use["cpu_us"], 0)
        agent.restart()
        self.assertEqual(eventually(lambda: self.use_of(agent, job), "an adopted job is told too")["processes"], 1)
        self.assertIn("started", agent.job(job)["attempts"][-1])
        agent.cancel(job)
        agent.wait(job)
        self.assertIsNone(self.use_of(agent, job))

    def test_waiting_jobs_are_not_there(self):
        agent = self.start_agent()
        job = agent.sh("true", held=True)
        self.assertEqual(agent.get("/v1/usage")["jobs"], [])
        agent.cancel(job)


class QueueOrderTest(BerthTest):
    config = "max_parallel: 1"

    def order(self, agent, **query):
        return [job["id"] for job in agent.get("/v1/jobs", order="queue", **query)["jobs"]]

    def test_the_live_jobs_are_listed_as_the_queue_has_them(self):
        agent = self.start_agent()
        running = agent.sh("sleep 1000")
        agent.wait_state(running, "Running")
        plain, urgent, held = agent.sh("true"), agent.sh("true", priority=5), agent.sh("true", held=True)
        self.assertEqual(self.order(agent), [running, urgent, plain, held])
        self.assertEqual(self.order(agent, limit=2), [running, urgent])
        self.assertIn("waiting", agent.get("/v1/jobs", order="queue")["jobs"][1])
        self.refuses(400, "invalid", agent.get, "/v1/jobs", order="random")
        self.refuses(400, "invalid", agent.get, "/v1/jobs", order="queue", all=1)
        for job in (held, plain, urgent, running):
            agent.cancel(job)


if __name__ == "__main__":
    main()
