"""Running programs of the host, always with a time limit, and telling what went wrong."""

import fcntl
import os
import shutil
import subprocess
from contextlib import contextmanager


class Skip(Exception):
    """What the system tests need is not there; the message says what, and what to do."""


def run(*arguments, timeout=300, **options):
    """The standard output of a program that must succeed."""
    arguments = [str(argument) for argument in arguments]
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)[:500]}: exit code {done.returncode}\n"
                           f"{done.stdout.decode(errors='replace')[-3000:]}{done.stderr.decode(errors='replace')[-3000:]}")
    return done.stdout.decode(errors="replace")


def require(*programs):
    """Skips unless all of them are installed and this is root."""
    if os.geteuid() != 0:
        raise Skip("the system tests boot machines, which needs root")
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        raise Skip(f"{', '.join(missing)} not installed; `packaging/setup system` installs what is missing")


@contextmanager
def locked(path):
    """One at a time among all the processes that ask for this path."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
