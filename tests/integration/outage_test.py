"""What a node lacks for a moment is not the jobs' failure: they wait, say what for, and go on when it is back.

A real Docker engine that is stopped and started, and a registry that only it reaches."""

import time

import harness
from engine_case import LONG, EngineTest
from harness import eventually

ENGINE = "waits for the container engine: "


class OutageTest(EngineTest):
    registries = True

    def submit(self, agent, script, *options, **more):
        return super().submit(agent, script, "--no-code", *options, **more)

    def waiting(self, agent, job):
        return agent.job(job).get("waiting") or ""

    def await_waiting(self, agent, job, words):
        eventually(lambda: words in self.waiting(agent, job), f"{job} {words}", LONG)

    def away(self, how="SIGTERM"):
        """The engine is, until the test starts it again; and at the test's end it is there."""
        self.engine.shut_down(how)
        self.is_away = True
        self.addCleanup(self.back)

    def back(self):
        if self.is_away:
            self.is_away = False
            self.engine.start_again()

    def completed_at_once(self, agent, jobs):
        """At the first attempt, that is."""
        for job in jobs:
            self.assertEqual(len(self.completed(agent, job)["attempts"]), 1)

    # --- the engine

    def test_jobs_submitted_while_the_engine_is_away_wait_for_it(self):
        agent = self.image_agent()
        self.away()
        jobs = [self.submit(agent, "true", "--retry", "image_failed=1") for _ in range(30)]
        for job in (jobs[0], jobs[-1]):
            self.await_waiting(agent, job, ENGINE)
        self.assertIn(ENGINE, agent.berth("show", jobs[0]).out)
        self.assertRegex(self.waiting(agent, jobs[0]), r"since 20\d\d-.*, for \d.* so far, and for 1 hour at most")
        agent.wait(agent.sh("true"))  # nobody else waits
        canceled = jobs.pop()
        agent.cancel(canceled)
        self.assertEqual(agent.wait(canceled)["state"], "Canceled")
        agent.restart()  # and with the next agent it is the same
        self.await_waiting(agent, jobs[0], ENGINE)
        self.back()
        self.completed_at_once(agent, jobs)

    def test_queued_jobs_give_their_slots_back_and_start_when_the_engine_is_there(self):
        agent = self.image_agent(parallel=1)
        blocker = agent.sh("sleep 1000")
        agent.wait_state(blocker, "Running")
        jobs = [self.submit(agent, "true", "--retry", "start_failed=1") for _ in range(30)]
        for job in jobs:
            agent.wait_state(job, "Queued", patience=LONG)
        self.away()
        agent.cancel(blocker)
        for job in jobs:
            self.await_waiting(agent, job, ENGINE)
        self.assertEqual(agent.job(jobs[0])["state"], "Queued")
        self.assertEqual(agent.wait(agent.sh("true"))["state"], "Completed")  # the only slot is free
        canceled = jobs.pop()
        agent.cancel(canceled)
        self.assertEqual(agent.wait(canceled)["state"], "Canceled")
        self.back()
        self.completed_at_once(agent, jobs)

    def test_what_the_engines_stop_does_to_a_running_job_is_told_as_that(self):
        agent = self.image_agent()
        job = self.submit(agent, "echo up; sleep 1000")
        self.await_log(agent, job, "up")
        self.away()
        ended = agent.wait(job, LONG)
        self.assertEqual((ended["ending"]["kind"], ended["ending"]["cause"]), ("lost", "engine_stopped"), ended)
        self.assertIn("the container engine stopped", ended["ending_words"])
        self.back()
        eventually(lambda: self.containers(agent) == [], "what is left of it is gone, without a restart of the agent", LONG)

    def test_what_is_left_in_an_engine_that_crashed_goes_when_it_is_back(self):
        agent = self.image_agent()
        job = self.submit(agent, "echo up; while [ ! -e $HOME/go ]; do sleep 0.05; done")
        self.await_log(agent, job, "up")
        self.away("SIGKILL")  # the container goes on
        (agent.launch_directory(job) / "tmp/go").touch()
        self.assertEqual(agent.wait(job, LONG)["state"], "Completed")
        self.back()
        eventually(lambda: self.containers(agent) == [], "it is gone", LONG)
        eventually(lambda: list((agent.state / "containers").iterdir()) == [], "and nothing is on record", LONG)

    def test_patience_ends(self):
        agent = self.image_agent("outage_patience: 1s")
        self.away()
        job = self.submit(agent, "true", "--retry", "image_failed=1")
        ended = agent.wait(job, LONG)
        self.assertEqual(ended["ending"]["kind"], "image_failed", ended)
        self.assertEqual(len(ended["attempts"]), 2, ended)

    # --- a registry

    def test_a_registry_that_is_away(self):
        agent = self.image_agent()
        self.engine.stop_registry("plain")
        try:
            job = self.submit(agent, "test -s /one", image=self.engine.name_of("plain", "layers:1"))
            self.await_waiting(agent, job, "waits for the registry: ")
            time.sleep(1)  # in which it might end, of which there is no other sign
            self.assertEqual(agent.job(job)["state"], "Preparing")
        finally:
            self.engine.start_registry("plain")
        self.completed(agent, job)


if __name__ == "__main__":
    harness.main()
