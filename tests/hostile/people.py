"""Users and a group of the machine, made for a test module and removed after it; their names carry the test's pid, so
that modules run beside each other."""

import fcntl
import grp
import os
import pwd
import subprocess
from collections import namedtuple
from contextlib import contextmanager

Person = namedtuple("Person", "name uid gid home groups")


@contextmanager
def _database():
    """The tools fail rather than wait when another one has the user database locked."""
    with open("/run/lock/berth-test-people", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _tool(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(arguments)}: {done.stderr.strip()}")


def _remove_those_of_ended_tests():
    """A test that was killed could not remove its users."""
    for entry in pwd.getpwall():
        pid = entry.pw_name.removeprefix("bt").partition("-")[0]
        if entry.pw_name.startswith("bt") and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            _tool("userdel", "-r", "-f", entry.pw_name)
    for entry in grp.getgrall():
        pid = entry.gr_name.removeprefix("bt").partition("-")[0]
        if entry.gr_name.startswith("bt") and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            _tool("groupdel", entry.gr_name)


class People:
    """`group` may open the socket: all of `names` are in it but the `stranger`. The first letters of names differ."""

    def __init__(self, names=("victim", "attacker", "third", "stranger")):
        prefix = f"bt{os.getpid()}"
        self.group = f"{prefix}-people"
        self._names = []
        with _database():
            _remove_those_of_ended_tests()
            _tool("groupadd", self.group)
            for name in names:
                member = [] if name == "stranger" else ["-G", self.group]
                full = f"{prefix}-{name[0]}"
                _tool("useradd", "-m", "-K", "HOME_MODE=0700", "-s", "/bin/sh", *member, full)
                self._names.append(full)
        for name, full in zip(names, self._names):
            entry = pwd.getpwnam(full)
            setattr(self, name, Person(full, entry.pw_uid, entry.pw_gid, entry.pw_dir,
                                       os.getgrouplist(full, entry.pw_gid)))

    def remove(self):
        with _database():
            for name in self._names:
                _tool("userdel", "-r", "-f", name)
            _tool("groupdel", self.group)
