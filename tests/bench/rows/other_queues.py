"""The queues that people run on one machine beside Berth: pueue, and HyperQueue."""

from harness import Broken, check, in_turn, median, pss_bytes
from node import Node
from peers import HyperQueue, Pueue
from report import Row, mebibytes, milliseconds, rate
from rows.throughput import one_command_each, one_connection


def beside_pueue(bench, node):
    count = bench.rounds(20, 6)
    with Pueue(bench) as pueue:
        times = in_turn(
            {
                "berth": lambda: node.berth("run", "--no-code", "--", "true").seconds,
                "pueue": pueue.round_trip,
            },
            bench.rounds(5, 3),
            1,
        )
        many = in_turn(
            {"berth": lambda: one_command_each(bench, node, count), "pueue": lambda: pueue.no_ops(count)},
            bench.rounds(3, 1),
        )
        memory = {"berth": pss_bytes([node.pid]), "pueue": pss_bytes([pueue.pid])}
    figures = {name: median(values) for name, values in times.items()}
    rates = {name: count / median(values) for name, values in many.items()}
    return [
        Row(
            "`berth run -- true`",
            milliseconds(figures["berth"]),
            f"{milliseconds(figures['pueue'])} `pueue add`, `pueue follow`",
            figures["berth"] / figures["pueue"],
            samples=times,
        ),
        Row(
            f"{count} no-op jobs, 2 slots, one command each",
            rate(rates["berth"], "jobs"),
            f"{rate(rates['pueue'], 'jobs')} pueue",
            rates["berth"] / rates["pueue"],
            samples=many,
        ),
        Row(
            "the agent's memory after these (PSS)",
            mebibytes(memory["berth"]),
            f"{mebibytes(memory['pueue'])} pueued",
            memory["berth"] / memory["pueue"],
        ),
    ]


def beside_hyperqueue(bench, node):
    count = bench.rounds(1000, 300)
    theirs = HyperQueue(bench).no_ops(count, bench.rounds(20, 5))
    ours = one_connection(bench, node, count)
    figure = median([node.berth("run", "--no-code", "--", "true").seconds for _ in range(bench.rounds(20, 5))])
    return [
        Row(
            "`berth run -- true`",
            milliseconds(figure),
            f"{milliseconds(median(theirs['round_trip']))} HyperQueue, one job",
            figure / median(theirs["round_trip"]),
        ),
        Row(
            f"{count:,} no-op jobs, 2 slots, one connection",
            rate(count / ours, "jobs"),
            f"{rate(count / theirs['jobs'], 'jobs')} HyperQueue, one client",
            theirs["jobs"] / ours,
        ),
    ]


def measure(bench):
    rows, absent = [], []
    with Node(bench) as node:
        for peer, beside in ((Pueue, beside_pueue), (HyperQueue, beside_hyperqueue)):
            if peer.is_there():
                rows += beside(bench, node)
            else:
                absent.append(peer.name)
        ended = node.jobs()
        check(all(job["state"] == "Completed" for job in ended), "not all of Berth's jobs completed")
    if not rows:
        raise Broken(f"{' and '.join(absent)} cannot be had here")
    for name in absent:
        print(f"  other-queues: {name} cannot be had here", flush=True)
    return rows
