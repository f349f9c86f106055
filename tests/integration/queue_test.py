"""Which job runs when, and what is said to those that wait."""

import time

import harness
from harness import BerthTest, eventually


class OrderTest(BerthTest):
    config = "cpus: 1\nmax_parallel: 1"

    def blocker(self, agent):
        """A job that holds the whole node until its file appears."""
        job = agent.sh("while [ ! -e go ]; do sleep 0.02; done")
        agent.wait_state(job, "Running")
        return job

    def let_go(self):
        (self.place / "work/go").touch()

    def recording(self, agent, name, **fields):
        return agent.sh(f"echo {name} >> order", **fields)

    def order(self, agent, jobs):
        for job in jobs:
            agent.wait(job)
        return (self.place / "work/order").read_text().split()

    def test_by_priority_then_by_submission(self):
        agent = self.start_agent()
        self.blocker(agent)
        jobs = [self.recording(agent, "c"), self.recording(agent, "a", priority=5), self.recording(agent, "d"),
                self.recording(agent, "b", priority=5), self.recording(agent, "e", priority=-1)]
        raised = self.recording(agent, "first")
        agent.berth("priority", raised, "10")
        self.assertEqual(agent.job(raised)["priority"], 10)
        self.let_go()
        self.assertEqual(self.order(agent, [*jobs, raised]), ["first", "a", "b", "c", "d", "e"])

    def test_priority_survives_a_restart(self):
        agent = self.start_agent()
        agent.berth("drain")
        jobs = [self.recording(agent, name) for name in "ab"]
        agent.act(jobs[1], "priority", {"priority": 3})
        agent.restart()
        self.assertTrue(agent.get("/v1/status")["drained"])
        agent.berth("resume")
        self.assertEqual(self.order(agent, jobs), ["b", "a"])

    def test_held_jobs_are_passed(self):
        agent = self.start_agent()
        self.blocker(agent)
        held, other = self.recording(agent, "held"), self.recording(agent, "other")
        agent.berth("hold", held)
        self.let_go()
        agent.wait(other)
        shown = agent.job(held)
        self.assertEqual((shown["state"], shown["held"]), ("Queued", True))
        self.assertIn("held", shown["waiting"])
        self.assertIn(held, shown["waiting"])
        agent.berth("release", held)
        self.assertEqual(self.order(agent, [held]), ["other", "held"])
        self.refuses(409, "conflict", agent.act, held, "hold")
        agent.berth("priority", held, "3", expect=2)

    def test_drained_nodes_start_nothing(self):
        agent = self.start_agent()
        agent.berth("drain")
        job = agent.sh("echo ran")
        time.sleep(0.2)  # in which it might start, of which there is no other sign
        shown = agent.job(job)
        self.assertEqual(shown["state"], "Queued")
        self.assertIn("drained", shown["waiting"])
        self.assertTrue(agent.berth_json("status")["drained"])
        agent.berth("resume")
        self.assertEqual(agent.wait(job)["state"], "Completed")

    def test_draining_leaves_running_jobs_alone(self):
        agent = self.start_agent()
        running = self.blocker(agent)
        agent.berth("drain")
        self.let_go()
        self.assertEqual(agent.wait(running)["state"], "Completed")

    def test_why_a_job_waits(self):
        agent = self.start_agent()
        running = self.blocker(agent)
        second, third = agent.sh("true"), agent.sh("true")
        waiting = agent.job(second)["waiting"]
        self.assertIn("1 CPU", waiting)
        self.assertIn(running, waiting)
        self.assertIn("1 job is ahead", agent.job(third)["waiting"])
        self.assertIn(waiting, agent.berth("show", second).out)
        self.assertNotIn("waiting", agent.job(running))
        self.let_go()

    def test_what_can_never_run_is_refused(self):
        agent = self.start_agent()
        for fields in ({"cpu_milli": 5000}, {"gpus": 1}, {"slots": 2}, {"memory_bytes": 1 << 60}):
            error = self.refuses(400, "invalid", agent.submit, "true", resources=fields)
            self.assertIn("this node has", error["message"])
        said = agent.berth("submit", "--no-code", "--gpus", "1", "--", "true", expect=2).err
        self.assertIn("1 GPU", said)


