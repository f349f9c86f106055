#!/usr/bin/env python3
"""Whether one package installs and runs on every release that Berth supports.

    packaging/portability.py PACKAGE.deb

What its programs load must be there under the same name, no newer than the oldest release has it, and its Depends must
hold everywhere. Tells each violation on a line, and exits with 1 if there is one."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

# What the oldest has of each, Ubuntu 22.04.
NEWEST_SYMBOLS = {"GLIBC": "2.35", "GLIBCXX": "3.4.30", "CXXABI": "1.3.13", "GCC": "12.0.0", "LIBSYSTEMD": "249",
                  "OPENSSL": "3.0.0"}
LIBRARIES = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libstdc++.so.6", "libgcc_s.so.1",
             "libsystemd.so.0", "libcrypto.so.3", "libssl.so.3"}
# Versions of what Berth may depend on; what is virtual has none.
_EVERYWHERE = {"ucf": "3.0043", "default-dbus-system-bus": None, "dbus-system-bus": None}
RELEASES = {
    "Ubuntu 22.04": {**_EVERYWHERE, "libc6": "2.35", "libgcc-s1": "12", "libstdc++6": "12", "libsystemd0": "249.11",
                     "libssl3": "3.0.2", "systemd": "249.11", "init-system-helpers": "1.62"},
    "Ubuntu 24.04": {**_EVERYWHERE, "libc6": "2.39", "libgcc-s1": "14", "libstdc++6": "14", "libsystemd0": "255.4",
                     "libssl3t64": "3.0.13", "systemd": "255.4", "init-system-helpers": "1.66"},
    "Debian 12": {**_EVERYWHERE, "libc6": "2.36", "libgcc-s1": "12.2.0", "libstdc++6": "12.2.0", "libsystemd0": "252",
                  "libssl3": "3.0.9", "systemd": "252", "init-system-helpers": "1.65"},
    "Debian 13": {**_EVERYWHERE, "libc6": "2.41", "libgcc-s1": "14.2.0", "libstdc++6": "14.2.0", "libsystemd0": "257",
                  "libssl3t64": "3.5.0", "systemd": "257", "init-system-helpers": "1.68"},
}


def output_of(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True, timeout=60).stdout


def compare(version, relation, other):
    done = subprocess.run(["dpkg", "--compare-versions", version, relation, other], timeout=60)
    if done.returncode not in (0, 1):  # it has not compared them
        raise subprocess.CalledProcessError(done.returncode, done.args)
    return done.returncode == 0


def is_newer(version, other):
    return compare(version, "gt", other)


def programs_in(folder):
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with open(path, "rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def wrong_with_program(path):
    for library in re.findall(r"\(NEEDED\).*\[(.*)\]", output_of("readelf", "-dW", path)):
        if library not in LIBRARIES:
            yield f"loads {library}, which is not on every release: link it in"
    needs = output_of("readelf", "-VW", path).partition("Version needs section")[2]
    for symbols in sorted(set(re.findall(r"Name: (\S+)", needs))):
        family, _, version = symbols.rpartition("_")
        if family not in NEWEST_SYMBOLS:
            yield f"needs {symbols}, of which nobody has said which releases have it"
        elif not version[0].isdigit():
            yield f"needs {symbols}, which other builds of the library lack"
        elif is_newer(version, NEWEST_SYMBOLS[family]):
            yield f"needs {symbols}; the oldest release has {family}_{NEWEST_SYMBOLS[family]}"


def holds(alternative, release):
    name, relation, version = re.fullmatch(r"([^\s(]+)\s*(?:\((\S+)\s*([^)\s]+)\))?", alternative).groups()
    if name not in release:
        return False
    if not relation:
        return True
    return release[name] is not None and compare(release[name], relation, version)


def wrong_with_dependencies(depends):
    for clause in filter(None, (part.strip() for part in depends.split(","))):
        alternatives = [part.strip() for part in clause.split("|")]
        missing = [name for name, release in RELEASES.items() if not any(holds(each, release) for each in alternatives)]
        if missing:
            yield f"depends on {clause}, which {', '.join(missing)} cannot give"


def violations(package):
    with tempfile.TemporaryDirectory() as scratch:
        output_of("dpkg-deb", "-x", package, scratch)
        programs = list(programs_in(Path(scratch)))
        if not programs:
            yield "has no programs"
        for path in programs:
            yield from (f"/{path.relative_to(scratch)} {words}" for words in wrong_with_program(path))
    fields = output_of("dpkg-deb", "-f", package, "Depends", "Pre-Depends")
    yield from wrong_with_dependencies(re.sub(r"^(Pre-)?Depends:", ",", fields, flags=re.MULTILINE).replace("\n", ""))


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: packaging/portability.py PACKAGE.deb")
    wrong = list(violations(Path(sys.argv[1])))
    for words in wrong:
        print(f"portability: {words}")
    if not wrong:
        print(f"portability: for {', '.join(RELEASES)}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
