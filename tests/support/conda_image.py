#!/usr/bin/env python3
"""Gives a container engine an image with a conda tool: `conda_image.py SOCKET FIXTURE NAME`.

This machine's Python and shell with the libraries that they load, and what conda_fixture.py made, all at their own
paths; the tool is on PATH as micromamba. The channel is in the image too, so that its builds need no network. With
`--without-tool` there is no micromamba.
"""

import io
import os
import pathlib
import subprocess
import sys
import tarfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "integration"))
from engine_api import EngineApi  # noqa: E402  pylint: disable=wrong-import-position

PROGRAMS = ["sh", "bash", "env", "cat", "cp", "rm", "mkdir", "chmod", "dirname", "head", "fold", "sed", "flock", "ls", "true",
            "readlink"]
SKIPPED = {"test", "tests", "__pycache__", "idlelib", "tkinter", "lib2to3"}


def libraries_of(path):
    told = subprocess.run(["ldd", path], capture_output=True, text=True, timeout=30, check=False).stdout
    words = [word for line in told.splitlines() for word in line.split() if word.startswith("/")]
    return {pathlib.Path(word) for word in words}


def files_below(directory):
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if name not in SKIPPED]
        for name in [*names, *[f for f in folders if os.path.islink(os.path.join(folder, f))]]:
            yield pathlib.Path(folder, name)


def is_elf(path):
    if path.is_symlink() or not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def contents(fixture):
    python = pathlib.Path("/usr/bin/python3").resolve()
    programs = [path for name in PROGRAMS for path in [pathlib.Path("/usr/bin", name)] if path.exists()]
    found = {*programs, *[path.resolve() for path in programs], pathlib.Path("/usr/bin/python3"), python}
    found |= set(files_below(pathlib.Path("/usr/lib") / python.name)) | set(HERE.glob("*.py"))
    found |= {path for path in [pathlib.Path("/etc/ssl/certs/ca-certificates.crt")] if path.exists()}  # the tool wants some
    for folder in ("venv", "bin", "channel"):
        found |= set(files_below(fixture / folder))
    for path in [path for path in found if is_elf(path)]:
        found |= libraries_of(path)
    return found


def image(fixture, with_tool):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for link in ("bin", "lib", "lib64", "sbin"):
            if os.path.islink(f"/{link}"):
                tar.add(f"/{link}", link, recursive=False)
        # By way of /usr, for /lib is a link there. Engines want each name once.
        links = {pathlib.Path(os.path.realpath(path.parent), path.name) for path in contents(fixture)}
        ends = {path.resolve() for path in links if path.is_symlink() and path.resolve().is_file()}
        for path in sorted(links | ends):
            tar.add(path, str(path).lstrip("/"), recursive=False)
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(temporary)
        if with_tool:
            tool = tarfile.TarInfo("usr/local/bin/micromamba")
            tool.type, tool.linkname = tarfile.SYMTYPE, str(fixture / "bin/micromamba")
            tar.addfile(tool)
    return packed.getvalue()


def main():
    with_tool = "--without-tool" not in sys.argv
    socket, fixture, name = [word for word in sys.argv[1:] if not word.startswith("--")]
    tree = image(pathlib.Path(fixture).resolve(), with_tool)
    EngineApi(socket).import_image(name, tree, "/usr/local/bin:/usr/bin:/bin")


if __name__ == "__main__":
    main()
