"""A no-op job in an environment that is there already, against the same job in none."""

import packages
from engine import IMAGE, Engine
from harness import check, in_turn, median, realtime
from node import Node
from report import Row, milliseconds

MOST = 0.005
PYTHON = "/usr/bin/python3"
SEES = {  # that the job finds itself in the environment asked for
    "user-managed": f'test "$(command -v python3)" = {PYTHON}',
    "venv": 'test -n "$VIRTUAL_ENV" && python -c "import bench0"',
    "conda": 'test -n "$GREETING" && python -c "import bench0"',
    "image": f"test ! -e {PYTHON}",
}


def of_this_machine(bench):
    """{kind: options} of environments that need no engine."""
    requirements, environment = bench.path("requirements.txt"), bench.path("environment.yml")
    requirements.write_text("bench0\n")
    environment.write_text("dependencies: [python, activated, bench0]\n")
    return {
        "user-managed": ["--python", PYTHON],
        "venv": ["--requirements", requirements],
        "conda": ["--conda", environment],
    }


def measure_kinds(node, options, rounds):
    """{kind: seconds of each run}, "none" among them."""

    def job(kind, *command):
        return node.berth("run", "--no-code", *options.get(kind, []), "--", *command).seconds

    for kind in options:  # builds it, too
        job(kind, "sh", "-c", SEES[kind])
    candidates = {kind: lambda kind=kind: job(kind, "true") for kind in ("none", *options)}
    times = in_turn(candidates, rounds, warm_up=2)
    node.check_all_completed(len(options) + len(candidates) * (rounds + 2))
    return times


def measure(bench):
    settings = packages.settings(packages.make_wheels(bench), packages.Conda(bench))
    options = of_this_machine(bench)
    with realtime(), Node(bench, settings=settings) as node:
        times = measure_kinds(node, options, bench.rounds(60, 20))
    with Engine(bench) as engine, Node(bench, settings=engine.settings) as node:
        contained = measure_kinds(node, {"image": ["--image", IMAGE]}, bench.rounds(20, 5))
    return [row(kind, times) for kind in options] + [row("image", contained)]


def row(kind, times):
    ours, bare = median(times[kind]), median(times["none"])
    more = ours - bare
    return Row(
        f"job in a warm environment: {kind}",
        f"{milliseconds(ours)}, {milliseconds(abs(more))} {'more' if more >= 0 else 'less'}",
        f"{milliseconds(bare)} without one",
        ours / bare,
        "" if kind == "image" else "≤ 5 ms more",
        None if kind == "image" else more <= MOST,
        f"fastest {milliseconds(min(times[kind]))} and {milliseconds(min(times['none']))}",
        times,
    )
