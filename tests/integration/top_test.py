"""`berth top` in a real terminal: tmux sends the keys and reads the screen."""

import grp
import os
import pwd
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from harness import BIN, BerthTest, eventually, main

TMUX = next((path for path in ("/usr/bin/tmux", "/usr/local/bin/tmux") if os.path.exists(path)), None)
SHELL = "env PS1='prompt> ' bash --norc --noprofile -i"  # a plain prompt behind which the program is started and must leave a sane terminal


class Screen:
    """One terminal with a shell in it, in a tmux server of its own."""

    def __init__(self, place, environment, columns=80, rows=24):
        self.socket = str(place / "tmux.sock")
        self.environment = {**environment, "TERM": "screen"}
        self.tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), SHELL)
        self.tmux("set-option", "-g", "status", "off")

    def tmux(self, *arguments):
        done = subprocess.run([TMUX, "-u", "-S", self.socket, "-f", "/dev/null", *arguments], capture_output=True, timeout=20,
                              env=self.environment)
        return done.stdout.decode(errors="replace")

    def close(self):
        self.tmux("kill-server")
        eventually(lambda: not self.tmux("list-sessions"), "tmux has ended")

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def run(self, line):
        self.tmux("send-keys", "-l", line)
        self.tmux("send-keys", "Enter")

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def text(self, escapes=False):
        return self.tmux("capture-pane", "-p", *(["-e"] if escapes else []))

    def lines(self):
        return self.text().rstrip("\n").split("\n")

    def shows(self, *words):
        def there():
            text = self.text()
            return all(word in text for word in words) and text
        try:
            return eventually(there, f"the screen shows {words}", pause=0.05)
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{self.text()}") from None

    def shows_no(self, *words):
        eventually(lambda: not any(word in self.text() for word in words), f"the screen shows none of {words}", pause=0.05)

    def child(self):
        """The pid of the program that runs in the shell."""
        shell = int(self.tmux("list-panes", "-F", "#{pane_pid}"))
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(children[0]) if children else None

    def is_sane(self):
        """The shell has its terminal back: it echoes, and the cursor is seen."""
        self.run("stty -a | grep -o ' echo ' && echo sane$((6*7))")
        if "Sanitizer" in self.shows("sane42", " echo"):
            raise AssertionError(self.text())
        return self.tmux("display-message", "-p", "#{cursor_flag} #{alternate_on}").strip() == "1 0"


