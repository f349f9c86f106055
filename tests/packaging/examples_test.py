"""The examples do what they say."""

import json
import re
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import harness
from harness import PYTHON, ROOT, BerthTest, eventually


class CheckpointTest(BerthTest):
    def submit(self, agent, checkpoints, *more):
        return agent.berth("submit", "--python", PYTHON, *more, "--", "train.py", "--checkpoints", checkpoints,
                           cwd=ROOT / "packaging/examples/checkpoint").out.strip()

    def log_until(self, agent, job, pattern):
        return eventually(lambda: re.search(pattern, agent.berth("logs", job).out), f"{job} says {pattern}")

    def test_a_canceled_training_saves_and_the_next_goes_on(self):
        agent = self.start_agent()
        checkpoints = self.place / "checkpoints"
        first = self.submit(agent, checkpoints, "--grace", "60s")
        self.log_until(agent, first, r"step 3\n")
        agent.berth("cancel", first)
        self.assertEqual(agent.wait(first)["state"], "Canceled")
        said = self.log_until(agent, first, r"saved step (\d+), because it is to stop: canceled, (\d+) s left")
        self.assertEqual(json.loads((checkpoints / "last.json").read_text())["step"], int(said[1]))
        self.assertEqual(said[2], "60")
        second = self.submit(agent, checkpoints)
        self.log_until(agent, second, rf"begins with step {int(said[1]) + 1} of 600")


if __name__ == "__main__":
    harness.main()
