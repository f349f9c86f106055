"""A thousand no-op jobs through two slots."""

import json
import time

from harness import BERTH, PROGRAMS, check, in_turn, median, realtime
from node import Node, job_request
from peers import TaskSpooler
from report import Row, rate


def wait_for_last(node, ids):
    # Two run at a time in the order of submission: when the last few have ended, so have all.
    with node.connect() as connection:
        for job_id in ids[-4:]:
            connection.request("GET", f"/v1/jobs/{job_id}/wait")


def one_command_each(bench, node, count):
    ids = bench.path("ids")
    command = " ".join(map(str, node.command("submit", "--no-code", "--", "true")))
    begin = time.monotonic()
    # A shell's loop, as a user would write it.
    bench.run(f"i=0; while [ $i -lt {count} ]; do {command} || exit 1; i=$((i+1)); done", output=ids,
              environment=node.environment)  # fmt: skip
    names = ids.read_text().split()
    wait_for_last(node, names)
    elapsed = time.monotonic() - begin
    check(len(set(names)) == count, f"{count} submissions printed {len(set(names))} job names")
    return elapsed


def one_connection(bench, node, count):
    bodies = [json.dumps(job_request(["true"], bench.scratch)).encode() for _ in range(count)]
    with node.connect() as connection:
        begin = time.monotonic()
        answers = [connection.request("POST", "/v1/jobs", body) for body in bodies]
    wait_for_last(node, [json.loads(answer)["jobs"][0]["id"] for answer in answers[-4:]])
    return time.monotonic() - begin


def task_spooler(bench, tsp, count):
    begin = time.monotonic()
    output = bench.path("tsp-ids")
    bench.run(f"i=0; while [ $i -lt {count} ]; do tsp -n true || exit 1; i=$((i+1)); done", output=output,
              environment=tsp.environment)  # fmt: skip
    for job in output.read_text().split()[-4:]:
        tsp.run("-w", job)
    return time.monotonic() - begin


def check_that_jobs_run(bench, node):
    """No-ops leave no trace but the agent's word: so let some leave one."""
    marks = bench.path("marks")
    marks.touch()
    with node.connect() as connection:
        requests = [job_request(["sh", "-c", f"echo {number} >> {marks}"], bench.scratch) for number in range(50)]
        answer = connection.json("POST", "/v1/jobs", {"jobs": requests})
        for job in answer["jobs"]:
            check(node.wait(job["id"])["exit_code"] == 0, f"{job['id']} failed")
    check(sorted(map(int, marks.read_text().split())) == list(range(50)), "50 jobs did not run once each")


def measure(bench):
    count, rounds = bench.rounds(1000, 300), bench.rounds(3, 2)
    with realtime(), Node(bench) as node, TaskSpooler(bench) as tsp:
        check_that_jobs_run(bench, node)
        times = in_turn(
            {
                "commands": lambda: one_command_each(bench, node, count),
                "connection": lambda: one_connection(bench, node, count),
                "tsp": lambda: task_spooler(bench, tsp, count),
            },
            rounds,
        )
        node.check_all_completed(2 * rounds * count + 50)
        tsp.check_finished(rounds * count)
    rates = {name: [count / value for value in values] for name, values in times.items()}

    def row(what, ours, goal):
        figure, peer = median(rates[ours]), median(rates["tsp"])
        return Row(
            what,
            rate(figure, "jobs"),
            f"{rate(peer, 'jobs')} tsp, one command each",
            figure / peer,
            f"≥ {goal} jobs/s",
            figure >= goal,
            samples=rates,
        )

    return [
        row(f"{count:,} no-op jobs, 2 slots, one `berth submit` each", "commands", 300),
        row(f"{count:,} no-op jobs, 2 slots, one connection", "connection", 600),
    ]
