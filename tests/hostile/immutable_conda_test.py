"""What `conda install` in a job changes is the job's own: in the environment's prefix, and in the caches of packages that
builds have. By a real conda installer (../support/rattler_micromamba.py), as a user of a root agent and as root."""

import json
import os
import shlex
import shutil
import unittest
from pathlib import Path

from hostile import HostileTest, harness, main
from shared_things import Shared

CONDA = Path(os.environ.get("BERTH_CONDA_FIXTURE", harness.ROOT / "build/dev/conda"))
SHOWN = ("import glob, hello, os, sys; print(hello.__version__, *sorted(os.path.basename(p).rsplit('-', 1)[0] "
         "for p in glob.glob(sys.prefix + '/conda-meta/*.json')), os.path.exists(sys.prefix + '/mine'))")
AS_BUILT = "1.1.0 hello-1.1.0 python-{python} False\n"
AS_CHANGED = "2.0.0 hello-2.0.0 python-{python} True\n"
# What `conda install hello=2` does: solves, unpacks into a cache of packages, links from there, writes conda-meta.
INSTALL = """set -e
export CONDA_PKGS_DIRS="$TMPDIR/pkgs" HOME="$TMPDIR"
{conda} create -y -p "$CONDA_PREFIX" --no-rc --override-channels -c {channel} python hello=2
ls -d "$CONDA_PKGS_DIRS"/hello-2* > "$TMPDIR/unpacked"
echo mine > "$CONDA_PREFIX/mine"
echo '# a comment' >> "$CONDA_PREFIX/conda-meta/history"
chmod -R go-w "$CONDA_PREFIX"
python -c {shown}
"""
# Into the caches of packages that builds have, by every way that an installer has: into one of its own first, where all
# of them work. Prints which did not there, and what it got done elsewhere.
INTO_CACHES = r"""
import glob, os, shutil, subprocess, sys, tarfile, tempfile
caches, conda, channel, prefix = sys.argv[1].split(":"), sys.argv[2], sys.argv[3], os.environ["CONDA_PREFIX"]
tmp, done = os.environ["TMPDIR"], []

def attempt(what, place):
    try:
        what(place)
        done.append(f"{what.__name__} {place}")
    except (OSError, subprocess.CalledProcessError):
        pass

def make(place): os.makedirs(place + "/hello-1.1.0-py_9/info")
def unpack(place):
    with tarfile.open(glob.glob(channel + "/noarch/hello-2*.tar.bz2")[0]) as package: package.extractall(place + "/hello-1.1.0-py_0")
def download(place): shutil.copy(glob.glob(channel + "/noarch/hello-2*")[0], place)
def link_into(place): os.link(glob.glob(prefix + "/lib/python3*/site-packages/hello/__init__.py")[0], place + "/linked")
def link_out_of(place):
    found = [os.path.join(folder, name) for folder, _, names in os.walk(place) for name in names if name == "__init__.py"]
    link = tempfile.mktemp(dir=tmp)
    os.link(found[0] if found else place + "/urls.txt", link)
    with open(link, "a") as file: file.write("__version__ = 'EVIL'\n")
def urls(place):
    with open(place + "/urls.txt", "a") as file: file.write("file:///evil/hello-1.1.0-py_0.tar.bz2\n")
def change(place):
    for folder, _, names in os.walk(place):
        for name in names:
            with open(os.path.join(folder, name), "a") as file: file.write("__version__ = 'EVIL'\n")
    if not os.access(place, os.R_OK): raise PermissionError(place)
def remove(place): shutil.rmtree(place)
def install(place):
    subprocess.run(["sh", "-c", conda + ' create -y -p "$1" --no-rc --override-channels -c "file://$0" python hello=2', channel,
                    tempfile.mktemp(dir=tmp)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "CONDA_PKGS_DIRS": place, "HOME": tmp})

WAYS = [make, unpack, download, urls, install, link_out_of, change, remove]
install(tmp + "/own")
for what in WAYS:
    attempt(what, tmp + "/own")
print("FAILED", [what.__name__ for what in WAYS if f"{what.__name__} {tmp}/own" not in done])
done.clear()
for cache in caches:
    for what in [link_into, *WAYS]:
        attempt(what, cache)
print("DONE", done)
"""


