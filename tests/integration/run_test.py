"""`berth run` and the signals it gets, with and without a terminal."""

import fcntl
import os
import select
import signal
import termios

import harness
from harness import PATIENCE, BerthTest


class RunTest(BerthTest):
    config = "cpus: 8"

    def run_in_background(self, agent, **options):
        command = harness.family.popen(
            [str(harness.BIN / "berth"), "run", "--no-code", "--", "sh", "-c", "echo up; sleep 300"], stdout=-1,
            env=agent.cli_environment(TERM="dumb"), cwd=self.place / "work", **options)
        self.assertEqual(command.stdout.readline(), b"up\n")
        return command

    def end_of(self, command):
        output, errors = command.communicate(timeout=PATIENCE)
        return command.returncode, (errors or b"").decode()

    def test_interrupts_without_a_terminal_cancel(self):
        agent = self.start_agent()
        for number in (signal.SIGINT, signal.SIGTERM):
            command = self.run_in_background(agent, stderr=-1, stdin=-3)
            command.send_signal(number)
            code, errors = self.end_of(command)
            self.assertEqual(code, 130, errors)
            self.assertEqual(agent.wait("@last")["state"], "Canceled")

    def test_a_terminal_that_goes_away_detaches(self):
        agent = self.start_agent()
        command = self.run_in_background(agent, stderr=-1, stdin=-3)
        command.send_signal(signal.SIGHUP)
        code, errors = self.end_of(command)
        self.assertEqual(code, 0)
        self.assertIn(agent.job("@last")["id"], errors)
        self.assertEqual(agent.job("@last")["state"], "Running")

    def test_a_killed_command_line_leaves_the_job_alone(self):
        agent = self.start_agent()
        command = self.run_in_background(agent, stderr=-1, stdin=-3)
        command.kill()
        self.end_of(command)
        self.assertEqual(agent.job("@last")["state"], "Running")

    def at_a_terminal(self, agent):
        """(the terminal's other end, the command that has it)."""
        ours, theirs = os.openpty()
        command = self.run_in_background(agent, stdin=theirs, stderr=theirs, start_new_session=True,
                                         preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)
        self.addCleanup(os.close, ours)
        return ours, command

    def read_until(self, terminal, word):
        seen = b""
        while word not in seen:
            ready, _, _ = select.select([terminal], [], [], PATIENCE)
            self.assertTrue(ready, f"{word} has not come: {seen}")
            seen += os.read(terminal, 4096)
        return seen

    def test_control_c_asks_once_whether_to_detach(self):
        agent = self.start_agent()
        terminal, command = self.at_a_terminal(agent)
        os.write(terminal, b"\x03")
        self.read_until(terminal, b"etach")
        os.write(terminal, b"d\n")
        self.assertEqual(self.end_of(command)[0], 0)
        self.assertEqual(agent.job("@last")["state"], "Running")

    def test_control_c_asks_once_whether_to_cancel(self):
        agent = self.start_agent()
        for answer in (b"c\n", b"\x03"):  # a second one is an answer as well
            terminal, command = self.at_a_terminal(agent)
            os.write(terminal, b"\x03")
            self.read_until(terminal, b"ollow")
            os.write(terminal, answer)
            self.assertEqual(self.end_of(command)[0], 130)
            self.assertEqual(agent.wait("@last")["state"], "Canceled")

    def test_no_agent(self):
        agent = self.new_agent()
        said = agent.berth("run", "--no-code", "--", "true", expect=125).err
        self.assertIn(agent.socket_path, said)
        self.assertIn("berthd", said)

    def test_socket_option(self):
        agent = self.start_agent()
        status = agent.berth_json("status", "--socket", agent.socket_path, environment={"BERTH_SOCKET": "/nowhere"})
        self.assertEqual(status["pid"], agent.pid)


if __name__ == "__main__":
    harness.main()
