"""Stands for a training: counts steps, saves a checkpoint when it is asked to stop, and goes on from the last one."""

import argparse
import json
import os
import pathlib
import signal
import time


class StopRequest:
    """Whether somebody asked the job to stop: true from the first SIGTERM on."""

    def __init__(self):
        self.received = False
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, *_):
        self.received = True

    def describe(self):
        """Why, and the seconds that are left."""
        try:
            reason, grace = pathlib.Path(os.environ["BERTH_STOP_REASON"]).read_text().split()
            return f"{reason}, {grace} s left"
        except (KeyError, OSError, ValueError):
            return "SIGTERM"  # not under Berth, or asked by somebody else


def load(checkpoint):
    return json.loads(checkpoint.read_text())["step"] if checkpoint.exists() else 0


def save(checkpoint, step):
    """All or nothing: a reader finds the old checkpoint or the new one, also after a power cut."""
    fresh = checkpoint.with_suffix(".new")
    with open(fresh, "w") as file:
        json.dump({"step": step}, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(checkpoint)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()

    stop = StopRequest()
    options.checkpoints.mkdir(parents=True, exist_ok=True)
    checkpoint = options.checkpoints / "last.json"
    first = load(checkpoint) + 1
    print(f"begins with step {first} of {options.steps}", flush=True)
    for step in range(first, options.steps + 1):
        time.sleep(0.1)  # here a model would learn
        print(f"step {step}", flush=True)
        if stop.received:
            save(checkpoint, step)
            print(f"saved step {step}, because it is to stop: {stop.describe()}", flush=True)
            return
        if step % 100 == 0:
            save(checkpoint, step)
    save(checkpoint, options.steps)


if __name__ == "__main__":
    main()
