"""Ten thousand jobs queued behind one that does not end."""

import json
import time
from dataclasses import dataclass

from harness import Broken, check, median, pss_bytes, realtime
from node import Node, job_request
from peers import TaskSpooler
from report import Row, mebibytes, rate, size

COUNT = 10_000
SETTLE = 2  # seconds before memory is weighed


def block(bench, node):
    with node.connect() as connection:
        request = job_request(["sleep", "900"], bench.scratch)
        job_id = connection.json("POST", "/v1/jobs", request)["jobs"][0]["id"]
    node.wait_until_running(job_id)


def batch(bench, count):
    return json.dumps({"jobs": [job_request(["true"], bench.scratch) for _ in range(count)]}).encode()


def send(connection, body, count):
    begin = time.monotonic()
    answer = connection.request("POST", "/v1/jobs", body)
    elapsed = time.monotonic() - begin
    accepted = json.loads(answer)["jobs"]
    check(len({job["id"] for job in accepted}) == count, f"{len(accepted)} of {count} jobs were accepted")
    return elapsed


def check_queued(node, count):
    with node.connect() as connection:
        jobs = connection.json("GET", "/v1/status")["jobs"]
    check(jobs["queued"] == count and jobs["running"] == 1, f"{count} jobs should wait behind one: {jobs}")


@dataclass
class Batch:
    seconds: float
    memory: float  # bytes per job, with what the agent keeps from having taken so many
    next_memory: float  # per job of a second batch: what a queued job takes
    whole: int  # bytes of the agent with the first batch


def in_one_batch(bench):
    with Node(bench, max_parallel=1) as node:
        block(bench, node)
        with node.connect() as connection:
            send(connection, batch(bench, 100), 100)  # what is loaded once is loaded
            time.sleep(SETTLE)
            weights, times = [pss_bytes([node.pid])], []
            for _ in range(2):
                times.append(send(connection, batch(bench, COUNT), COUNT))
                time.sleep(SETTLE)
                weights.append(pss_bytes([node.pid]))
        check_queued(node, 2 * COUNT + 100)
    growth = [(after - before) / COUNT for before, after in zip(weights, weights[1:])]
    return Batch(times[0], growth[0], growth[1], weights[1])


def in_ten_batches(bench):
    """Gives the seconds of each of ten batches of a tenth, the queue ever longer."""
    with Node(bench, max_parallel=1) as node:
        block(bench, node)
        with node.connect() as connection:
            times = [send(connection, batch(bench, COUNT // 10), COUNT // 10) for _ in range(10)]
        check_queued(node, COUNT)
    return times


def task_spooler(bench):
    """Gives (queued, seconds, bytes per job): it takes no more at some point."""
    with TaskSpooler(bench) as tsp:
        for _ in range(2):
            tsp.run("-n", "sleep", "900")
        before, queued = pss_bytes(tsp.pids()), 0
        begin = last = time.monotonic()
        try:
            while queued < 2_000:
                tsp.run("-n", "true", timeout=2)
                queued, last = queued + 1, time.monotonic()
        except Broken:
            pass
        return queued, last - begin, (pss_bytes(tsp.pids()) - before) / queued


def measure(bench):
    with realtime():
        batches = [in_one_batch(bench) for _ in range(bench.rounds(3, 1))]
        tenths = [in_ten_batches(bench) for _ in range(bench.rounds(3, 1))]
        tsp_queued, tsp_seconds, tsp_memory = task_spooler(bench)
    speed = COUNT / median([each.seconds for each in batches])
    memory = median([each.memory for each in batches])
    next_memory = median([each.next_memory for each in batches])
    whole = median([each.whole for each in batches])
    flatness = median([times[0] / times[-1] for times in tenths])
    tsp_speed = tsp_queued / tsp_seconds
    samples = {"batches": [vars(each) for each in batches], "tenths": tenths, "tsp": [tsp_queued, tsp_seconds, tsp_memory]}
    return [
        Row(
            f"{COUNT:,} queued behind a blocker, one batch",
            rate(speed, "submissions"),
            f"{rate(tsp_speed, 'submissions')} tsp, stops at {tsp_queued:,}",
            speed / tsp_speed,
            "≥ 5,000/s",
            speed >= 5_000,
            samples=samples,
        ),
        Row(
            "memory per queued job",
            size(memory),
            f"{size(tsp_memory)} tsp",
            memory / tsp_memory,
            "≤ 1 KiB",
            memory <= 1024,
            f"growth over the number of jobs; of 10,000 more: {size(next_memory)} each. The agent with the first 10,000: "
            f"{mebibytes(whole)} PSS",
        ),
        Row(
            "the last 1,000 of 10,000 submissions over the first",
            f"{flatness:.2f} of the rate",
            note="in ten batches of 1,000: "
            + " ".join(f"{median([times[at] for times in tenths]) * 1e3:.0f}" for at in range(10))
            + " ms",
        ),
    ]
