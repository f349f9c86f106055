"""The end of a program of unittest cases: what could not be tried is told, each reason with the number of its cases, as
the C++ programs tell it (skip.hpp). A program none of whose cases could be tried exits with 77, which ctest shows as
skipped."""

import collections
import sys
import unittest
from pathlib import Path

ALL_SKIPPED = 77


def exit_code(result, name):
    """Of a run's result; tells of its skips."""
    for reason, count in sorted(collections.Counter(reason for _, reason in result.skipped).items()):
        print(f"SKIPPED: {name}: {count} of {result.testsRun} cases: {reason}", file=sys.stderr)
    if not result.wasSuccessful():
        return 1
    # A class that is skipped as a whole is told once, and its cases are not counted as run.
    return ALL_SKIPPED if result.skipped and len(result.skipped) >= result.testsRun else 0


def main(**options):
    program = unittest.main(module="__main__", exit=False, **options)
    sys.exit(exit_code(program.result, Path(sys.argv[0]).stem))
