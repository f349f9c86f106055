"""A no-op job from the command typed to its exit code back."""

import json
import time

from harness import check, in_turn, median, realtime
from node import Node, job_request
from peers import TaskSpooler
from report import Row, milliseconds


def on_one_connection(node, connection, bench):
    body = json.dumps(job_request(["true"], bench.scratch)).encode()
    begin = time.monotonic()
    answer = connection.request("POST", "/v1/jobs", body)
    job_id = json.loads(answer)["jobs"][0]["id"]
    job = json.loads(connection.request("GET", f"/v1/jobs/{job_id}/wait"))
    elapsed = time.monotonic() - begin
    check(job["state"] == "Completed" and job["exit_code"] == 0, f"{job_id} is {job['state']}")
    return elapsed


def measure(bench):
    rounds, warm_up = bench.rounds(60, 20), 3
    with realtime(), Node(bench) as node, TaskSpooler(bench) as tsp, node.connect() as connection:
        # The exit code that comes back is the job's own.
        node.berth("run", "--no-code", "--", "sh", "-c", "exit 7", expect=7)
        times = in_turn(
            {
                "berth": lambda: node.berth("run", "--no-code", "--", "true").seconds,
                "connection": lambda: on_one_connection(node, connection, bench),
                "tsp": lambda: tsp.run("-n", "-f", "true").seconds,
                "fork+exec": lambda: bench.run(["true"]).seconds,
            },
            rounds,
            warm_up,
        )
        ended = [job for job in node.jobs() if job["state"] == "Completed"]
        check(len(ended) == 2 * (rounds + warm_up), f"{len(ended)} no-op jobs completed, not {2 * (rounds + warm_up)}")

    def row(what, ours, peer, label, goal="", most=None):
        figure, theirs = median(times[ours]), median(times[peer])
        return Row(
            what,
            milliseconds(figure),
            f"{milliseconds(theirs)} {label}",
            figure / theirs,
            goal,
            None if most is None else figure <= most,
            f"fastest {milliseconds(min(times[ours]))} and {milliseconds(min(times[peer]))}",
            times,
        )

    run = "`berth run -- true`, durable"
    return [
        row(run, "berth", "tsp", "`tsp -nf true`, nothing on disk", "≤ 5 ms", 0.005),
        row(run, "berth", "fork+exec", "fork and exec of `true`"),
        row("the same on an open connection", "connection", "fork+exec", "fork and exec of `true`"),
    ]
