"""What the attacks share: a root agent that serves a machine, and real users of it.

Each module here attacks one thing that SECURITY.md promises; each test is an attack by a real user, through the socket,
through jobs and builds, or at the files. Attacks assert what the attacker got, and that the honest way still works."""

import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))

import harness  # noqa: E402
from client import Client, Refused, as_user  # noqa: E402,F401
from harness import BUILD_UIDS, BerthTest, eventually, family, main, new_submission_id  # noqa: E402,F401

from people import People  # noqa: E402


def sanitized():
    """Whether the programs have a sanitizer, whose own memory nobody bounds."""
    program = (harness.BIN / "berthd").read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


def _request(socket_path, method, path, body, headers, timeout):
    return Client(socket_path, timeout).request(method, path, body, headers)


@unittest.skipUnless(os.geteuid() == 0, "users can be made and become by root only")
class HostileTest(BerthTest):
    """A test class adds to `config` what it needs; the agent is started by start()."""

    config = "cpus: 8\nmax_parallel: 8"

    @classmethod
    def setUpClass(cls):
        cls.people = People()
        cls.addClassCleanup(cls.people.remove)
        cls.victim, cls.attacker = cls.people.victim, cls.people.attacker
        cls.third, cls.stranger = cls.people.third, cls.people.stranger

    def setUp(self):
        super().setUp()
        (self.place / "work").chmod(0o1777)
        self.drop = self.place / "drop"  # where attacks leave what they got
        self.drop.mkdir()
        self.drop.chmod(0o1777)

    def start(self, config="", **options):
        self.agent = self.start_agent(machine=True, config=f"group: {self.people.group}\n{self.config}\n{config}", **options)
        return self.agent

    # --- acting as somebody

    def request(self, who, method, path, body=None, headers=None, timeout=60):
        """The answer, whatever its status, to a request by `who`."""
        return self.acting(who, _request, self.agent.socket_path, method, path, body, headers, timeout)

    def ask(self, who, method, path, body=None, **options):
        """The JSON (or the bytes) of a request by `who` that must succeed."""
        return Client._checked(self.request(who, method, path, body, **options))

    def acting(self, who, function, *arguments):
        """What function(*arguments) gives or throws in a process of that user, in all groups that the user is in."""
        return as_user(family, who, function, *arguments)

    def command_of(self, who, *arguments):
        return ["setpriv", f"--reuid={who.uid}", f"--regid={who.gid}", "--init-groups", "--reset-env",
                "env", f"HOME={who.home}", f"BERTH_SOCKET={self.agent.socket_path}", *map(str, arguments)]

    def run_as(self, who, *arguments, timeout=60, cwd=None, expect=0, **options):
        """A program run by that user in the user's home."""
        done = family.run(self.command_of(who, *arguments), timeout, cwd=cwd or who.home, **options)
        done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if expect is not None and done.returncode != expect:
            raise AssertionError(f"{arguments} by {who.name}: {done.returncode}, not {expect}\n{done.out[-3000:]}\n{done.err[-3000:]}")
        return done

    def berth(self, who, *arguments, **options):
        return self.run_as(who, harness.BIN / "berth", *arguments, **options)

    def job_of(self, who, *command, **fields):
        """The id of a job that this user submits."""
        request = self.agent.request_for(*command, **fields)
        return self.ask(who, "POST", "/v1/jobs", request)["jobs"][0]["id"]

    def script_of(self, who, script, **fields):
        return self.job_of(who, "/bin/sh", "-c", script, **fields)

    def refused(self, status, who, method, path, body=None):
        """The error of a request by `who` that must be refused with that status."""
        answer = self.request(who, method, path, body)
        self.assertEqual(answer.status, status, answer)
        return answer.error

    def files_of(self, who, **files):
        """A directory in that user's home with the files given; the first `_` in a name stands for the dot."""
        place = Path(who.home) / f"code-{new_submission_id()[:8]}"
        place.mkdir()
        for name, content in files.items():
            (place / name.replace("_", ".", 1)).write_text(content)
        for path in (place, *place.iterdir()):
            os.chown(path, who.uid, who.gid)
        return place
