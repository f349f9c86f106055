"""What a user would take instead: task-spooler, pueue and HyperQueue as queues, rsync and git to move a tree."""

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

from harness import PROGRAMS, Broken, check


class TaskSpooler:
    """A `tsp` server of a row's own, with two slots."""

    def __init__(self, bench):
        self._bench = bench
        self.directory = bench.directory("tsp")
        self.environment = {
            "TS_SOCKET": str(self.directory / "socket"),
            "TMPDIR": str(self.directory),
            "TS_SLOTS": "2",
            "TS_MAXFINISHED": "20000",
            "TS_MAXCONN": "30000",
        }
        self.run("-S", "2")
        bench.on_close(self.stop)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def run(self, *words, **options):
        return self._bench.run(["tsp", *words], environment=self.environment, **options)

    def output_of(self, *words):
        return self._bench.output_of(["tsp", *words], environment=self.environment).strip()

    def check_finished(self, count):
        finished = [line for line in self.output_of().splitlines() if " finished " in line]
        good = [line for line in finished if line.split()[3] == "0"]
        check(len(good) == count, f"tsp: {len(good)} of {count} jobs ended well")

    def pids(self):
        """The server's, and those of clients that stay while their job waits."""
        mark = f"TS_SOCKET={self.environment['TS_SOCKET']}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "comm").read_text() == "tsp\n" and mark in (process / "environ").read_bytes():
                    found.append(int(process.name))
            except OSError:
                pass  # it has just ended
        return found

    def stop(self):
        if not self.pids():
            return
        running = [line.split()[0] for line in self.output_of().splitlines() if " running " in line]
        for job in running:
            os.kill(int(self.output_of("-p", job)), 15)
        self.run("-K", expect=None)
        for pid in self.pids():
            os.kill(pid, 15)


class Pueue:
    """A `pueued` of a row's own, with two slots."""

    name = "pueue"
    _bin = PROGRAMS / "pueue/bin"

    def __init__(self, bench):
        self._bench = bench
        directory = bench.directory("pueue")
        config = directory / "pueue.yml"
        config.write_text(
            f"shared:\n  pueue_directory: {directory}\n  runtime_directory: {directory}\n  use_unix_socket: true\n"
            f"  unix_socket_path: {directory}/socket\n  pid_path: {directory}/pid\nclient: {{}}\ndaemon: {{}}\n"
        )
        self._command = [self._bin / "pueue", "-c", config]
        log = open(directory / "log", "wb")
        with log:
            self._process = subprocess.Popen(
                [self._bin / "pueued", "-c", config], env=bench.environment, cwd=directory, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        bench.on_close(self.stop)
        give_up = time.monotonic() + 20
        while self.run("status", expect=None).code != 0:
            check(time.monotonic() < give_up and self._process.poll() is None, "pueued does not answer")
            time.sleep(0.05)
        self.run("parallel", "2")

    @classmethod
    def is_there(cls):
        return (cls._bin / "pueued").exists()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self._process.pid

    def run(self, *words, **options):
        return self._bench.run([*self._command, *words], **options)

    def round_trip(self):
        begin = time.monotonic()
        task = self._bench.output_of([*self._command, "add", "-p", "--", "true"]).strip()
        self.run("follow", task)
        return time.monotonic() - begin

    def no_ops(self, count):
        self.run("clean")
        begin = time.monotonic()
        add = " ".join(map(str, [*self._command, "add", "--", "true"]))
        self._bench.run(f"i=0; while [ $i -lt {count} ]; do {add} || exit 1; i=$((i+1)); done", timeout=300)
        self.run("wait", "--all", timeout=300)
        elapsed = time.monotonic() - begin
        tasks = json.loads(self._bench.output_of([*self._command, "status", "--json"]))["tasks"].values()
        good = [task for task in tasks if "Success" in json.dumps(task["status"])]
        check(len(good) == count, f"pueue: {len(good)} of {count} jobs ended well")
        return elapsed

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class HyperQueue:
    """Its server and a worker with two cores, as its Python package starts them on one machine."""

    name = "HyperQueue"
    _python = PROGRAMS / "hyperqueue/bin/python"

    def __init__(self, bench):
        self._bench = bench

    @classmethod
    def is_there(cls):
        return cls._python.exists()

    def no_ops(self, count, rounds):
        """{"round_trip": seconds of each, "jobs": seconds of all}"""
        program = Path(__file__).parent / "programs/hyperqueue_noops.py"
        directory = self._bench.directory("hyperqueue")
        answer = self._bench.output_of([self._python, program, directory, count, rounds], timeout=300)
        return json.loads(answer.splitlines()[-1])


class Mirror:
    """A way to bring a changing source tree to a copy. Bytes are those that crossed to the other side and back."""

    name = ""

    def __init__(self, bench, source):
        self.bench = bench
        self.source = source
        self.state = bench.directory(f"{self.name}-state")
        self.copy = bench.directory(f"{self.name}-copy")
        self._counts = self.state / "bytes"
        self._environment = {"RELAY_COUNTS": str(self._counts)}

    def _run(self, command, **options):
        return self.bench.run(command, environment=self._environment, timeout=180, **options).seconds

    def wire_bytes(self):
        """Since the last call."""
        if not self._counts.exists():
            return 0
        total = sum(int(word) for word in self._counts.read_text().split())
        self._counts.write_text("")
        return total


class Rsync(Mirror):
    name = "rsync"

    def sync(self):
        relay = PROGRAMS / "relay"
        return self._run(["rsync", "-az", "--delete", "-e", relay, f"{self.source}/", f"host:{self.copy}/"])


class Git(Mirror):
    """A commit of the tree in a repository beside it, pushed to a bare one and checked out there."""

    name = "git"

    def __init__(self, bench, source):
        super().__init__(bench, source)
        self._environment |= {"GIT_SSH_COMMAND": str(PROGRAMS / "relay")}
        here, there = self.state / "here.git", self.state / "there.git"
        self._run(f"git init -q --bare {there} && git init -q --bare {here}")
        self._script = f"""set -e
            export GIT_DIR={here} GIT_WORK_TREE={source}
            cd {source}
            git add -Af .
            tree=$(git write-tree)
            parent=$(git rev-parse -q --verify main || true)
            [ "$parent" ] && [ "$(git rev-parse main^{{tree}})" = "$tree" ] && exit 0
            git update-ref refs/heads/main $(git commit-tree $tree ${{parent:+-p $parent}} -m snapshot)
            git push -q ssh://host{there} +main
            unset GIT_DIR GIT_WORK_TREE
            git --git-dir={there} --work-tree={self.copy} checkout -q -f main
            git --git-dir={there} --work-tree={self.copy} clean -qfdx"""

    def sync(self):
        return self._run(self._script)


def tree_of(bench, directory):
    """Files, bytes and hash of everything below a directory, as `arrive` tells them."""
    for line in bench.output_of([PROGRAMS / "arrive", directory]).splitlines():
        if line.startswith("tree "):
            return line
    raise Broken(f"{directory}: no tree found")
