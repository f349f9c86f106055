"""Packages to build environments from, made here so that no network is measured: wheels for pip and uv, a conda channel
beside that of the conda tests, and the tools themselves, which packaging/bench installs in build/bench."""

import contextlib
import importlib.util
import marshal
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from harness import PROGRAMS, ROOT, check

CONDA = PROGRAMS / "conda"  # what tests/support/conda_fixture.py makes
SUPPORT = ROOT / "tests" / "support"
PACKAGES, FUNCTIONS = 10, 40  # of each module, which makes 2 KB
FEW, MANY = 100, 400  # modules of each package: a thousand files, or four thousand, as NumPy, SciPy and pandas have
NAMES = [f"bench{number}" for number in range(PACKAGES)]


def module(package, number):
    return "".join(
        f"def function_{at}(a, b={number}):\n    return a * {package} + b - {at}\n\n" for at in range(FUNCTIONS)
    )


def modules(package, count):
    """{path within site-packages: text}"""
    files = {f"{NAMES[package]}/m{number}.py": module(package, number) for number in range(count)}
    return files | {f"{NAMES[package]}/__init__.py": 'version = "1.0"\n'}


def make_wheels(bench, count=FEW):
    """A directory with a wheel of each package, with so many modules."""
    directory = bench.directory("wheels")
    for package, name in enumerate(NAMES):
        about = f"{name}-1.0.dist-info"
        files = modules(package, count) | {
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        files[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{about}/RECORD"])
        with zipfile.ZipFile(directory / f"{name}-1.0-py3-none-any.whl", "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)
    return directory


def with_bytecode(files):
    """As conda's own packages of Python have it: else each start would compile what it imports."""
    compiled = {}
    for path in [path for path in files if path.endswith(".py")]:
        source = files[path].encode() if isinstance(files[path], str) else files[path]
        with contextlib.suppress(SyntaxError, ValueError):
            code = marshal.dumps(compile(source, path, "exec", dont_inherit=True))
            head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")  # of this source, and never checked
            compiled[importlib.util.cache_from_source(path)] = head + importlib.util.source_hash(source) + code
    return files | compiled


def make_channel(directory, count):
    """Run by the conda fixture's Python, which has what packing takes."""
    sys.path.insert(0, str(SUPPORT))
    import conda_channel  # pylint: disable=import-outside-toplevel,import-error

    channel = conda_channel.Channel(Path(directory))
    python = with_bytecode(conda_channel.python_files())
    channel.add("python", "%d.%d.%d" % sys.version_info[:3], python, subdir="linux-64", build="1_cpython", packed=".conda")
    for package, name in enumerate(NAMES):
        files = {f"site-packages/{path}": text for path, text in modules(package, count).items()}
        channel.add(name, "1.0", files, ["python >=3"])
    channel.write_index()


class Conda:
    """The conda tests' tool and channel, and a channel with our packages."""

    tool = CONDA / "bin" / "micromamba"

    def __init__(self, bench, count=FEW):
        check(self.tool.exists(), f"{self.tool} is not there: packaging/bench makes it")
        directory = bench.path("channel")
        subprocess.run([CONDA / "venv/bin/python", "-B", __file__, directory, str(count)], check=True)
        self.channels = [f"file://{directory}", f"file://{CONDA}/channel"]
        self.wanted = ["python", "pip", *NAMES]


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
    make_channel(sys.argv[1], int(sys.argv[2]))
