"""Packages to build environments from, made here so that no network is measured: wheels for pip and uv, a conda channel
beside that of the conda tests, and the tools themselves, which packaging/bench installs in build/bench."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from harness import PROGRAMS, ROOT, check

CONDA = PROGRAMS / "conda"  # what tests/support/conda_fixture.py makes
SUPPORT = ROOT / "tests" / "support"
PACKAGES, MODULES, FUNCTIONS = 10, 100, 40  # ten packages of a hundred modules of 2 KB: about what NumPy alone has
NAMES = [f"bench{number}" for number in range(PACKAGES)]


def module(package, number):
    return "".join(
        f"def function_{at}(a, b={number}):\n    return a * {package} + b - {at}\n\n" for at in range(FUNCTIONS)
    )


def modules(package):
    """{path within site-packages: text}"""
    files = {f"{NAMES[package]}/m{number}.py": module(package, number) for number in range(MODULES)}
    return files | {f"{NAMES[package]}/__init__.py": 'version = "1.0"\n'}


def make_wheels(bench):
    """A directory with a wheel of each package."""
    directory = bench.directory("wheels")
    for package, name in enumerate(NAMES):
        about = f"{name}-1.0.dist-info"
        files = modules(package) | {
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        files[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{about}/RECORD"])
        with zipfile.ZipFile(directory / f"{name}-1.0-py3-none-any.whl", "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)
    return directory


def make_channel(directory):
    """Run by the conda fixture's Python, which has what packing takes."""
    sys.path.insert(0, str(SUPPORT))
    from conda_channel import Channel  # pylint: disable=import-outside-toplevel,import-error

    channel = Channel(Path(directory))
    for package, name in enumerate(NAMES):
        files = {f"site-packages/{path}": text for path, text in modules(package).items()}
        channel.add(name, "1.0", files, ["python >=3"])
    (channel.directory / "linux-64").mkdir()
    channel.write_index()


class Conda:
    """The conda tests' tool and channel, and a channel with our packages."""

    tool = CONDA / "bin" / "micromamba"

    def __init__(self, bench):
        check(self.tool.exists(), f"{self.tool} is not there: packaging/bench makes it")
        directory = bench.path("channel")
        subprocess.run([CONDA / "venv/bin/python", "-B", __file__, directory], check=True)
        self.channels = [f"file://{CONDA}/channel", f"file://{directory}"]
        self.wanted = ["python", "pip", "activated", *NAMES]


def uv():
    """The program, from PATH or where packaging/bench put it; nothing where there is none."""
    own = PROGRAMS / "uv" / "bin" / "uv"
    return str(own) if os.access(own, os.X_OK) else shutil.which("uv")


def settings(wheels=None, conda=None, with_uv=None):
    """An agent's, to build from these and nothing else."""
    lines = ["offline: true", f"uv: '{with_uv or ''}'"]
    if wheels:
        lines.append(f"find_links: [{wheels}]")
    if conda:
        lines += [f"conda: {conda.tool}", f"conda_channels: {conda.channels}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    make_channel(sys.argv[1])
