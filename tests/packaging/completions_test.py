"""bash, zsh and fish complete verbs, options, files and the jobs of a running agent."""

import os
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import harness
import shells
from harness import BIN, BerthTest


class CompletionTest(BerthTest):
    def setUp(self):
        super().setUp()
        self.agent = self.start_agent()
        work = self.directory("work", data_csv="", train_py="")
        (work / "checkpoints").mkdir()
        self.running = self.agent.submit("sleep", "300", name="the long one")
        self.agent.wait_state(self.running, "Running")
        self.held = self.agent.submit("true", held=True)

    def environment(self, **more):
        path = f"{BIN}:{os.environ['PATH']}"
        return {**self.agent.cli_environment(), "PATH": path, "HOME": str(self.place / "home"), **more}


    def make_environment(self):
        """Its digest."""
        (self.place / "work/requirements.txt").touch()
        return self.agent.berth("env", "build", "--requirements", self.place / "work/requirements.txt").out.strip()


class AtTerminal:
    """What Tab makes of a line, the same for bash and zsh."""

    shell = None

    def setUp(self):
        if shells.missing(self.shell.program):
            self.skipTest(f"{self.shell.program} is not installed: `packaging/setup test` does it")
        super().setUp()

    def completed(self, **environment):
        shell = self.shell(self.environment(**environment), self.place / "work")
        self.addCleanup(shell.close)
        return shell.line_after_tab

    def test_verbs_options_and_values(self):
        completed = self.completed()
        self.assertEqual(completed("berth canc"), "berth cancel ")
        self.assertEqual(completed("berth run --gpus"), "berth run --gpus ")
        self.assertEqual(completed("berth run --retry lo"), "berth run --retry lost=")
        self.assertEqual(completed("berth run --retry=lo"), "berth run --retry=lost=")
        self.assertEqual(completed("berth logs @l"), "berth logs @last ")

    def test_jobs_of_the_live_agent(self):
        completed = self.completed()
        self.assertEqual(completed(f"berth cancel {self.running[:-2]}"), f"berth cancel {self.running} ")
        self.assertEqual(completed("berth release "), f"berth release {self.held} ")
        self.assertEqual(completed("berth retry @"), "berth retry @last ")  # after all there are jobs

    def test_environments_of_the_live_agent(self):
        digest = self.make_environment()
        completed = self.completed()
        for action in ("show", "log", "lock", "export", "rm"):
            self.assertEqual(completed(f"berth env {action} {digest[:3]}"), f"berth env {action} {digest[:12]} ")
        self.assertEqual(completed(f"berth env show {digest[:15]}"), f"berth env show {digest[:15]} ")
        self.assertEqual(completed(f"berth env ls {digest[:3]}"), f"berth env ls {digest[:3]}")
        self.assertEqual(completed("berth env exp"), "berth env export ")
        self.assertEqual(completed("berth run --env-lock train"), "berth run --env-lock train.py ")

    def test_files_directories_and_commands(self):
        completed = self.completed()
        self.assertEqual(completed("berth run --python tra"), "berth run --python train.py ")
        self.assertEqual(completed("berth run --code "), "berth run --code checkpoints/")
        self.assertEqual(completed("berth run --code=che"), "berth run --code=checkpoints/")
        self.assertEqual(completed("berth run berthd"), "berth run berthd ")
        self.assertEqual(completed("berth run cat dat"), "berth run cat data.csv ")

    def test_without_an_agent_it_is_silent_and_quick(self):
        completed = self.completed(BERTH_SOCKET="/nonexistent/berth.sock")
        begin = time.monotonic()
        self.assertEqual(completed("berth cancel bra"), "berth cancel bra")
        self.assertLess(time.monotonic() - begin, 2)
        self.assertEqual(completed("berth canc"), "berth cancel ")


class BashTest(AtTerminal, CompletionTest):
    shell = shells.Bash


class ZshTest(AtTerminal, CompletionTest):
    shell = shells.Zsh


@unittest.skipIf(shells.missing("fish"), "fish is not installed: `packaging/setup test` does it")
class FishTest(CompletionTest):
    def completions(self, line, **environment):
        return shells.fish_completions(line, self.environment(**environment), self.place / "work")

    def test_verbs_options_and_values(self):
        self.assertEqual(self.completions("berth canc"), {"cancel": "stop jobs"})
        self.assertEqual(self.completions("berth run --gpus"), {"--gpus": "GPUs (default 0)"})
        self.assertEqual(set(self.completions("berth run --retry lo")), {"lost="})
        self.assertEqual(set(self.completions("berth logs @l")), {"@last"})

    def test_jobs_of_the_live_agent(self):
        offered = self.completions("berth cancel ")
        self.assertIn("the long one", offered[self.running])
        self.assertIn(self.held, offered)
        self.assertEqual(set(self.completions("berth release ")), {self.held})

    def test_environments_of_the_live_agent(self):
        digest = self.make_environment()
        self.assertIn("environment", self.completions("berth env show ")[digest[:12]])
        self.assertEqual(set(self.completions(f"berth env rm {digest[:5]}")), {digest[:12]})
        self.assertIn("train.py", self.completions("berth run --env-lock tra"))

    def test_files_directories_and_commands(self):
        self.assertIn("train.py", self.completions("berth run --python tra"))
        self.assertEqual(set(self.completions("berth run --code ch")), {"checkpoints/"})
        self.assertIn("berth-shim", self.completions("berth run berth-sh"))
        self.assertIn("data.csv", self.completions("berth run cat dat"))

    def test_without_an_agent_it_is_silent(self):
        self.assertEqual(self.completions("berth cancel ", BERTH_SOCKET="/nonexistent/berth.sock"), {})


class TimeLimitTest(BerthTest):
    def test_an_agent_that_hangs_keeps_nobody_waiting(self):
        import socket
        path = str(self.place / "mute.sock")
        with socket.socket(socket.AF_UNIX) as mute:
            mute.bind(path)
            mute.listen()
            begin = time.monotonic()
            done = harness.family.run([str(BIN / "berth"), "__complete", "cancel", "--socket", path, ""], 20)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
        self.assertLess(time.monotonic() - begin, 3)


if __name__ == "__main__":
    harness.main()
