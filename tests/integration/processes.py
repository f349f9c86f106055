"""The processes of a test: everything it started, and everything that came of it.

The test process is a subreaper: what an agent, a supervisor or a job leaves behind becomes its child instead of
init's, so nothing can hide by forking twice. A thread reaps such orphans, as init would."""

import ctypes
import os
import signal
import subprocess
import threading
import time

_PR_SET_CHILD_SUBREAPER = 36
# A job that ignores SIGTERM and has children in other sessions.
STUBBORN = "trap '' TERM; setsid sleep 300 & (setsid sleep 301 &); echo up; while :; do sleep 302; done"


class Family:
    def __init__(self):
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
        self.lock = threading.Lock()
        self.apart = set()  # pids of what outlives a test by design; whatever they start is theirs to look after
        self.own = {}  # pid → Popen, or None where the one who forked waits for it
        threading.Thread(target=self._reap_for_ever, daemon=True).start()

    def popen(self, *arguments, **options):
        with self.lock:
            process = subprocess.Popen(*arguments, **options)
            self.own[process.pid] = process
            return process

    def run(self, arguments, timeout, **options):
        """subprocess.run with a time limit; a program that passes it is killed, and the test fails."""
        process = self.popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            raise AssertionError(f"{arguments} was not done after {timeout} s\nstdout: {output[-2000:]!r}\n"
                                 f"stderr: {errors[-2000:]!r}") from None
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def strays(self):
        """Living descendants that are not direct children somebody waits for: pid → command line."""
        self._forget_ended()
        with self.lock:
            own = set(self.own)
            own |= {pid for root in self.apart for pid in descendants(root)}
        return {pid: command_line(pid) for pid in descendants(os.getpid()) if pid not in own and is_alive(pid)}

    def _reap_for_ever(self):
        while True:
            time.sleep(0.02)
            self._forget_ended()
            with self.lock:
                for pid in children(os.getpid()):
                    if pid not in self.own and state(pid) == "Z":
                        os.waitpid(pid, os.WNOHANG)

    def _forget_ended(self):
        with self.lock:
            for pid in [pid for pid, process in self.own.items() if process and process.returncode is not None]:
                del self.own[pid]


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def read(path):
    """The bytes of a file of /proc; empty when its process has ended or is not ours to look at."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def stat(pid):
    """(state, parent, start time in ticks), or nothing."""
    fields = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return (fields[0].decode(), int(fields[1]), int(fields[19])) if fields else None


def state(pid):
    found = stat(pid)
    return found[0] if found else None


def is_alive(pid):
    return state(pid) not in (None, "Z", "X")


def children(pid):
    return [child for child in pids() if (found := stat(child)) and found[1] == pid]


def descendants(ancestor):
    parents = {pid: found[1] for pid in pids() if (found := stat(pid))}
    found, fresh = set(), {ancestor}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def command_line(pid):
    return read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def environment(pid):
    pairs = (entry.partition(b"=") for entry in read(f"/proc/{pid}/environ").split(b"\0") if entry)
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, _, value in pairs}


def of_job(job_id):
    """The pids of the living processes that carry the job's mark in their environment."""
    mark = b"BERTH_JOB_ID=" + job_id.encode()
    return [pid for pid in pids() if mark in read(f"/proc/{pid}/environ").split(b"\0") and is_alive(pid)]


def about(path):
    """Living processes that name the path in their command line or environment, or have it as a directory."""
    found = {}
    for pid in pids():
        if pid == os.getpid() or not is_alive(pid):
            continue
        told = read(f"/proc/{pid}/cmdline") + b"\0" + read(f"/proc/{pid}/environ")
        if path.encode() in told or any(link(pid, name).startswith(path) for name in ("cwd", "exe", "root")):
            found[pid] = command_line(pid)
    return found


def link(pid, name):
    try:
        return os.readlink(f"/proc/{pid}/{name}")
    except OSError:
        return ""


def descriptors(pid):
    """What each open descriptor of a process is, sorted; numbers of sockets and the like left out."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        target = link(pid, f"fd/{name}")
        if target:
            found.append(target.partition(":[")[0])
    return sorted(found)


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def end(process, number=signal.SIGTERM, patience=30):
    """Ends a program of ours; one that takes too long is killed."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(patience)
