"""Events: each step of each job once, in order, over restarts and crashes of the agent."""

import json
import random
import re
import threading
import time

from follow_test import Command
from harness import PATIENCE, BerthTest, eventually


class EventsTest(BerthTest):
    config = "cpus: 8\nmax_parallel: 8"

    def all_events(self, agent):
        events, after = [], 0
        while page := (answer := agent.get("/v1/events", after=after, limit=1000, timeout_ms=0))["events"]:
            self.assertEqual(answer["missing"], [])
            events, after = events + page, answer["next"]
        return events

    def steps(self, agent, job):
        return [event["what"] for event in self.all_events(agent) if event["job"] == job]

    def newest(self, agent):
        return agent.get("/v1/events", limit=1)["next"]

    def test_each_step_of_a_life_is_told_with_who_asked_for_it(self):
        agent = self.start_agent()
        job = agent.sh("exit 3", held=True, retries={"failed": 1})
        agent.act(job, "priority", {"priority": 4})
        agent.act(job, "priority", {"priority": 4})  # changes nothing
        agent.act(job, "release")
        self.assertEqual(agent.wait(job)["exit_code"], 3)
        agent.act(job, "retry")
        agent.wait(job)
        self.assertEqual(self.steps(agent, job), [
            "submitted", "priority_changed", "released", "started", "requeued", "started", "ended", "retried", "started", "ended"])
        me = agent.job(job)["user"]
        events = [event for event in self.all_events(agent) if event["job"] == job]
        self.assertEqual([event["by"] for event in events], [me, me, me, None, None, None, None, me, None, None])
        self.assertEqual([event["attempt"] for event in events], [0, 0, 0, 1, 1, 2, 2, 2, 3, 3])
        self.assertEqual(events[1]["priority"], 4)
        self.assertEqual(events[4]["words"], "attempt 1 ended: exited with code 3; another will follow")
        self.assertEqual([event["state"] for event in events[-2:]], ["Running", "Failed"])
        self.assertEqual(events[-1]["ending"], {"kind": "exited", "code": 3})
        times = [event["time"] for event in self.all_events(agent)]
        self.assertEqual(times, sorted(times))

    def test_preparation_and_the_collecting_of_outputs_are_steps(self):
        agent = self.start_agent()
        code = self.directory("code", main_sh="mkdir -p outputs; echo 1 > outputs/file")
        agent.berth("run", "--", "sh", "main.sh", cwd=code)
        job = agent.get("/v1/jobs/@last")["id"]
        self.assertEqual(self.steps(agent, job), ["submitted", "queued", "started", "attempt_ended", "ended"])

    def test_a_waiting_job_that_is_canceled_is_told_as_such(self):
        agent = self.start_agent()
        waiting = agent.submit("true", held=True)
        agent.cancel(waiting)
        running = agent.submit("sleep", "300")
        agent.wait_state(running, "Running")
        agent.cancel(running)
        agent.wait(running)
        self.assertEqual(self.steps(agent, waiting), ["submitted", "ended"])
        self.assertEqual(self.steps(agent, running), ["submitted", "started", "cancel_requested", "ended"])
        last = self.all_events(agent)[-1]
        self.assertEqual(last["words"], f"Canceled: was canceled by {agent.job(running)['user']}")

    def test_no_event_has_a_command_a_variable_or_a_reason(self):
        agent = self.start_agent()
        failed = agent.submit("/hidden/command", "hidden", environment_variables={"HIDDEN": "hidden"}, tags={"hidden": "x"})
        agent.wait(failed)
        self.assertIn("hidden", agent.job(failed)["ending_words"])
        self.assertEqual(self.steps(agent, failed)[-1], "ended")
        self.assertNotIn("hidden", json.dumps(self.all_events(agent)).lower())

    def test_a_reader_waits_for_the_next_event_and_not_for_ever(self):
        agent = self.start_agent()
        after = self.newest(agent)
        begun = time.monotonic()
        answer = agent.get("/v1/events", after=after, timeout_ms=300)
        self.assertGreater(time.monotonic() - begun, 0.25)
        self.assertEqual(answer, {"events": [], "missing": [], "next": after})
        got = []
        reader = threading.Thread(target=lambda: got.append((agent.get("/v1/events", after=after), time.monotonic())))
        agent.connected(reader.start)
        told = time.monotonic()
        job = agent.submit("true", held=True)
        reader.join(PATIENCE)
        answer, arrived = got[0]
        self.assertEqual([(event["job"], event["what"]) for event in answer["events"]], [(job, "submitted")])
        self.assertLess(arrived - told, 1)
        self.assertEqual(agent.get("/v1/events", after=after, mine=True)["events"], answer["events"])

    def test_what_makes_no_sense_is_refused(self):
        agent = self.start_agent()
        after = self.newest(agent)
        for query in ({"after": after + 1}, {"after": "x"}, {"limit": 0}, {"limit": 1001}, {"after": 0, "timeout_ms": 60001}):
            with self.subTest(query):
                self.refuses(400, "invalid", agent.get, "/v1/events", **query)
        self.assertIn("has been no event", agent.berth("events", "--after", after + 1, expect=2).err)

    def test_the_agent_stops_while_readers_wait(self):
        agent = self.start_agent()
        reader = agent.connected(lambda: Command(agent, "events", "-f"))
        begun = time.monotonic()
        agent.restart()
        self.assertLess(time.monotonic() - begun, 5)
        reader.process.kill()
        reader.end()

    def follow(self, agent):
        follower = Command(agent, "--json", "events", "-f", "--after", "0")
        eventually(lambda: b"\n" in follower.output() or agent.get("/v1/events")["next"] == 0, "the follower follows")
        return follower

    def followed(self, agent, follower):
        """What the follower got, once it got all."""
        newest = self.newest(agent)

        def complete():
            lines = follower.output().splitlines()
            return lines and json.loads(lines[-1])["sequence"] >= newest
        eventually(complete, f"the follower has event {newest}")
        follower.process.kill()
        code, output, errors = follower.end()
        return [json.loads(line) for line in output.splitlines()], errors

    def check_against_jobs(self, agent, events):
        """The events alone give the states of all jobs, and each was submitted once."""
        self.assertEqual(events, self.all_events(agent))
        sequences = [event["sequence"] for event in events]
        self.assertEqual(sequences, list(range(1, len(events) + 1)))
        states = {event["job"]: event["state"] for event in events}
        jobs = agent.jobs(limit=10000)
        self.assertEqual(states, {job["id"]: job["state"] for job in jobs})
        for job in jobs:
            whats = [event["what"] for event in events if event["job"] == job["id"]]
            self.assertEqual(whats.count("submitted"), 1, whats)
            self.assertEqual(whats.count("ended"), 1 + whats.count("retried"), whats)
            self.assertEqual(whats.count("started"), job["attempt"], whats)

    def test_a_follower_gets_each_event_once_over_restarts_of_the_agent(self):
        agent = self.start_agent()
        follower = self.follow(agent)
        quick = [agent.sh("exit 1") for _ in range(5)]
        slow = agent.submit("sleep", "300")
        agent.wait_state(slow, "Running")
        for job in quick:
            agent.wait(job)
        agent.restart()
        for job in quick[:2]:
            agent.act(job, "retry")
        agent.cancel(slow)
        agent.wait(slow)
        agent.restart()
        for job in quick:
            agent.wait(job)
        events, errors = self.followed(agent, follower)
        self.check_against_jobs(agent, events)
        self.assertIn("the agent is back", errors)

    def test_a_follower_gets_each_event_once_however_often_the_agent_is_killed(self):
        agent = self.start_agent()
        follower = self.follow(agent)
        chance = random.Random(5)
        for _ in range(6):
            jobs = [agent.sh("sleep 0.2", retries={"lost": 2}) for _ in range(10)]
            for job in chance.sample(jobs, 3):
                agent.cancel(job)
            time.sleep(chance.uniform(0, 0.4))
            agent.kill()
            agent.start()
        for job in agent.jobs():
            agent.wait(job["id"])
        events, _ = self.followed(agent, follower)
        self.check_against_jobs(agent, events)

    def test_lines_for_people(self):
        agent = self.start_agent()
        job = agent.submit("true")
        me = agent.wait(job)["user"]
        lines = agent.berth("events", "-n", "3").out.splitlines()
        when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  "
        for line, what in zip(lines, (f"submitted, by {me}", "attempt 1 started", "Completed: exited with code 0"), strict=True):
            self.assertRegex(line, f"^{when}{job} +{re.escape(what)}$")
        self.assertEqual(agent.berth("events", "--after", self.newest(agent) - 1).out, lines[-1] + "\n")
        agent.berth("events", "--after", "0", "-n", "3", expect=2)


if __name__ == "__main__":
    import harness
    harness.main()
