"""A job that writes much to its log, against the same program with the shell's `> file`.

The figures are what the program itself measures around its writes, so that the time to start a job stays with the
round trip's row; the time from submission to the recorded end is told beside them.
"""

import hashlib
import json
import os
import time
from dataclasses import dataclass

from harness import PROGRAMS, check, in_turn, median
from node import Node, job_request
from report import Row, seconds


@dataclass
class Written:
    inside: float  # as the program measured it
    whole: float  # from submission, or the shell's start, to the end


class Writer:
    """One kind of output, by way of Berth and by way of the shell. After each run the log is emptied, the agent's
    behind its back: the disk's write-back of earlier rounds would decide otherwise."""

    def __init__(self, bench, node, connection, kind, amount):
        self._bench, self._node, self._connection = bench, node, connection
        self._side = bench.path("side")
        self._memory = 1536 if kind == "blocks" else 512  # what the log will take, in MiB
        self._command = [PROGRAMS / "write_log", kind, amount, self._side]
        self.expected = None  # digest of the right output

    def _inside(self):
        elapsed = int(self._side.read_text()) / 1e9
        self._side.unlink()
        return elapsed

    def by_shell(self):
        self._bench.touch_memory(self._memory)
        log = self._bench.path("shell-log")
        run = self._bench.run(" ".join(map(str, self._command)) + f" > {log}")
        if self.expected is None:
            self.expected = digest_of(log.read_bytes())
        os.truncate(log, 0)
        return Written(self._inside(), run.seconds)

    def by_berth(self, verify=False):
        self._bench.touch_memory(self._memory)
        body = json.dumps(job_request(self._command, self._bench.scratch)).encode()
        begin = time.monotonic()
        job_id = json.loads(self._connection.request("POST", "/v1/jobs", body))["jobs"][0]["id"]
        job = json.loads(self._connection.request("GET", f"/v1/jobs/{job_id}/wait"))
        whole = time.monotonic() - begin
        check(job["state"] == "Completed", f"{job_id}: {job['state']}: {job['ending_words']}")
        if verify:
            found = digest_of(self._connection.request("GET", f"/v1/jobs/{job_id}/log"))
            check(found == self.expected, f"the log of {job_id} is {found}, the shell's file {self.expected}")
        logs = [file for file in self._node.files_of(job_id) if size_of(file) > 1 << 20]
        check(len(logs) == 1, f"{job_id} has {len(logs)} large files, not one log")
        os.truncate(logs[0], 0)
        return Written(self._inside(), whole)


def size_of(file):
    """0 for one that is gone: the agent clears away what an ended job needs no more."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def digest_of(data):
    return len(data), data.count(b"\n"), hashlib.sha256(data).hexdigest()


def measure(bench):
    rounds = bench.rounds(9, 3)
    with Node(bench) as node, node.connect() as connection:
        rows = []
        for kind, amount, what, best in (
            ("blocks", 1 << 30, "1 GiB in 64 KiB writes", min),
            ("lines", 5_000_000, "5,000,000 lines, a write each", median),
        ):
            writer = Writer(bench, node, connection, kind, amount)
            writer.by_shell()
            writer.by_berth(verify=True)
            results = in_turn({"berth": writer.by_berth, "shell": writer.by_shell}, rounds)
            rows.append(row(what, results, best))
    return rows


def row(what, results, best):
    inside = {name: [result.inside for result in values] for name, values in results.items()}
    whole = {name: [result.whole for result in values] for name, values in results.items()}
    ratio = {f.__name__: f(inside["berth"]) / f(inside["shell"]) for f in (min, median)}
    over_all = {f.__name__: f(whole["berth"]) / f(whole["shell"]) for f in (min, median)}
    return Row(
        f"job's log: {what} ({'fastest' if best is min else 'median'})",
        seconds(best(inside["berth"])),
        f"{seconds(best(inside['shell']))} the shell's `> file`",
        ratio[best.__name__],
        "≤ 1.05 ×",
        ratio[best.__name__] <= 1.05,
        f"fastest {ratio['min']:.2f} ×, median {ratio['median']:.2f} ×; from submission to the recorded end, against "
        f"the shell's whole command: {over_all['min']:.2f} × and {over_all['median']:.2f} ×",
        {"inside": inside, "whole": whole},
    )
