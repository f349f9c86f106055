"""No-op jobs in containers, from the command typed to the exit code back, against the bare `docker run --rm`.

The removal of its container, for which `docker run --rm` waits, Berth does after the job's end: each turn begins when
none is left, and of several jobs in a row all but the last pay for it.
"""

from engine import IMAGE, Engine
from harness import check, in_turn, median
from node import Node
from report import Row, milliseconds

IN_A_ROW = 5


def measure(bench):
    rounds = bench.rounds(15, 5)
    code = bench.directory("code")
    (code / "train.sh").write_text("exit 0\n")
    jobs = 2 + IN_A_ROW  # a round
    with Engine(bench) as engine, Node(bench, settings=engine.settings) as node:
        berth = [*node.command("run"), "--image", IMAGE]
        docker = ["docker", "run", "--rm"]
        ways = {
            "berth": [*berth, "--no-code", "--", "true"],
            "docker": [*docker, IMAGE, "true"],
            "berth with code": [*berth, "--code", code, "--", "sh", "train.sh"],
            "docker with code": [*docker, "-v", f"{code}:/code", "-w", "/code", IMAGE, "sh", "train.sh"],
        }
        variables = node.environment | engine.environment

        def run(command, **options):
            engine.wait_until_empty()
            return bench.run(command, environment=variables, **options).seconds

        def in_a_row(command):
            return run(f"for i in {' '.join('x' * IN_A_ROW)}; do {' '.join(map(str, command))} || exit 1; done")

        # Both give the exit code of what ran in the image.
        for name in ("berth", "docker"):
            run([*ways[name][:-1], "sh", "-c", "test ! -e /usr/bin/python3 && exit 7"], expect=7)
        candidates = {name: lambda way=way: run(way) for name, way in ways.items()}
        candidates |= {f"{name} in a row": lambda way=ways[name]: in_a_row(way) for name in ("berth", "docker")}
        times = in_turn(candidates, rounds, warm_up=1)
        completed = [job for job in node.jobs() if job["state"] == "Completed"]
        check(len(completed) == jobs * (rounds + 1), f"{len(completed)} jobs completed, not {jobs * (rounds + 1)}")
        versions = engine.versions()

    def row(what, ours, peer, label):
        figure, theirs = median(times[ours]), median(times[peer])
        note = f"{versions}; fastest {milliseconds(min(times[ours]))} and {milliseconds(min(times[peer]))}"
        return Row(what, milliseconds(figure), f"{milliseconds(theirs)} {label}", figure / theirs, "≤ 1.0 ×",
                   figure <= theirs, note, times)  # fmt: skip

    return [
        row("job in an image, from the command to its exit code", "berth", "docker", "`docker run --rm`"),
        row("the same with a copy of its code", "berth with code", "docker with code", "`docker run --rm -v`"),
        row(f"{IN_A_ROW} of them in a row", "berth in a row", "docker in a row", "`docker run --rm`"),
    ]
