"""A job that lives on while tests do things to its agent, and what must be true of it in the end."""

COMMAND = 'n=0; while [ ! -e "$HOME/go" ]; do echo line $n; n=$((n+1)); sleep 0.02; done; echo last $n; exit 7'


class LastingJob:
    """Ends with code 7 once let_go() is called."""

    def __init__(self, test, user="ann", options=()):
        self.test = test
        self.machine = test.machine
        self.user = user
        self.id = self.machine.submit_sh(COMMAND, user=user, options=options)
        self.process = self.machine.process(self.id, f"/bin/sh -c {COMMAND}")

    def assert_runs_on(self):
        """The agent knows it as running, and it is the process that it was."""
        self.test.assertAlive(self.process)
        self.test.assertEqual(self.machine.wait_state(self.id, "Running")["state"], "Running")

    def lines(self):
        return len(self.machine.log(self.id).splitlines())

    def let_go(self):
        self.machine.run("touch", f"/home/{self.user}/go")

    def assert_ended_well(self):
        """It ran once, its own ending was recorded, and its log is complete."""
        record = self.machine.wait(self.id)
        self.test.assertEqual((record["ending"], len(record["attempts"])), ({"kind": "exited", "code": 7}, 1))
        lines = self.machine.log(self.id).splitlines()
        count = len(lines) - 1
        self.test.assertGreater(count, 0)
        self.test.assertEqual(lines, [*(f"line {number}" for number in range(count)), f"last {count}"])
        self.test.assertGone(self.process)
