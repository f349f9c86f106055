"""The packages under test: Berth as it is here, and the same as an older version.

BERTH_DEB and BERTH_OLDER_DEB name finished ones; otherwise packaging/build-deb makes them, once per state of the
sources."""

import hashlib
import os
import re
import shutil
from pathlib import Path

from tools import locked, run

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BERTH_SYSTEM_BUILD", ROOT / "build/system"))
OLDER_VERSION = "0.0.9"
_SOURCES = ("CMakeLists.txt", "CMakePresets.json", "agent", "cmake", "packaging", "runtime", "systemd")


def current():
    """Path of the package made from these sources."""
    return Path(os.environ["BERTH_DEB"]) if "BERTH_DEB" in os.environ else _built()


def older():
    """Path of a package of the same sources whose version, in name and programs, is lower."""
    return Path(os.environ["BERTH_OLDER_DEB"]) if "BERTH_OLDER_DEB" in os.environ else _built(OLDER_VERSION)


def version(deb):
    return run("dpkg-deb", "-f", deb, "Version").strip()


def dependencies(deb):
    """Names of what the package depends on; the first one of alternatives."""
    fields = run("dpkg-deb", "-f", deb, "Depends", "Pre-Depends")
    wanted = re.sub(r"^(Pre-)?Depends:", ",", fields, flags=re.MULTILINE).split(",")
    return sorted({re.split(r"[\s(|:]", clause.strip())[0] for clause in wanted if clause.strip()})


def _built(version=None):
    BUILD.mkdir(parents=True, exist_ok=True)
    folder = BUILD / "packages" / f"{_state_of_sources()}-{version or 'current'}"
    with locked(BUILD / "packages.lock"):
        if not (found := list(folder.glob("*.deb"))):
            found = [_build(folder, version)]
    return found[0]


def _build(folder, version):
    _forget_older_states(folder)
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    output = run(ROOT / "packaging/build-deb", "--out", new, *(["--version", version] if version else []), timeout=1800,
                 cwd=ROOT)
    name = Path(output.strip().splitlines()[-1]).name
    new.rename(folder)
    return folder / name


def _forget_older_states(folder):
    if folder.parent.is_dir():
        for other in folder.parent.iterdir():
            if not other.name.startswith(_state_of_sources()):
                shutil.rmtree(other, ignore_errors=True)


def _state_of_sources():
    """Changes with every change of a file that goes into the package."""
    names = run("git", "ls-files", "-co", "--exclude-standard", "-z", "--", *_SOURCES, cwd=ROOT).split("\0")
    digest = hashlib.sha256()
    for name in sorted(filter(None, names)):
        path = ROOT / name
        if path.is_file():
            digest.update(f"{name}\0{path.stat().st_mode & 0o111}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
