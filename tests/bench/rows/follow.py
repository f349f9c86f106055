"""How old a line of a running job is when its follower reads it."""

from harness import PROGRAMS, check, in_turn, median, percentile, realtime
from node import Node
from report import Row, microseconds

LINES, INTERVAL_US, DELAY_US = 200, 10_000, 700_000  # the delay lets the follower attach first


def measure(bench):
    emit = f"{PROGRAMS / 'emit_ticks'} {LINES} {INTERVAL_US} {DELAY_US}"
    ages = PROGRAMS / "tick_ages"

    def follow(script, environment=None):
        lines = bench.output_of(script, environment=environment, timeout=60).split()
        check(len(lines) == LINES, f"{len(lines)} of {LINES} lines arrived: {script}")
        return [int(line) for line in lines]

    with realtime(), Node(bench) as node:
        berth = node.command()[0]

        def run():
            return follow(f"{berth} run --no-code -- {emit} | {ages}", node.environment)

        def logs():
            submit = f"{berth} submit --no-code -- {emit}"
            return follow(f"{berth} logs -f $({submit}) | {ages}", node.environment)

        def tail():
            file = bench.path("tail")
            return follow(f": > {file}; {emit} > {file} & tail -n +1 -f --pid=$! {file} | {ages}")

        results = in_turn({"run": run, "logs": logs, "tail": tail}, bench.rounds(3, 1))
    pooled = {name: [age for ages in rounds for age in ages] for name, rounds in results.items()}

    def row(what, ours):
        figures = {name: (median(pooled[name]), percentile(pooled[name], 0.99)) for name in (ours, "tail")}
        mid, late = figures[ours]
        return Row(
            what,
            f"{microseconds(mid)}, p99 {microseconds(late)}",
            f"{microseconds(figures['tail'][0])}, p99 {microseconds(figures['tail'][1])} `tail -f`",
            mid / figures["tail"][0],
            "≤ 200 µs median, p99 ≤ 2 ms",
            mid <= 200_000 and late <= 2_000_000,
            samples={name: values for name, values in pooled.items()},
        )

    return [row("age of a line at `berth run`", "run"), row("age of a line at `berth logs -f`", "logs")]
