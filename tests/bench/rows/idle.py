"""What an agent costs that has nothing to do."""

import time

from harness import cpu_seconds, pss_bytes, wake_ups
from node import Node
from peers import TaskSpooler
from report import Row, mebibytes

SETTLE = 5


def measure(bench):
    seconds = bench.rounds(60, 15)
    with Node(bench) as node, TaskSpooler(bench) as tsp:
        # Used once, so that what is loaded lazily is.
        node.berth("run", "--no-code", "--", "true")
        tsp.run("-n", "-f", "true")
        time.sleep(SETTLE)
        server = tsp.pids()[0]
        before = {pid: (wake_ups(pid), cpu_seconds(pid)) for pid in (node.pid, server)}
        time.sleep(seconds)
        woken = {pid: wake_ups(pid) - before[pid][0] for pid in before}
        cpu = {pid: cpu_seconds(pid) - before[pid][1] for pid in before}
        memory = {pid: pss_bytes([pid]) for pid in before}
    ours, theirs = memory[node.pid], memory[server]
    return [
        Row(
            "idle after one job: memory (PSS)",
            mebibytes(ours),
            f"{mebibytes(theirs)} tsp",
            ours / theirs,
            "≤ 10 MiB",
            ours <= 10 * 2**20,
        ),
        Row(
            f"idle: wake-ups in {seconds} s",
            f"{woken[node.pid]}, {cpu[node.pid] * 1e3:.0f} ms CPU",
            f"{woken[server]}, {cpu[server] * 1e3:.0f} ms CPU tsp",
            goal="0",
            met=woken[node.pid] == 0,
        ),
    ]
