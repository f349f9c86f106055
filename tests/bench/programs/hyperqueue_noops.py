"""HyperQueue beside it: no-op jobs on a cluster of this machine's own. Tells {"round_trip": [s, …], "jobs": s} as JSON.

    hyperqueue_noops.py DIRECTORY JOBS ROUNDS     JOBS: how many, a job each, all in one go"""

import json
import os
import sys
import time

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig


def no_op(directory):
    job = Job(default_workdir=directory)
    job.program(["true"], stdout=None, stderr=None)
    return job


def timed(work):
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def main():
    directory, count, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.chdir(directory)
    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=2))
        client = cluster.client()
        client.wait_for_jobs([client.submit(no_op(directory))])
        round_trips = [timed(lambda: client.wait_for_jobs([client.submit(no_op(directory))])) for _ in range(rounds)]
        # wait_for_jobs() raises where one has failed.
        seconds = timed(lambda: client.wait_for_jobs([client.submit(no_op(directory)) for _ in range(count)]))
    print(json.dumps({"round_trip": round_trips, "jobs": seconds}))


main()
