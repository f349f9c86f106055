"""SIGHUP: what of a configuration can change is taken while everything runs on, and of a wrong one nothing."""

import json
import signal

from harness import BerthTest, eventually, main


class ReloadTest(BerthTest):
    def reload(self, agent, config, event):
        """The entry of the log that tells what became of it."""
        agent.configure(config)
        before = len(agent.log())
        agent.process.send_signal(signal.SIGHUP)

        def told():
            entries = [json.loads(line) for line in agent.log()[before:].splitlines() if line.startswith("{")]
            return next((entry for entry in entries if entry["event"] == event), None)
        return eventually(told, f"the agent says '{event}'")

    def test_a_change_is_taken_while_jobs_run(self):
        agent = self.start_agent(config="max_parallel: 1\nstop_grace: 7s")
        first, second = agent.sh("sleep 1000"), agent.sh("sleep 1000")
        agent.wait_state(first, "Running")
        self.assertEqual(agent.job(second)["state"], "Queued")
        told = self.reload(agent, "max_parallel: 2\nstop_grace: 8s", "configuration taken")
        self.assertEqual(told["changed"], "max_parallel, stop_grace")
        agent.wait_state(second, "Running")
        third = agent.sh("true")
        self.assertEqual(agent.job(third)["stop"]["grace_ms"], 8000)
        self.assertEqual(agent.get("/v1/status")["capacity"]["slots"], 2)
        self.assertEqual(agent.job(first)["state"], "Running")

    def test_less_room_ends_nothing_and_starts_no_more(self):
        agent = self.start_agent(config="max_parallel: 2")
        running = [agent.sh("sleep 1000"), agent.sh("sleep 1000")]
        for job in running:
            agent.wait_state(job, "Running")
        self.reload(agent, "max_parallel: 1", "configuration taken")
        waiting = agent.sh("true")
        agent.cancel(running[0])
        agent.wait(running[0])
        self.assertEqual(agent.job(waiting)["state"], "Queued")
        self.assertEqual(agent.job(running[1])["state"], "Running")
        agent.cancel(running[1])
        self.assertEqual(agent.wait(waiting)["state"], "Completed")

    def test_jobs_that_are_too_large_now_wait_and_say_so(self):
        agent = self.start_agent(config="max_parallel: 1\ncpus: 2")
        first = agent.sh("sleep 1000")
        agent.wait_state(first, "Running")
        large, small = agent.sh("true", resources={"cpu_milli": 2000}), agent.sh("true")
        told = self.reload(agent, "max_parallel: 1\ncpus: 1", "waiting jobs ask for more than this node has")
        self.assertEqual(told["jobs"], 1)
        agent.cancel(first)
        agent.wait(small)
        self.assertEqual(agent.job(large)["waiting"], "asks for 2 CPUs, this node has 1 CPU")
        self.reload(agent, "max_parallel: 1\ncpus: 2", "configuration taken")
        agent.wait(large)

    def test_what_needs_a_restart_is_named(self):
        agent = self.start_agent()
        told = self.reload(agent, "gpu_sample: 7s\nbuilds_at_once: 3\nlog_cap: 2MiB",
                           "a restart is needed for what else has changed")
        self.assertEqual(told["keys"], "builds_at_once, gpu_sample")

    def test_nothing_of_a_wrong_file_is_taken(self):
        agent = self.start_agent(config="max_parallel: 1")
        agent.sh("sleep 1000")
        second = agent.sh("true")
        told = self.reload(agent, "max_parallel: 2\nlog_cpa: 1GiB", "the configuration is wrong, and the one from before stays")
        self.assertIn(f"{agent.config}:2: unknown key 'log_cpa'", told["error"])
        self.assertEqual(agent.get("/v1/status")["capacity"]["slots"], 1)
        self.assertEqual(agent.job(second)["state"], "Queued")
        self.reload(agent, "max_parallel: 2", "configuration taken")
        agent.wait(second)

    def test_the_same_file_changes_nothing(self):
        agent = self.start_agent(config="max_parallel: 1")
        self.reload(agent, "max_parallel: 1", "configuration is as it was")


if __name__ == "__main__":
    main()
