#!/usr/bin/env python3
"""Makes what the conda tests need: `conda_fixture.py DIRECTORY`, quick where it is there already.

DIRECTORY/channel is a channel (conda_channel.py), DIRECTORY/bin/micromamba a conda tool on py-rattler, which comes from
the package index (rattler_micromamba.py).
"""

import fcntl
import hashlib
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = ["py-rattler==0.28.0", "zstandard==0.25.0"]
PYTHON = "/usr/bin/python3" if pathlib.Path("/usr/bin/python3").exists() else sys.executable


def stamp():
    parts = [*PACKAGES, PYTHON, str(HERE), *(path.read_text() for path in sorted(HERE.glob("*conda*.py")))]
    parts.append((HERE / "rattler_micromamba.py").read_text())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def make(directory):
    python = directory / "venv/bin/python"
    subprocess.run([PYTHON, "-m", "venv", "--clear", directory / "venv"], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], check=True)
    subprocess.run([python, HERE / "conda_channel.py", directory / "channel"], check=True)
    tool = directory / "bin/micromamba"
    tool.parent.mkdir(exist_ok=True)
    tool.write_text(f'#!/bin/sh\nexec "{python}" -B "{HERE / "rattler_micromamba.py"}" "$@"\n')
    tool.chmod(0o755)


def main():
    directory = pathlib.Path(sys.argv[1]).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = directory / "made"
        if not made.exists() or made.read_text() != stamp():
            make(directory)
            made.write_text(stamp())


if __name__ == "__main__":
    main()
