"""An agent of one's own, as somebody has it who types: started in the background, killed, started again."""

import fcntl
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "packaging"))

from harness import BIN, BerthTest, eventually, family, main
from terminal import Terminal


class OwnAgentTest(BerthTest):
    def test_a_command_waits_for_an_agent_that_is_starting(self):
        agent = self.new_agent()
        agent.state.mkdir()
        with open(agent.state / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # as one does that was just killed; the next waits for it
            agent.spawn()
            asking = family.popen([str(BIN / "berth"), "ps"], env=agent.cli_environment(), cwd=self.place)
            time.sleep(0.5)
            self.assertIsNone(asking.poll(), "it waits")
        self.assertEqual(asking.wait(30), 0)

    def test_where_none_is_starting_that_is_said_at_once(self):
        other = self.start_agent("other")  # is no agent of that socket
        absent = self.new_agent()
        begin = time.monotonic()
        done = absent.berth("ps", expect=125)
        self.assertLess(time.monotonic() - begin, 2)
        self.assertIn(f"no agent listens on {absent.socket_path}", done.err)
        self.assertIn(f"berthd --user --state {absent.state}", done.err)
        self.assertTrue(other.is_running())

    def terminal(self):
        terminal = Terminal([], {"HOME": str(self.place / "home"), "PATH": f"{BIN}:/usr/bin:/bin", "LANG": "C.UTF-8"},
                            self.place / "work")
        self.addCleanup(terminal.close)
        return terminal

    def test_in_the_background_it_keeps_the_terminal_quiet(self):
        terminal = self.terminal()
        state = self.place / "home/.local/state/berth"
        started = terminal.run("berthd --user &", 30)
        self.assertRegex(started, r"^\[1\] \d+\n$")
        self.assertIn("(your own agent", terminal.run("berth status", 30))
        self.assertEqual(terminal.run("berth run -- echo well", 30).splitlines()[-1], "well")
        ended = terminal.run("kill %1; wait", 30)
        self.assertNotIn("agent stop", ended)
        told = (state / "berthd.log").read_text()
        for event in ("agent ready", "job submitted", "agent stopped; jobs run on"):
            self.assertIn(event, told)

    def test_a_failure_to_start_is_told_there(self):
        terminal = self.terminal()
        self.assertIn("no-such.yaml", terminal.run("berthd --user --config no-such.yaml & wait", 30))

    def test_in_the_foreground_it_tells_what_it_does(self):
        terminal = self.terminal()
        # Job control gives the terminal to what it runs in the foreground; SIGINT comes from there, too.
        terminal.type("berthd --user\n")
        eventually(lambda: os.path.exists(self.place / "home/.local/state/berth/berth.sock"), "it serves")
        terminal.type("\x03")
        shown = terminal.until_prompt(30)
        self.assertIn("info agent ready socket=", shown)
        self.assertFalse((self.place / "home/.local/state/berth/berthd.log").exists())


if __name__ == "__main__":
    main()
