"""Environments built by Berth, against the bare tools that make the same in a directory: the same packages, wheels and
channels of this machine, and caches as warm. Each round builds another environment, so that nothing is deleted."""

import os
from pathlib import Path

import packages
from harness import Broken, check, in_turn, median
from node import Node
from report import Row, milliseconds, seconds

MOST = 1.05


class Lab:
    """One tool, as Berth runs it and as it is."""

    modules = packages.MANY  # of each package

    def __init__(self, bench, settings, option):
        self.bench = bench
        self._option = option
        self._node = Node(bench, settings=settings)
        self._made = set()
        self.environment = {"TMPDIR": str(bench.directory("tmp"))}  # of the bare tool

    def wanted(self):
        """A file that asks for the same packages as any other, and is none that was asked for before."""
        raise NotImplementedError

    def script(self, prefix, file):
        raise NotImplementedError

    def by_berth(self):
        file = self.wanted()
        os.sync()  # each pays for what it writes itself
        output = self.bench.path("digest")
        took = self._node.berth("env", "build", self._option, file, output=output).seconds
        digest = output.read_text().split()[-1]
        check(digest not in self._made, f"the environment {digest} was there already")
        self._made.add(digest)
        self.check_content(self.prefix_of(digest))
        return took

    def by_tool(self):
        prefix, file = self.bench.path("prefix"), self.wanted()
        os.sync()
        took = self.bench.run("set -e\n" + self.script(prefix, file), environment=self.environment).seconds
        self.check_content(prefix)
        return took

    def prefix_of(self, digest):
        return self._node.state / "environments" / digest / "made/prefix"

    def check_content(self, prefix):
        site = next(Path(prefix).glob("lib/python3*/site-packages"), None)
        for package, name in enumerate(packages.NAMES):
            for path, text in packages.modules(package, self.modules).items():
                if not site or (site / path).read_text() != text:
                    raise Broken(f"{prefix} has not what it should have of {name}: {path}")

    def interpreter(self):
        """The machine's, which Berth takes for venvs."""
        self.by_berth()
        (digest,) = self._made
        return os.path.realpath(self.prefix_of(digest) / "bin/python")

    def stop(self):
        self._node.stop()


class CondaLab(Lab):
    def __init__(self, bench):
        self._conda = packages.Conda(bench, self.modules)
        super().__init__(bench, packages.settings(conda=self._conda), "--conda")
        cache, root = bench.directory("conda-cache"), bench.directory("conda-root")
        self.environment |= {"CONDA_PKGS_DIRS": str(cache), "MAMBA_ROOT_PREFIX": str(root)}

    def wanted(self):
        file = self.bench.path("environment.yml")
        file.write_text(f"dependencies: {self._conda.wanted}\nvariables: {{ROUND: '{file.name}'}}\n")
        return file

    def script(self, prefix, file):
        channels = [f"--channel {channel}" for channel in self._conda.channels]
        words = ["--no-rc", "--offline", "--override-channels", *channels, *self._conda.wanted]
        return f"{self._conda.tool} create --yes --prefix {prefix} {' '.join(words)}"


class PipLab(Lab):
    modules = packages.FEW  # it takes its time

    def __init__(self, bench, with_uv=None):
        wheels = packages.make_wheels(bench, self.modules)
        super().__init__(bench, packages.settings(wheels, with_uv=with_uv), "--requirements")
        self.sources = f"--no-index --find-links {wheels}"
        self.environment |= {"PIP_CACHE_DIR": str(bench.directory("pip-cache"))}
        self._python = self.interpreter()

    def wanted(self):
        file = self.bench.path("requirements.txt")
        nothing = f"{file.name.replace('.', '-')} ; python_version < '2'"
        file.write_text("\n".join([*packages.NAMES, nothing]) + "\n")
        return file

    def script(self, prefix, file):
        install = f"{prefix}/bin/python -m pip --disable-pip-version-check install"
        return f"{self._python} -m venv {prefix}\n{install} {self.sources} -r {file}"


class UvLab(PipLab):
    """Jobs cannot write into Berth's environments, so it has their bytecode compiled, as pip always does."""

    modules = packages.MANY

    def __init__(self, bench):
        self._uv = packages.uv()
        super().__init__(bench, self._uv)
        self.environment |= {"UV_CACHE_DIR": str(bench.directory("uv-cache")), "UV_PYTHON_DOWNLOADS": "never"}

    def script(self, prefix, file):
        install = f"{self._uv} pip install --python {prefix}/bin/python --compile-bytecode"
        return f"{self._uv} venv --python {self._python} {prefix}\n{install} {self.sources} -r {file}"


def measure_tool(lab, rounds):
    lab.by_berth()
    lab.by_tool()
    times = in_turn({"berth": lab.by_berth, "tool": lab.by_tool}, rounds)
    lab.stop()
    return times


def measure(bench):
    check(packages.uv(), "there is no uv: packaging/bench installs it")
    rows = []
    for what, lab, rounds, peer in (
        ("conda environment", CondaLab, 9, "the tool's `create`"),
        ("venv by pip", PipLab, 5, "`python -m venv`, `pip install`"),
        ("venv by uv", UvLab, 9, "`uv venv`, `uv pip install --compile-bytecode`"),
    ):
        times = measure_tool(lab(bench), bench.rounds(rounds, 3))
        files = lab.modules * packages.PACKAGES
        rows.append(row(f"{what}, {files:,} modules, warm cache", times, peer))
    return rows


def row(what, times, peer):
    ours, theirs = median(times["berth"]), median(times["tool"])
    return Row(
        what,
        seconds(ours),
        f"{seconds(theirs)} {peer}",
        ours / theirs,
        "≤ 1.05 ×",
        ours <= MOST * theirs,
        f"{milliseconds(abs(ours - theirs))} {'more' if ours > theirs else 'less'}; fastest "
        f"{seconds(min(times['berth']))} and {seconds(min(times['tool']))}",
        times,
    )
