#!/usr/bin/env python3
"""The unit tests that a change may have broken, for packaging/check --quick.

    packaging/affected.py BUILD STAMPS                 names them, one a line
    packaging/affected.py BUILD STAMPS --ran REPORT    notes down those that passed, by ctest's JUnit report

A test is left out when its program, the programs that tests start and the files that they read are all older than its last
success; and when it takes long (label `slow`). Tests that are no programs of the build are always named."""

import json
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What unit tests start besides their own program, in the build.
STARTED = ("bin/berth-shim", "lib/**/*", "test-programs/*")
# What they read, in the tree.
READ = ("tests/agent", "tests/runtime", "tests/support", "tests/fuzz/corpus", "tests/integration/engine*.py",
        "agent/api/openapi.yaml", "packaging/etc")
SOURCES = (".cpp", ".hpp", ".h", ".txt")
LEFT_OUT = {"integration", "slow"}


def time_of(path):
    return path.stat().st_mtime_ns if path.is_file() else 0


def shared_by_all(build):
    """When the newest of what any of them may use besides its own program was made."""
    started = (path for pattern in STARTED for path in build.glob(pattern))
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z", "--", *READ], cwd=ROOT, capture_output=True,
                            text=True, check=True, timeout=60).stdout
    read = (ROOT / name for name in listed.split("\0") if name and not name.endswith(SOURCES))
    return max(map(time_of, (*started, *read)), default=0)


def unit_tests(build):
    """(name, program) of those that are not left out anyway."""
    told = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], capture_output=True, text=True, check=True,
                          timeout=60).stdout
    for test in json.loads(told)["tests"]:
        labels = next((each["value"] for each in test.get("properties", []) if each["name"] == "LABELS"), [])
        if not LEFT_OUT & set(labels) and "command" in test:
            yield test["name"], Path(test["command"][0]).resolve()


def affected(build, stamps):
    newest = shared_by_all(build)
    for name, program in unit_tests(build):
        if not program.is_relative_to(build) or max(time_of(program), newest) > time_of(stamps / name):
            yield name


def note_down(stamps, report):
    stamps.mkdir(parents=True, exist_ok=True)
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        if case.get("status") == "run" and case.find("failure") is None:
            (stamps / case.get("name")).touch()
        else:
            (stamps / case.get("name")).unlink(missing_ok=True)


def main():
    build, stamps = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    if sys.argv[3:4] == ["--ran"]:
        note_down(stamps, sys.argv[4])
    else:
        print("\n".join(affected(build, stamps)))


if __name__ == "__main__":
    main()