@unittest.skipUnless(TMUX, "there is no tmux")
class TopTest(BerthTest):
    config = "max_parallel: 1"

    def open(self, agent, program="berth top", **options):
        environment = agent.cli_environment(PATH=f"{BIN}:/usr/bin:/bin", LANG="C.UTF-8")
        environment.update(options.pop("environment", {}))
        screen = Screen(self.place, environment, **options)
        self.screen = screen
        self.addCleanup(screen.close)
        screen.shows("prompt>")
        screen.run(program)
        return screen

    def dismantle(self):
        if getattr(self, "screen", None):
            self.screen.close()

    def busy_agent(self):
        """An agent whose only slot is taken, and a job that waits for it."""
        agent = self.start_agent()
        first = agent.sh("echo hello from the job; sleep 1000", name="first one")
        agent.running_pid(first)
        second = agent.sh("true", name="second one")
        return agent, first, second

    def test_shows_what_runs_what_waits_and_the_log(self):
        agent, first, second = self.busy_agent()
        screen = self.open(agent, "berth top; echo code=$?")
        text = screen.shows("1 running, 1 queued", "slots 1/1", "RUNNING", first, "first one", "WAITING", second, "second one",
                            "hello from the job", f"log of {first}")
        self.assertRegex(text, r"CPU \S+ of \d+|CPU \d+")
        self.assertRegex(screen.shows("%"), rf"{first} +[\d.]+% +[\d.]+[KMG]")
        self.assertTrue(all(len(line) <= 80 for line in screen.lines()))
        screen.type("q")
        screen.shows("code=0", "prompt>")
        self.assertTrue(screen.is_sane())

    def test_cancel_asks_and_a_held_job_is_released(self):
        agent, first, second = self.busy_agent()
        screen = self.open(agent)
        screen.shows(second)
        screen.type("j")
        screen.shows(f"log of {second}", "it has not started yet")
        screen.type("h")
        screen.shows(f"{second}: Queued (held)")
        self.assertTrue(agent.job(second)["held"])
        screen.type("h")
        eventually(lambda: not agent.job(second)["held"], "it is released")
        screen.type("+")
        eventually(lambda: agent.job(second)["priority"] == 1, "its priority is raised")
        screen.type("k", "c")
        screen.shows(f"cancel {first}? [y/n]")
        screen.type("n")
        screen.shows_no("[y/n]")
        self.assertEqual(agent.job(first)["state"], "Running")
        screen.type("c")
        screen.shows("[y/n]")
        screen.type("y")
        self.assertEqual(agent.wait(first)["state"], "Canceled")
        self.assertEqual(agent.wait(second)["state"], "Completed")
        screen.shows("no live jobs")

    def test_follows_a_log_to_its_end(self):
        agent = self.start_agent()
        gate = self.place / "work/gate"
        os.mkfifo(gate)
        job = agent.sh("echo begin; read line <gate; echo $line; seq 1000 1030; printf '10%%\\r99%%\\n'; exit 3")
        screen = self.open(agent)
        screen.shows(job)
        screen.type("f")
        screen.shows("following", "begin", f"{job}   Running")
        gate.write_text("through the gate\n")
        text = screen.shows("1030", "99%", f"{job}: Failed: exited with code 3")
        self.assertNotIn("10%", text)
        screen.type("Home")
        screen.shows("begin", "through the gate", "scrolled up by")
        screen.type("Escape")
        screen.shows("no live jobs")
        screen.type("?")
        screen.shows("after a question")
        screen.type("x", "q")
        screen.shows("prompt>")

    def test_follows_the_size_of_the_terminal(self):
        agent, first, _ = self.busy_agent()
        screen = self.open(agent)
        screen.shows(first, "q qu…")
        screen.resize(120, 40)
        screen.shows("? help  q quit")
        self.assertEqual(len(screen.text().split("\n")), 41)
        for columns, rows in ((40, 10), (10, 3), (80, 24)):
            screen.resize(columns, rows)
            eventually(lambda: max(map(len, screen.lines())) <= columns and len(screen.text().rstrip("\n").split("\n")) <= rows,
                       "it fits")
        screen.shows(first, "RUNNING", "WAITING")

    def test_waits_for_an_agent_that_is_restarted(self):
        agent, first, _ = self.busy_agent()
        screen = self.open(agent)
        screen.shows(first)
        agent.stop()
        screen.shows("agent is not reachable, retrying", first)
        screen.type("c")
        screen.shows("[y/n]")
        screen.type("y")
        screen.shows_no("[y/n]")  # it was tried, and came to nothing; nobody does it later
        agent.start()
        screen.shows_no("not reachable")
        screen.shows(first, "hello from the job")
        self.assertEqual(agent.job(first)["state"], "Running")

    def test_an_agent_that_hangs_is_told_and_keys_still_work(self):
        agent, first, _ = self.busy_agent()
        screen = self.open(agent)
        screen.shows(first)
        os.kill(agent.pid, signal.SIGSTOP)
        try:
            screen.shows("agent does not answer, retrying", first)
            screen.type("?")
            screen.shows("after a question")
            screen.type("x")
        finally:
            os.kill(agent.pid, signal.SIGCONT)
        screen.shows_no("does not answer", "after a question")
        screen.shows(first, "1 running")
        screen.type("C-z")
        screen.shows("prompt>", "Stopped")
        self.assertTrue(screen.is_sane())
        screen.run("fg")
        screen.shows(first, "RUNNING")
        screen.type("q")
        screen.shows("prompt>")

    @unittest.skipUnless(os.geteuid() == 0, "a machine's agent needs root")
    def test_others_jobs_are_seen_but_not_their_logs(self):
        group = next(entry for entry in grp.getgrall() if entry.gr_name in ("nogroup", "nobody"))
        stranger = pwd.getpwnam("daemon")
        agent = self.start_agent(machine=True, config=f"group: {group.gr_name}\nmax_parallel: 1")
        job = agent.sh("echo secret; sleep 1000", name="of root")
        agent.running_pid(job)
        shutil.copy(BIN / "berth", self.place / "berth")  # the build may lie where others cannot look
        screen = self.open(agent, f"setpriv --reuid={stranger.pw_uid} --regid={stranger.pw_gid} "
                                  f"--groups={group.gr_gid} {self.place}/berth top")
        text = screen.shows(job, "of root", "only its owner and root may read its log and files")
        self.assertNotIn("secret", text)
        screen.type("c", "y")
        screen.shows(f"{job} belongs to root")
        self.assertEqual(agent.job(job)["state"], "Running")

    def test_the_terminal_is_given_back_on_signals(self):
        agent, first, _ = self.busy_agent()
        screen = self.open(agent)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            screen.shows(first, "RUNNING")
            os.kill(eventually(screen.child, "berth top runs"), number)
            screen.shows("prompt>")
            self.assertTrue(screen.is_sane(), number)
            screen.run("clear; berth top")
        screen.shows(first, "RUNNING")
        screen.type("C-c")
        screen.shows("prompt>")
        self.assertTrue(screen.is_sane())

    def test_no_colours_and_no_utf8_where_they_are_not_wanted(self):
        agent, first, second = self.busy_agent()
        agent.act(second, "hold")
        screen = self.open(agent, "NO_COLOR=1 LC_ALL=C LANG=C berth top")
        screen.shows(first, "log of")
        screen.type("c")
        screen.shows("[y/n]")
        self.assertNotRegex(screen.text(escapes=True), "\x1b\\[[0-9;]*3[1-7]m")
        self.assertTrue(screen.text().isascii(), screen.text())
        self.assertIn("-- log of", screen.text())
        screen.type("n", "q")
        screen.shows("prompt>")
        screen.run("clear; berth top")
        screen.shows(first, "──")
        screen.type("c")
        screen.shows("[y/n]")
        self.assertRegex(screen.text(escapes=True), "\x1b\\[[0-9;]*33m")

    def test_needs_a_terminal_and_an_agent(self):
        agent = self.start_agent()
        refused = agent.berth("top", expect=2)
        self.assertIn("needs a terminal", refused.err)
        self.assertIn("berth ps", refused.err)
        self.assertEqual(refused.out, "")
        self.assertIn("has no JSON", agent.berth("top", "--json", expect=2).err)
        # ncurses keeps some memory when it does not know the terminal.
        screen = self.open(agent, "berth top --socket /nowhere/sock; ASAN_OPTIONS=detect_leaks=0 TERM=nonsense berth top")
        screen.shows("no agent listens on /nowhere/sock", "terminal type 'nonsense'")
        self.assertTrue(screen.is_sane())


if __name__ == "__main__":
    main()
