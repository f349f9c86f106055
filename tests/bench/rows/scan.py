"""`berth submit` in a tree of 10,000 files in which nothing has changed."""

import time

import trees
from harness import check, in_turn, median, realtime
from node import Node
from report import Row, milliseconds


def make_repository(bench, tree):
    bench.run("git init -q && git add -A && git commit -qm all", cwd=tree)


def submit(node, tree):
    """From the command typed to the job's name printed. The job runs to its end before the next round."""
    output = node.state.with_suffix(".id")
    run = node.berth("submit", "--code", tree, "--", "true", output=output)
    job = node.wait(output.read_text().strip())
    check(job["exit_code"] == 0 and job["snapshot"], f"{job['id']}: {job['ending_words']}")
    return run.seconds, job["snapshot"]


def measure(bench):
    plain, repository = trees.make_code(bench), trees.make_code(bench)
    make_repository(bench, repository)
    # Past the instant in which a file's time says nothing about later changes; git writes its index once more then.
    time.sleep(1.2)
    bench.run("git status --porcelain", cwd=repository)
    with realtime(), Node(bench) as node:
        results = in_turn(
            {
                "plain": lambda: submit(node, plain),
                "repository": lambda: submit(node, repository),
                "git": lambda: bench.run("git status --porcelain", cwd=repository).seconds,
            },
            bench.rounds(25, 8),
            warm_up=2,
        )
    for name in ("plain", "repository"):
        check(len({digest for _, digest in results[name]}) == 1, f"the unchanged tree ({name}) gave several snapshots")
    times = {"git": results["git"]} | {name: [took for took, _ in results[name]] for name in ("plain", "repository")}
    theirs = median(times["git"])

    def row(what, ours):
        figure = median(times[ours])
        return Row(
            what,
            milliseconds(figure),
            f"{milliseconds(theirs)} `git status`",
            figure / theirs,
            "≤ 2 ×",
            figure <= 2 * theirs,
            f"fastest {milliseconds(min(times[ours]))} and {milliseconds(min(times['git']))}",
            times,
        )

    what = "`berth submit`, 10,000 files unchanged"
    return [row(f"{what}, plain directory", "plain"), row(f"{what}, git work tree with its provenance", "repository")]
