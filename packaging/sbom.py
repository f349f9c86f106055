#!/usr/bin/env python3
"""Of what a package is made, as a bill of materials in CycloneDX 1.5.

    packaging/sbom.py PACKAGE.deb [--build DIR]     DIR: build/deb, where packaging/build-deb has made it

What is in the programs is read from what made them, not from a list: the archives that the linker took parts of (its maps)
and the headers that the compiler read (ninja's dependencies), each with the package of this machine that it is of and the
source that was built from. What is needed besides is the package's Depends. The same package and build give the same
bill."""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
LIBGIT2 = ROOT / "build/libgit2"
# What is read by every program in C and leaves nothing in it but numbers and names.
NOTHING_OF_IT_STAYS = {"glibc", "linux"}


def output_of(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True, timeout=120).stdout


# --- what is in the programs

def archives(build):
    """Of which the linker took at least one part, its own objects aside."""
    maps = sorted((build / "maps").glob("*.map"))
    if not maps:
        sys.exit(f"sbom: {build} has no maps of what was linked; packaging/build-deb makes them")
    found = set()
    for path in maps:
        taken = path.read_text(errors="replace").partition("\nMemory Configuration")[0]
        found |= {Path(name).resolve() for name in re.findall(r"^(/\S+\.a)\(", taken, flags=re.MULTILINE)}
    return {path for path in found if not path.is_relative_to(build)}


def headers(build):
    """All headers of others that the sources of the programs read."""
    lines = output_of("ninja", "-C", build, "-t", "deps").splitlines()
    found = {os.path.normpath(line.strip()) for line in lines if line.startswith("    /")}
    return {Path(name) for name in found if not Path(name).is_relative_to(ROOT)}


def owners(paths):
    """file → the package that it is of."""
    names = sorted({spelling for path in paths for spelling in (str(path), re.sub(r"^/usr(?=/lib)", "", str(path)))})
    told = subprocess.run(["dpkg", "-S", *names], capture_output=True, text=True, timeout=120).stdout  # 1: some are of none
    return {Path(file): package for package, _, file in (line.partition(": ") for line in told.splitlines())
            if "," not in package}


def sources_of(packages):
    """package → (source, version of it)"""
    if not packages:
        return {}
    told = output_of("dpkg-query", "-W", "-f", "${binary:Package}\t${source:Package}\t${source:Version}\n", *sorted(packages))
    rows = [line.split("\t") for line in told.splitlines()]
    return {**{row[0].partition(":")[0]: (row[1], row[2]) for row in rows}, **{row[0]: (row[1], row[2]) for row in rows}}


def linked(build):
    """(source, version) → how it got in: "static", "headers" or both. Fails for what is of no package."""
    ways = {}
    libraries = archives(build)
    if LIBGIT2 / "libgit2.a" in libraries:
        libraries.remove(LIBGIT2 / "libgit2.a")
        ways[("libgit2", (LIBGIT2 / "made").read_text().split()[0])] = {"static"}
    for way, paths in (("static", libraries), ("headers", headers(build))):
        owner = owners(paths)
        unknown = sorted(str(path) for path in paths if path not in owner and Path(re.sub("^/usr", "", str(path))) not in owner)
        if unknown:
            sys.exit(f"sbom: of no package of this machine, so nobody knows its version: {', '.join(unknown[:5])}")
        sources = sources_of(set(owner.values()))
        for package in set(owner.values()):
            source = sources[package]
            if way == "static" or source[0] not in NOTHING_OF_IT_STAYS:
                ways.setdefault(source, set()).add(way)
    return ways


# --- the bill

def distribution():
    lines = dict(line.partition("=")[::2] for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return lines["ID"].strip('"'), f"{lines['ID']}-{lines.get('VERSION_ID', 'unstable')}".replace('"', "")


def component_of_source(source, version, ways):
    vendor, release = distribution()
    url = f"pkg:deb/{vendor}/{quote(source)}@{quote(version, safe='')}?arch=source&distro={quote(release)}"
    return {"type": "library", "bom-ref": url, "name": source, "version": version, "scope": "required", "purl": url,
            "properties": [{"name": "berth:linked", "value": way} for way in sorted(ways)]}


def components_of_depends(depends):
    for clause in sorted({part.strip() for part in depends.split(",") if part.strip()}):
        name = re.split(r"[\s(|:]", clause)[0]
        yield {"type": "library", "bom-ref": f"depends:{name}", "name": name, "scope": "required",
               "properties": [{"name": "berth:linked", "value": "shared"}, {"name": "berth:depends", "value": clause}]}


def when():
    told = os.environ.get("SOURCE_DATE_EPOCH") or output_of("git", "-C", ROOT, "log", "-1", "--format=%ct")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(told)))


def bill(package, build):
    fields = dict(line.partition(": ")[::2] for line in
                  output_of("dpkg-deb", "-f", package, "Package", "Version", "Architecture", "Depends").splitlines())
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    subject = f"pkg:deb/berth/{fields['Package']}@{quote(fields['Version'], safe='')}?arch={fields['Architecture']}"
    components = [component_of_source(*source, ways) for source, ways in sorted(linked(build).items())]
    components += components_of_depends(fields.get("Depends", ""))
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "metadata": {"timestamp": when(), "component": {
            "type": "application", "bom-ref": subject, "name": fields["Package"], "version": fields["Version"],
            "purl": subject, "licenses": [{"license": {"id": "Apache-2.0"}}],
            "hashes": [{"alg": "SHA-256", "content": digest}]}},
        "components": components,
        "dependencies": [{"ref": subject, "dependsOn": [component["bom-ref"] for component in components]}]}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("package", type=Path)
    arguments.add_argument("--build", type=Path, default=ROOT / "build/deb")
    options = arguments.parse_args()
    print(json.dumps(bill(options.package, options.build.resolve()), indent=2))


if __name__ == "__main__":
    main()
