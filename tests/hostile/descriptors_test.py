"""Each of our programs started without some of descriptors 0, 1 and 2: nothing that it says or reads goes elsewhere."""

import itertools
import os
import re
import time

from hostile import eventually, harness, main
from harness import BerthTest
from packs import number

COMBINATIONS = [combination for count in (1, 2, 3) for combination in itertools.combinations((0, 1, 2), count)]
NOWHERE = "/dev/null"


PROGRAMS = {"berthd": "the_agent", "berth": "the_command_line", "berth-shim": "the_supervisor", "berth-collect": "who_collects_outputs"}


def start(closed, program, *arguments, environment, output=NOWHERE, input="/dev/zero"):
    """The pid of the program, started with these descriptors closed and the others on files."""
    with harness.family.lock:
        pid = os.fork()
        if pid:
            harness.family.own[pid] = None
            return pid
    try:
        files = os.open(input, os.O_RDONLY), os.open(output, os.O_WRONLY | os.O_APPEND), os.open(output, os.O_WRONLY | os.O_APPEND)
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.closerange(3, 256)
        for number in closed:
            os.close(number)
        os.execve(program, [program, *arguments], environment)
    finally:
        os._exit(99)


def end_of(pid, patience=30):
    status = []

    def look():
        found, value = os.waitpid(pid, os.WNOHANG)
        status.append(value)
        return found == pid
    eventually(look, f"{pid} has ended", patience)
    with harness.family.lock:
        del harness.family.own[pid]
    return os.waitstatus_to_exitcode(status[-1])


def standard_files(pid):
    try:
        return [os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)]
    except FileNotFoundError:  # not opened yet
        return None


class DescriptorsTest(BerthTest):
    config = "cpus: 4\nmax_parallel: 4"

    def expected(self, closed, output):
        return [NOWHERE if number in closed else output if number else "/dev/zero" for number in (0, 1, 2)]

    def test_every_program_that_is_installed_is_started_here(self):
        listed = (harness.ROOT / "packaging/CMakeLists.txt").read_text()
        installed = {name for names in re.findall(r"install\(TARGETS ([^)]*?) RUNTIME", listed) for name in names.split()}
        self.assertEqual(installed, set(PROGRAMS))
        for test in PROGRAMS.values():
            self.assertTrue(hasattr(self, f"test_{test}"), test)

    def test_the_agent(self):
        for closed in COMBINATIONS:
            with self.subTest(closed):
                agent = self.new_agent(f"s{''.join(map(str, closed))}")
                output = self.place / "said"
                output.touch()
                arguments = agent.arguments()
                pid = start(closed, arguments[0], *arguments[1:], environment=agent.environment(), output=str(output))
                try:
                    def serves():
                        try:
                            return agent.request("GET", "/v1/status").status == 200
                        except OSError:
                            return False
                    eventually(serves, "it serves")
                    self.assertEqual(standard_files(pid), self.expected(closed, str(output)))
                    job = agent.sh("echo out; echo err >&2; cat")
                    self.assertEqual(agent.wait(job)["exit_code"], 0)
                    self.assertEqual(agent.log_of(job), b"out\nerr\n")
                finally:
                    os.kill(pid, 15)
                    self.assertEqual(end_of(pid), 0)

    def test_the_command_line(self):
        agent = self.start_agent()
        berth = str(harness.BIN / "berth")
        for closed in COMBINATIONS:
            for arguments in (("run", "--no-code", "--", "echo", "out"), ("status",), ("ps", "-a"), ("logs", "-f", "@last"),
                              ("show", "no-such-job")):
                with self.subTest(closed=closed, arguments=arguments):
                    output = self.place / "output"
                    output.write_text("")
                    pid = start(closed, berth, *arguments, environment=agent.cli_environment(), output=str(output))
                    self.assertEqual(end_of(pid), 2 if arguments[-1] == "no-such-job" else 0)
                    if arguments[0] == "run":
                        self.assertEqual("out" in output.read_text(), 1 not in closed)
                        self.assertEqual(agent.log_of("@last"), b"out\n")
        self.assertEqual(agent.request("GET", "/v1/status").status, 200)
        self.assertNotIn('"level":"error"', agent.log())

    def test_the_supervisor(self):
        shim = str(harness.BIN / "berth-shim")
        for closed in COMBINATIONS:
            with self.subTest(closed):
                output = self.place / "said"
                output.write_text("")
                pid = start(closed, shim, "--hold", environment={}, output=str(output))
                if 0 in closed:  # nothing to wait for
                    self.assertEqual(end_of(pid), 0)
                    continue
                eventually(lambda: standard_files(pid) == self.expected(closed, str(output)), "its standard files are open")
                os.kill(pid, 9)
                end_of(pid)
                pid = start(closed, shim, "/no/such/directory", environment={}, output=str(output))
                self.assertEqual(end_of(pid), 2)
                self.assertEqual("usage" in output.read_text(), 2 not in closed)

    def test_who_collects_outputs(self):
        collect = str(harness.BIN.parent / "lib/berth/berth-collect")
        tree = self.directory("tree")
        (tree / "outputs").mkdir()
        (tree / "outputs/file").write_text("kept")
        text = lambda value: number(len(value)) + value
        request = self.place / "request"
        request.write_bytes(b"BRTHCRQ1" + number(1) + text(b"outputs") + text(b"") + text(b"") + number(1 << 20) + number(100) + text(b""))
        for closed in COMBINATIONS:
            with self.subTest(closed):
                output = self.place / "output"
                output.write_bytes(b"")
                pid = start(closed, collect, str(tree), environment={}, output=str(output), input=str(request))
                self.assertEqual(end_of(pid), 1 if 0 in closed else 0)  # without a request there is nothing to do
                said = output.read_bytes()
                self.assertEqual(said.startswith(b"BRTHCOL1"), 0 not in closed and 1 not in closed, said)
                self.assertEqual(b"the request" in said, 0 in closed and 2 not in closed, said)


if __name__ == "__main__":
    main()
