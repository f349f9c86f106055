"""Waiting for what takes as long as it takes."""

import time

PATIENCE = 30  # seconds for what takes milliseconds: a loaded machine is no failure


def eventually(condition, what, patience=PATIENCE, pause=0.01):
    """The first true value of condition(); a failure that tells the last value after `patience` seconds."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {patience} s: {what} (last: {value!r})")
        time.sleep(pause)
