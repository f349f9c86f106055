"""What every row needs: timed runs of programs, statistics, a scratch directory, the machine in words."""

import atexit
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "build" / "bench"
BERTH = ROOT / "build" / "release" / "bin"


class Broken(Exception):
    """What was measured did not happen as it should have: a job that did not run, data that differ."""


def check(condition, what):
    if not condition:
        raise Broken(what)


@dataclass
class Run:
    seconds: float
    code: int
    started_ns: int  # on the monotonic clock, as the helpers stamp it


class Bench:
    """A scratch directory and the ways to run programs in it. Nothing in it is deleted before the end: on some file
    systems, making files soon after deleting many is ten times slower."""

    def __init__(self, parent, quick=False):
        self.quick = quick
        self.scratch = Path(tempfile.mkdtemp(prefix="berth-bench.", dir=parent))
        self.environment = quiet_environment(self.scratch)
        self._closers = []
        self._numbers = {}
        atexit.register(self.close)

    def rounds(self, full, quick):
        return quick if self.quick else full

    def path(self, name):
        """A path in the scratch directory that nobody has been given before."""
        number = self._numbers[name] = self._numbers.get(name, 0) + 1
        return self.scratch / f"{name}-{number}"

    def directory(self, name):
        path = self.path(name)
        path.mkdir()
        return path

    def on_close(self, function):
        self._closers.append(function)

    def close(self):
        while self._closers:
            try:
                self._closers.pop()()
            except Exception as error:  # the others must be closed too
                print(f"bench: while cleaning up: {error}", file=sys.stderr)
        for mount in mounts_below(self.scratch):
            subprocess.run(["umount", "--lazy", mount], stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", self.scratch], check=False)  # which goes deeper than Python does

    def run(self, command, *, timeout=120, output=None, cwd=None, environment=None, expect=0):
        """Runs a program (a list) or a shell's command line (a string) and times it from just before it is spawned
        until it has been waited for. Another exit code than `expect` is Broken; None takes any."""
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]
        errors = self.scratch / "stderr"
        variables = self.environment | (environment or {})
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output or "/dev/null"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, str(errors), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        ]
        program = shutil.which(argv[0])
        check(program, f"{argv[0]}: not found")
        with contextlib.chdir(cwd or self.scratch), deadline(timeout) as watch:
            started = time.monotonic_ns()
            watch.pid = os.posix_spawn(program, argv, variables, file_actions=actions, setpgroup=0)
            _, status, _ = os.wait4(watch.pid, 0)
            ended = time.monotonic_ns()
        code = os.waitstatus_to_exitcode(status)
        if expect is not None and code != expect:
            reason = f"took longer than {timeout} s" if watch.rang else f"exited with {code}, not {expect}"
            raise Broken(f"{' '.join(argv)[:200]}: {reason}: {errors.read_text(errors='replace')[-600:].strip()}")
        return Run((ended - started) / 1e9, code, started)

    def output_of(self, command, **options):
        file = self.scratch / "output"
        self.run(command, output=file, **options)
        return file.read_text(errors="replace")

    def touch_memory(self, mebibytes):
        """Before bulk writes: so that they do not pay for a host that backs a machine's memory lazily."""
        self.run([PROGRAMS / "touch_memory", mebibytes])


@contextlib.contextmanager
def deadline(seconds):
    class Watch:
        pid = 0
        rang = False

    watch = Watch()

    def ring(*_):
        watch.rang = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(watch.pid, signal.SIGKILL)

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield watch
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def may_be_realtime():
    with realtime() as allowed:
        return allowed


@contextlib.contextmanager
def realtime():
    """Everything started meanwhile, agents and peers alike, runs under SCHED_RR: on a machine that does other work,
    short latencies are multiples of a scheduler slice otherwise. Yields whether it was allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def in_turn(candidates, rounds, warm_up=0):
    """Calls each of {name: function} once a round, every round starting with another one, so that what the machine
    does meanwhile hits all alike. Gives {name: [results]}."""
    results = {name: [] for name in candidates}
    names = list(candidates)
    for turn in range(-warm_up, rounds):
        for at in range(len(names)):
            name = names[(at + turn) % len(names)]
            result = candidates[name]()
            if turn >= 0:
                results[name].append(result)
    return results


def median(values):
    return statistics.median(values)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def quiet_environment(home):
    """The caller's PATH and nothing else of his: no configuration or cache of his is read or written."""
    config = home / "gitconfig"
    config.write_text(
        "[user]\nname = bench\nemail = bench@example.org\n[gc]\nauto = 0\n[init]\ndefaultBranch = main\n"
        "[safe]\ndirectory = *\n[core]\ncompression = 1\n[advice]\ndetachedHead = false\n"
    )
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def mounts_below(directory):
    points = [line.split()[4] for line in open("/proc/self/mountinfo")]
    return [point for point in reversed(points) if point.startswith(f"{directory}/")]


def pss_bytes(pids):
    """Memory of processes, each shared page counted once over those that share it."""
    total = 0
    for pid in pids:
        try:
            lines = open(f"/proc/{pid}/smaps_rollup").readlines()
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def wake_ups(pid):
    """How often the process's threads gave up a CPU by themselves: once per time they woke."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                total += int(line.split()[1])
    return total


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_in_words():
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    release = dict(line.rstrip().split("=", 1) for line in open("/etc/os-release") if "=" in line)
    cores = os.cpu_count()
    return (
        f"{cores} core{'s' if cores != 1 else ''}, {memory:.0f} GiB, "
        f"{release.get('PRETTY_NAME', 'Linux').strip(chr(34))}, kernel {os.uname().release.split('-')[0]}"
    )
