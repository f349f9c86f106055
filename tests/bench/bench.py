"""Measures Berth beside what a user would take instead. `packaging/bench` prepares what this needs and runs it."""

import argparse
import os
import signal
import sys
import time
from importlib import import_module

import report
from harness import Bench, Broken, machine_in_words, may_be_realtime

ROWS = {
    "round-trip": "a no-op job from the command to its exit code, against task-spooler and fork+exec",
    "throughput": "no-op jobs through two slots, against task-spooler",
    "other-queues": "no-op jobs, and the memory after them, against pueue and HyperQueue, where they can be had",
    "queue-depth": "10,000 jobs queued behind a blocker: rate and memory, against task-spooler",
    "idle": "memory and wake-ups of an agent with nothing to do",
    "log-write": "a job writing 1 GiB and 5,000,000 lines, against the shell's > file",
    "follow": "how old a line is when its follower reads it, against tail -f",
    "scan": "submit in an unchanged tree of 10,000 files, against git status",
    "transfer": "a tree sent first, changed, renamed, touched, against rsync and git",
    "warm-start": "a job in an environment that is there, of each kind, against the same job in none",
    "image-job": "a job in a container, against docker run --rm with the same engine",
    "environment-build": "conda and Python environments, against the bare tools with caches as warm",
    "shared-node": "what a hostile user costs the others on a machine that five people share (as root)",
    "ten-identical": "ten submissions at once that need the same new environment, against one",
}


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="packaging/bench",
        description="Measures Berth beside its peers, interleaved in one run, and prints ratios.",
        epilog="rows:\n" + "\n".join(f"  {name:17} {what}" for name, what in ROWS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="what to measure; everything unless given")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: under three minutes, and noisier")
    parser.add_argument("--markdown", metavar="FILE", help="writes the table for packaging/doc/figures.md")
    parser.add_argument("--json", metavar="FILE", help="writes the table and every sample")
    parser.add_argument(
        "--scratch", metavar="DIR", default="/var/tmp", help="a disk with 10 GB to spare for the trees and logs; %(default)s"
    )
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.rows if name not in ROWS]:
        parser.error(f"no such row: {', '.join(unknown)}; the rows are {', '.join(ROWS)}")
    return arguments


def warn_about_the_machine():
    if not may_be_realtime():
        print("note: SCHED_RR is not allowed here: short latencies will show whatever else the machine does")
    if os.getloadavg()[0] > 0.5 * os.cpu_count():
        print(f"note: the machine is busy (load {os.getloadavg()[0]:.1f}): expect the bulk rows to vary")


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine = machine_in_words()
    print(f"Berth beside its peers: {machine}")
    warn_about_the_machine()
    begin, rows, broken = time.monotonic(), [], []
    bench = Bench(arguments.scratch, arguments.quick)
    for name in arguments.rows or ROWS:
        print(f"  {name}: {ROWS[name]} …", flush=True)
        try:
            rows += import_module(f"rows.{name.replace('-', '_')}").measure(bench)
        except Exception as error:  # the other rows are worth having
            broken.append(name)
            print(f"  {name}: BROKEN: {error if isinstance(error, Broken) else repr(error)}", flush=True)
    print()
    print(report.as_text(rows))
    write(arguments.markdown, report.as_markdown(rows, machine))
    write(arguments.json, report.as_json(rows, machine))
    bench.close()
    return conclude(rows, broken, time.monotonic() - begin)


def write(file, text):
    if file:
        with open(file, "w", encoding="utf-8") as output:
            output.write(text)


def conclude(rows, broken, elapsed):
    judged = [row for row in rows if row.met is not None]
    met = sum(row.met for row in judged)
    print(f"\n{met} of {len(judged)} goals met, in {elapsed / 60:.1f} minutes.")
    if broken:
        print(f"bench: FAILED: {', '.join(broken)} could not be measured", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