@unittest.skipUnless((CONDA / "bin/micromamba").exists(), "the conda tests' fixture is not made")
class Conda(Shared):
    def prepare(self, owner=None):
        """The channel and the installer, where everybody can look; code with an environment file."""
        self.place.chmod(0o755)
        self.channel, self.tool = self.place / "channel", self.place / "tool"
        shutil.copytree(CONDA / "channel", self.channel)
        self.tool.mkdir()
        packages = next((CONDA / "venv/lib").glob("python3*/site-packages"))
        shutil.copytree(packages, self.tool / "packages", ignore=shutil.ignore_patterns("pip*", "__pycache__"))
        shutil.copy(harness.ROOT / "tests/support/rattler_micromamba.py", self.tool)
        python = next(path for path in (Path("/usr/bin/python3"), Path(harness.PYTHON)) if path.exists())
        (self.tool / "micromamba").write_text(f'#!/bin/sh\nPYTHONPATH={self.tool}/packages exec {python} -B '
                                              f'{self.tool}/rattler_micromamba.py "$@"\n')
        (self.tool / "micromamba").chmod(0o755)
        self.version = "%d.%d.%d" % tuple(json.loads(harness.family.run(
            [str(python), "-c", "import sys; print(list(sys.version_info[:3]))"], 60).stdout))
        self.code = self.environment_of(owner)

    def environment_of(self, owner, *more):
        text = "dependencies: [" + ", ".join(["python", "hello=1.1", *more]) + "]\n"
        code = self.files_of(owner, environment_yml=text) if owner else self.directory(f"code{len(more)}", environment_yml=text)
        (code / "attack.py").write_text(INTO_CACHES)
        return code

    @property
    def settings(self):
        return f"conda: {CONDA}/bin/micromamba\nconda_channels: ['file://{self.channel}']\noffline: true"

    def in_environment(self, *command, **options):
        return self.acting_run("run", "--no-code", "--conda", "environment.yml", "--", *command, cwd=self.code, timeout=120, **options)

    def settled(self):
        """The environments, once they are on disk."""
        for environment in self.agent.get("/v1/environments")["environments"]:
            place = self.agent.state / "environments" / environment["digest"] / "ready.json"
            harness.eventually(lambda: not json.loads(place.read_text())["only_in_boot"], "it is on disk")

    def as_built(self):
        return AS_BUILT.format(python=self.version)

    def what_conda_installs_is_the_jobs_own(self):
        self.assertEqual(self.in_environment("python", "-c", SHOWN).out, self.as_built())
        self.settled()
        before = self.fingerprint_now()
        self.assertEqual(self.changes_of_last(), {"files": 0, "added": [], "removed": [], "shared": False, "unknown": None})
        install = INSTALL.format(conda=self.tool / "micromamba", channel=f"file://{self.channel}", shown=shlex.quote(SHOWN))
        said = self.in_environment("sh", "-c", install).out
        self.assertTrue(said.endswith(AS_CHANGED.format(python=self.version)), said)
        changes = self.changes_of_last()
        self.assertIn("hello-2.0.0", " ".join(changes["added"]))
        self.assertIn("hello-1.1.0", " ".join(changes["removed"]))
        self.assertEqual((changes["unknown"], changes["shared"]), (None, False))
        self.assertIn("(in this job alone)", self.acting_run("show", "@last", cwd=self.code).out)
        self.assertEqual(self.in_environment("python", "-c", SHOWN).out, self.as_built())
        self.assertEqual(self.changes_of_last()["files"], 0)
        self.assert_unchanged(before)
        others = self.environment_of(self.victim)
        seen = self.berth(self.victim, "run", "--no-code", "--conda", "environment.yml", "--", "python", "-c", SHOWN, cwd=others)
        self.assertEqual(seen.out, self.as_built())
        self.assertEqual(len(self.agent.get("/v1/environments")["environments"]), 1)  # the same one

    def the_caches_of_packages_are_out_of_reach(self):
        """Where each person's builds have one: `share_environments: false`."""
        self.assertEqual(self.in_environment("python", "-c", SHOWN).out, self.as_built())
        self.berth(self.victim, "run", "--no-code", "--conda", "environment.yml", "--", "true", cwd=self.environment_of(self.victim))
        self.settled()
        caches = sorted((self.agent.state / "environments/cache").glob("*/conda"))
        self.assertEqual(len(caches), 2)
        self.assertTrue(all(list(cache.glob("hello-1.1.0*")) for cache in caches))
        before = self.fingerprint_now()
        attack = [harness.PYTHON, self.code / "attack.py", ":".join(map(str, caches)), self.tool / "micromamba", self.channel]
        self.assertEqual(self.in_environment(*attack).out, "FAILED []\nDONE []\n")
        self.assert_unchanged(before)
        self.code = self.environment_of(self.owner, "world")  # is made of the caches
        others = self.environment_of(self.victim, "world")
        self.assertIn("1.1.0 ", self.in_environment("python", "-c", SHOWN).out)
        seen = self.berth(self.victim, "run", "--no-code", "--conda", "environment.yml", "--", "python", "-c", SHOWN, cwd=others)
        self.assertIn("1.1.0 hello-1.1.0 ", seen.out)


class OfUserTest(Conda, HostileTest):
    def setUp(self):
        super().setUp()
        self.owner = self.attacker
        self.prepare(self.owner)

    def acting_run(self, *arguments, **options):
        return self.berth(self.owner, *arguments, **options)

    def test_what_conda_installs_in_a_users_job_is_that_jobs_own(self):
        self.start(self.settings)
        self.what_conda_installs_is_the_jobs_own()

    def test_a_users_job_reaches_no_cache_of_packages(self):
        self.start(f"share_environments: false\n{self.settings}")
        self.the_caches_of_packages_are_out_of_reach()


class OfRootTest(Conda, HostileTest):
    """For a real root nothing is a border, but what an installer does fails."""

    def setUp(self):
        super().setUp()
        self.owner = None
        self.prepare()

    def acting_run(self, *arguments, **options):
        return self.agent.berth(*arguments, **options)

    def test_what_conda_installs_in_roots_job_is_that_jobs_own(self):
        self.start(self.settings)
        self.what_conda_installs_is_the_jobs_own()

    def test_roots_job_changes_no_cache_of_packages(self):
        self.start(f"share_environments: false\n{self.settings}")
        self.the_caches_of_packages_are_out_of_reach()


if __name__ == "__main__":
    main()
