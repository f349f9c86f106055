#!/usr/bin/env python3
"""Takes micromamba's arguments, and does the work with py-rattler, a real conda solver and installer.

Only what creating an environment needs: `--version`, `info --json`, `create`. What micromamba would not take is
refused here too.
"""

import argparse
import asyncio
import hashlib
import json
import os
import pathlib
import re
import sys

import rattler

VERSION = "2.0.5"  # of the micromamba whose arguments these are
PLATFORM = str((getattr(rattler, "Subdir", None) or rattler.Platform).current())


def parse():
    parser = argparse.ArgumentParser(prog="micromamba", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=VERSION)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("info", allow_abbrev=False).add_argument("--json", action="store_true", required=True)
    create = verbs.add_parser("create", allow_abbrev=False)
    create.add_argument("-y", "--yes", action="store_true", required=True)
    create.add_argument("-p", "--prefix", required=True)
    create.add_argument("-c", "--channel", action="append", default=[])
    create.add_argument("-f", "--file")
    create.add_argument("--channel-priority", choices=["strict", "flexible", "disabled"], default="flexible")
    for flag in ("--no-rc", "--override-channels", "--offline"):
        create.add_argument(flag, action="store_true")
    create.add_argument("specs", nargs="*")
    return parser.parse_args()


def cache():
    root = os.environ.get("MAMBA_ROOT_PREFIX", os.path.expanduser("~/micromamba"))
    return pathlib.Path(os.environ.get("CONDA_PKGS_DIRS") or os.path.join(root, "pkgs"))


async def solve(arguments):
    if arguments.offline and any(not channel.startswith("file:") for channel in arguments.channel):
        raise SystemExit("critical libmamba Offline, and a channel is not of this machine")
    gateway = rattler.Gateway(cache_dir=cache() / "cache")
    priority = rattler.ChannelPriority.Strict if arguments.channel_priority != "disabled" else rattler.ChannelPriority.Disabled
    return await rattler.solve(
        sources=[rattler.Channel(channel) for channel in arguments.channel],
        specs=[rattler.MatchSpec(spec) for spec in arguments.specs], gateway=gateway,
        platforms=[PLATFORM, "noarch"], channel_priority=priority,
        virtual_packages=rattler.VirtualPackage.detect())


async def record_of(entry):
    """An explicit entry says less than an index does; the rest is in the package itself."""
    url, _, digest = entry.partition("#")
    path = pathlib.Path(url.removeprefix("file://"))
    found = hashlib.md5(path.read_bytes())
    if digest and found.hexdigest() != digest:
        raise SystemExit(f"critical libmamba the digest of {url} is not {digest}")
    package = await rattler.RepoDataRecord.from_package_archive(path)
    package.md5 = found.digest()
    return rattler.RepoDataRecord(package, path.name, url, url.rsplit("/", 2)[0])


async def explicit(file):
    lines = [line.strip() for line in pathlib.Path(file).read_text().splitlines()]
    if "@EXPLICIT" not in lines:
        raise SystemExit("critical libmamba only explicit files are read here")
    return [await record_of(line) for line in lines if re.match(r"[a-z]+://", line)]


async def create(arguments):
    print("Transaction starting", flush=True)
    records = await (explicit(arguments.file) if arguments.file else solve(arguments))
    await rattler.install(records, target_prefix=arguments.prefix, cache_dir=cache(), show_progress=False,
                          execute_link_scripts=False)
    print(f"Transaction finished: {len(records)} packages", flush=True)


def main():
    arguments = parse()
    if arguments.verb == "info":
        print(json.dumps({"mamba version": VERSION, "libmamba version": VERSION, "platform": PLATFORM}))
        return
    try:
        asyncio.run(create(arguments))
    except Exception as failure:  # noqa: BLE001 — a solver's reasons come as its own kinds of exception
        print(f"error    libmamba Could not solve for environment specs\n{failure}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)  # rattler's threads may outlive an orderly end, which crashes


if __name__ == "__main__":
    main()