class ParallelTest(BerthTest):
    config = "cpus: 4\nmemory: 4GiB\nmax_parallel: 3\nbackfill_patience: 1s"

    def test_max_parallel_is_kept(self):
        agent = self.start_agent()
        script = "mkdir running/$BERTH_JOB_ID; ls running | wc -l; sleep 0.15; rmdir running/$BERTH_JOB_ID"
        (self.place / "work/running").mkdir()
        jobs = [agent.sh(script) for _ in range(12)]
        for job in jobs:
            self.assertEqual(agent.wait(job)["state"], "Completed")
        together = [int(agent.log_of(job)) for job in jobs]
        self.assertEqual(max(together), 3)

    def test_resources_are_never_handed_out_twice(self):
        agent = self.start_agent()
        big = {"cpu_milli": 2500, "memory_bytes": 1 << 30}
        jobs = [agent.sh("sleep 300", resources=big) for _ in range(2)]
        agent.wait_state(jobs[0], "Running")
        self.assertEqual(agent.job(jobs[1])["state"], "Queued")
        status = agent.berth_json("status")
        self.assertEqual((status["in_use"]["cpu_milli"], status["in_use"]["memory_bytes"]), (2500, 1 << 30))
        self.assertEqual(status["capacity"]["slots"], 3)
        agent.restart()
        self.assertEqual(agent.get("/v1/status")["in_use"], status["in_use"])
        self.assertEqual(agent.job(jobs[1])["state"], "Queued")
        agent.cancel(jobs[0])
        agent.wait_state(jobs[1], "Running")

    def test_small_jobs_pass_a_big_one_but_not_for_ever(self):
        agent = self.start_agent()
        half = agent.sh("while [ ! -e go ]; do sleep 0.02; done", resources={"cpu_milli": 3000})
        agent.wait_state(half, "Running")
        whole = agent.sh("true", resources={"cpu_milli": 4000})
        small = agent.sh("true", resources={"cpu_milli": 500})
        self.assertEqual(agent.wait(small)["state"], "Completed")  # it passed
        self.assertEqual(agent.job(whole)["state"], "Queued")
        time.sleep(1.2)  # longer than the patience
        late = agent.sh("true", resources={"cpu_milli": 500})
        time.sleep(0.3)  # in which it might start
        shown = agent.job(late)
        self.assertEqual(shown["state"], "Queued")
        self.assertIn("reserved for " + whole, shown["waiting"])
        (self.place / "work/go").touch()
        self.assertEqual(agent.wait(whole)["state"], "Completed")
        self.assertEqual(agent.wait(late)["state"], "Completed")
        self.assertLessEqual(agent.job(whole)["started"], agent.job(late)["started"])

    def test_preparation_holds_nothing(self):
        agent = self.start_agent()
        slow = self.place / "slow-python"
        slow.write_text(f'#!/bin/sh\nsleep 1\nexec {harness.PYTHON} "$@"\n')
        slow.chmod(0o755)
        preparing = agent.submit("true", environment={"kind": "user_managed", "python": str(slow)},
                                 resources={"cpu_milli": 4000})
        other = agent.sh("true", resources={"cpu_milli": 4000})
        self.assertEqual(agent.wait(other)["state"], "Completed")
        self.assertEqual(agent.job(preparing)["state"], "Preparing")
        self.assertEqual(agent.wait(preparing)["state"], "Completed")

    def test_many_wait_and_all_run(self):
        agent = self.start_agent()
        requests = [agent.request_for("true") for _ in range(200)]
        jobs = [job["id"] for job in agent.post("/v1/jobs", {"jobs": requests})["jobs"]]
        eventually(lambda: not agent.jobs(all=False), "all have ended", 90, pause=0.2)
        states = {job["id"]: job["state"] for job in agent.jobs()}
        self.assertEqual({states[job] for job in jobs}, {"Completed"})


if __name__ == "__main__":
    harness.main()
