"""The wall clock jumps: no duration is negative, nothing is reordered, nothing waits for the clock to come back."""

import json
import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import harness
from harness import BerthTest

SHIFT = Path(os.environ.get("BERTH_TEST_LIB", harness.BIN.parent / "lib")) / "clock_shift.so"
HOUR = 3600


class ClockTest(BerthTest):
    config = "cpus: 4\nmax_parallel: 4"

    def start_shifted(self):
        self.assertTrue(SHIFT.exists(), f"{SHIFT} has not been built")
        self.turn(0)
        return self.start_agent(environment={"LD_PRELOAD": str(SHIFT), "BERTH_CLOCK_SHIFT": str(self.place / "shift")})

    def turn(self, seconds):
        """The agent's clock from now on; the supervisors' stays."""
        (self.place / "shift.new").write_text(str(seconds))
        (self.place / "shift.new").rename(self.place / "shift")

    def assert_shift_works(self, agent, seconds):
        job = agent.job(agent.submit("true", held=True))
        submitted = datetime.fromisoformat(job["submitted"].replace("Z", "+00:00"))
        off = submitted - datetime.now(timezone.utc)
        self.assertAlmostEqual(off.total_seconds(), seconds, delta=60)
        agent.cancel(job["id"])

    def test_the_agents_clock_jumps_back(self):
        agent = self.start_shifted()
        running = agent.sh("while [ ! -e go ]; do sleep 0.05; done", timeout_ms=60_000)
        early = agent.submit("true", held=True)
        agent.wait_state(running, "Running")
        self.turn(-10 * HOUR)
        self.assert_shift_works(agent, -10 * HOUR)
        late = agent.submit("true", held=True)
        ids = [job["id"] for job in agent.jobs()]
        self.assertLess(ids.index(early), ids.index(late))
        self.assertLess(agent.job(early)["sequence"], agent.job(late)["sequence"])
        self.assertEqual(agent.job("@last")["id"], late)
        (self.place / "work/go").touch()
        ended = agent.wait(running)
        self.assertEqual(ended["state"], "Completed")
        self.assertGreater(ended["duration_ms"], 0)
        self.assertLess(ended["duration_ms"], 60_000)
        for verb in (("ps", "-a"), ("show", running), ("show", late), ("status",)):
            self.assertNotRegex(agent.berth(*verb).out, r"(?<!\w)-\d")
        self.assertGreaterEqual(agent.berth_json("status")["uptime_ms"], 0)
        self.assertEqual(agent.wait(agent.submit("true"))["state"], "Completed")

    def test_the_agents_clock_jumps_ahead(self):
        agent = self.start_shifted()
        running = agent.sh("sleep 0.7; exit 4", timeout_ms=60_000)
        agent.wait_state(running, "Running")
        self.turn(100 * 24 * HOUR)
        self.assert_shift_works(agent, 100 * 24 * HOUR)
        ended = agent.wait(running)
        self.assertEqual(ended["exit_code"], 4)  # not a time-out
        self.assertLess(ended["duration_ms"], 60_000)

    def test_waiting_is_measured_without_the_wall_clock(self):
        agent = self.start_shifted()
        job = agent.submit("sleep", "300")
        agent.wait_state(job, "Running")
        for shift in (-HOUR, HOUR, 0):
            self.turn(shift)
            begin = time.monotonic()
            agent.get(f"/v1/jobs/{job}/wait", timeout_ms=300)
            self.assertLess(abs(time.monotonic() - begin - 0.3), 1)
        agent.sh("true")

    def test_a_start_in_the_future(self):
        """The supervisor's clock was turned back between the job's start and its end, and the agent was restarted."""
        agent = self.start_agent()
        job = agent.sh("while [ ! -e go ]; do sleep 0.05; done; echo late")
        agent.started_record(job)
        agent.stop()
        path = agent.launch_directory(job) / "started.json"
        started = json.loads(path.read_text())
        future = datetime.now(timezone.utc) + timedelta(hours=5)
        started["time"] = future.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        path.write_text(json.dumps(started))
        agent.start()
        shown = agent.berth("ps").out + agent.berth("show", job).out
        self.assertNotRegex(shown, r"(?<!\w)-\d")
        (self.place / "work/go").touch()
        ended = agent.wait(job)
        self.assertGreaterEqual(ended["duration_ms"], 0)
        self.assertLess(ended["duration_ms"], 60_000)
        self.assertEqual(agent.berth("logs", "--timestamps", job).out.split()[-1], "late")


if __name__ == "__main__":
    harness.main()
