"""A container with a systemd of its own as process 1, in namespaces and control groups apart from the host's.

Its root is an overlay on layers that stay as they are; /var is a copy on a real file system, so that the agent finds
there what it finds on a server. Limits are not enforced where the host's control groups lack the controllers."""

import itertools
import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import images
from machine import PATIENCE, Done, Machine, eventually
from tools import run

_numbers = itertools.count(1)
_HIERARCHIES = [Path(path) for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")
                if os.path.exists(f"{path}/cgroup.procs")]
_HOST_HAS_SYSTEMD = os.path.isdir("/run/systemd/system")


class Container(Machine):
    def __init__(self, layers, packages=()):
        """`layers`: directories, the uppermost first. `packages` are files that it finds in /opt/packages."""
        self.name = f"berth-system-{os.getpid()}-{next(_numbers)}"
        self._place = images.scratch("container")
        self._undo = ExitStack()
        self._process = None
        self._leader = None
        self._root = self._undo.enter_context(images.layered(layers))
        self.var = self._place / "var"
        run("cp", "-a", self._root / "var", self.var)
        (self._place / "packages").mkdir()
        for package in packages:
            shutil.copy(package, self._place / "packages")

    def path(self, inside):
        """Where the host sees a path of the machine."""
        inside = Path(inside)
        return self.var / inside.relative_to("/var") if inside.is_relative_to("/var") else self._root / inside.relative_to("/")

    def boot(self):
        with open(self._place / "console", "ab") as console:
            self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                                             env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"})
        self._leader = eventually(self._find_leader, "systemd-nspawn has started systemd")
        eventually(self._is_up, "systemd has started everything", pause=0.02)
        return self

    def power_off(self, patience=PATIENCE):
        self.execute(["systemctl", "poweroff"], 20, "")
        self._process.wait(patience)
        self._leader = None
        self._remove_groups()

    def destroy(self):
        if self._process and self._process.poll() is None:
            if self._leader:
                os.kill(self._leader, signal.SIGKILL)  # and with process 1 all the others
            else:
                self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(20)
        self._remove_groups()
        self._undo.close()
        shutil.rmtree(self._place, ignore_errors=True)

    def entering(self):
        """What goes before a command line, for it to run in there."""
        return ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "--"]

    def execute(self, argv, timeout, input):
        enter = self.entering()
        limit = ["timeout", "-k", "2", str(timeout)]
        begin = time.monotonic()
        try:
            done = subprocess.run([*enter, *limit, *argv], input=input.encode(), capture_output=True, timeout=timeout + 10)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not done within {timeout} s: {argv}") from None
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if done.returncode == 124 and time.monotonic() - begin >= timeout:
            raise AssertionError(f"not done within {timeout} s: {argv}\n{out[-2000:]}{err[-2000:]}")
        return Done(done.returncode, out, err)

    def told(self):
        console = (self._place / "console").read_text(errors="replace")[-3000:]
        if not self._leader:
            return console
        journal = self.run("journalctl", "--no-pager", "-n", "80", "-o", "short-precise", expect=None)
        return f"{console}\n--- journal of {self.name}:\n{journal.out}"

    # --- how it runs

    def _command(self):
        nspawn = ["systemd-nspawn", "-q", "--register=no", "--keep-unit", "-M", self.name, "-D", str(self._root),
                  f"--bind={self.var}:/var", f"--bind-ro={images.GUEST}:/opt/test",
                  f"--bind-ro={self._place / 'packages'}:/opt/packages", "--private-network", "--kill-signal=SIGRTMIN+4",
                  "-b"]
        mortal = ["setpriv", "--pdeathsig", "KILL"]  # a test that is killed leaves no machine behind
        if _HOST_HAS_SYSTEMD:
            return [*mortal, "systemd-run", "-q", "--scope", "-p", "Delegate=yes", *nspawn]
        groups = [hierarchy / self.name for hierarchy in _HIERARCHIES]
        for group in groups:
            group.mkdir()
        joins = "; ".join(f"echo $$ > {group}/cgroup.procs" for group in groups)
        return [*mortal, "sh", "-ec", f'{joins}; exec "$@"', "sh", *nspawn]

    def _find_leader(self):
        if self._process.poll() is not None:
            raise AssertionError(f"systemd-nspawn ended with {self._process.returncode}:\n{self.told()}")
        for child in _children(self._process.pid):
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return child
        return None

    def _is_up(self):
        return self.execute(["systemctl", "is-system-running"], 10, "").out.strip() in ("running", "degraded")

    def _remove_groups(self):
        for group in [] if _HOST_HAS_SYSTEMD else [hierarchy / self.name for hierarchy in _HIERARCHIES]:
            for folder, _, _ in os.walk(group, topdown=False):
                _remove_group(folder)


def _children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _remove_group(folder):
    """Its processes have been killed, but may take a moment to be gone."""
    end = time.monotonic() + 5
    while True:
        try:
            return os.rmdir(folder)
        except FileNotFoundError:
            return None
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
