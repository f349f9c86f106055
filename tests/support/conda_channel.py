#!/usr/bin/env python3
"""Makes a conda channel in a directory, of this machine's own Python: `conda_channel.py DIRECTORY`.

linux-64 and noarch packages, as .tar.bz2 and as .conda: python and pip, hello (three versions, an entry point), world
(needs hello <2), activated (activate.d scripts and variables of its own), broken (needs what does not exist). Beside
it, in DIRECTORY/wheels, wheels for pip: berth_wheel 1.0 and 1.1, hello 3.0. Needs the Python package zstandard.
"""

import bz2
import hashlib
import io
import json
import os
import pathlib
import shutil
import sys
import sysconfig
import tarfile
import zipfile

import zstandard

PLACEHOLDER = "/placeholder_of_the_prefix" + "_" * 60
NOT_NEEDED = {"test", "tests", "__pycache__", "idlelib", "tkinter", "lib2to3", "turtledemo", "ensurepip",
              "dist-packages", "site-packages", "config-3.11-x86_64-linux-gnu", "pydoc_data", "unittest", "sqlite3"}
EPOCH = 1700000000


def tar(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mtime = len(content), EPOCH
            entry.mode = 0o755 if "bin" in path.split("/") else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


class Channel:
    def __init__(self, directory):
        self.directory = directory
        self.index = {s: {"packages": {}, "packages.conda": {}} for s in ("linux-64", "noarch")}

    def add(self, name, version, files, depends=(), subdir="noarch", packed=".tar.bz2", build="0", entry_points=()):
        files = {path: content.encode() if isinstance(content, str) else content for path, content in files.items()}
        about = {"name": name, "version": version, "build": build, "build_number": 0, "depends": list(depends),
                 "subdir": subdir, "license": "MIT", "timestamp": EPOCH * 1000}
        python_package = subdir == "noarch"
        if python_package:
            about["noarch"] = "python"
        info = {"info/index.json": json.dumps(about), "info/files": "\n".join(files) + "\n",
                "info/paths.json": json.dumps({"paths_version": 1, "paths": [self.entry(*f) for f in files.items()]})}
        if python_package:
            info["info/link.json"] = json.dumps({
                "noarch": {"type": "python", "entry_points": list(entry_points)}, "package_metadata_version": 1})
        info = {path: content.encode() for path, content in info.items()}
        stem = f"{name}-{version}-{build}"
        content = self.conda(stem, info, files) if packed == ".conda" else bz2.compress(tar(info | files), 1)
        (self.directory / subdir).mkdir(parents=True, exist_ok=True)
        (self.directory / subdir / (stem + packed)).write_bytes(content)
        record = about | {"md5": hashlib.md5(content).hexdigest(), "sha256": hashlib.sha256(content).hexdigest(),
                          "size": len(content)}
        self.index[subdir]["packages.conda" if packed == ".conda" else "packages"][stem + packed] = record

    @staticmethod
    def entry(path, content):
        entry = {"_path": path, "path_type": "hardlink", "sha256": hashlib.sha256(content).hexdigest(),
                 "size_in_bytes": len(content)}
        if PLACEHOLDER.encode() in content:
            entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "text"}
        return entry

    @staticmethod
    def conda(stem, info, files):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
            for part, content in (("info", info), ("pkg", files)):
                archive.writestr(f"{part}-{stem}.tar.zst", zstandard.compress(tar(content), 3))
        return packed.getvalue()

    def write_index(self):
        for subdir, packages in self.index.items():
            index = {"info": {"subdir": subdir}, "repodata_version": 1, **packages}
            (self.directory / subdir / "repodata.json").write_text(json.dumps(index))


def tree(root, below, skip):
    files = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in skip]
        for name in names:
            path = pathlib.Path(folder, name)
            if path.is_file() and name != "EXTERNALLY-MANAGED":
                files[str(pathlib.Path(below) / path.relative_to(root))] = path.read_bytes()
    return files


def python_files():
    """The interpreter behind this one and its library, started so that its prefix is the environment's."""
    version = "%d.%d" % sys.version_info[:2]
    real = os.path.realpath(os.path.join(sys.base_prefix, "bin", "python" + version))
    library = f"lib/python{version}"
    files = tree(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix}),
                 library, NOT_NEEDED)
    files[f"bin/python{version}"] = pathlib.Path(real).read_bytes()
    files["bin/python"] = (f'#!/bin/sh\nPYTHONHOME={PLACEHOLDER} exec {PLACEHOLDER}/bin/python{version} "$@"\n')
    files[f"{library}/site-packages/README.txt"] = "packages come here\n"
    # Debian's own Python looks into dist-packages.
    files[f"{library}/sitecustomize.py"] = (
        "import os, sys\n"
        f'path = os.path.join(sys.prefix, "{library}/site-packages")\n'
        "sys.path.append(path) if path not in sys.path else None\n")
    return files


def pip_files():
    import pip
    found = pathlib.Path(pip.__file__).parent
    files = tree(found, "site-packages/pip", {"__pycache__"})
    info = next(found.parent.glob("pip-*.dist-info"))
    files |= tree(info, f"site-packages/{info.name}", {"__pycache__"})
    return pip.__version__, files


def hello(version):
    info = f"site-packages/hello-{version}.dist-info"
    files = {"site-packages/hello/__init__.py":
             f'__version__ = "{version}"\n\n\ndef main():\n    print("hello", __version__)\n',
             f"{info}/METADATA": f"Metadata-Version: 2.1\nName: hello\nVersion: {version}\n",
             f"{info}/INSTALLER": "conda\n"}
    files[f"{info}/RECORD"] = "".join(f"{path[len('site-packages/'):]},,\n" for path in [*files, f"{info}/RECORD"])
    return files


ACTIVATED = {
    "etc/conda/activate.d/10-first.sh":
        'export GREETING="hello from $CONDA_PREFIX"\nexport TOOLS_HOME="$CONDA_PREFIX/opt/tools"\n'
        'PATH="$TOOLS_HOME/bin:$PATH"\necho "a script may speak"\nnot_exported=1\n',
    "etc/conda/activate.d/20-second.sh":
        'if [[ -n "$GREETING" ]]; then export ORDERED=yes; fi\nexport LINES="one\ntwo"\nset -- clobbered\nfalse\n'
        'export SEES_VARIABLES="$OF_FILE/$OF_PACKAGE"\nexport ENDS_WITH_BUILD="$HOME/x"\n',
    "etc/conda/env_vars.d/activated.json": json.dumps({"OF_PACKAGE": "it's \"quoted\" $HOME"}),
    "opt/tools/bin/tool": "#!/bin/sh\necho tool\n",
}


def wheel(directory, name, version):
    info = f"{name}-{version}.dist-info"
    files = {f"{name}.py": f'__version__ = "{version}"\n',
             f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n",
             f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"]))


def main():
    directory = pathlib.Path(sys.argv[1])
    shutil.rmtree(directory, ignore_errors=True)
    channel = Channel(directory)
    version = "%d.%d.%d" % sys.version_info[:3]
    channel.add("python", version, python_files(), subdir="linux-64", build="0_cpython", packed=".conda")
    pip_version, files = pip_files()
    channel.add("pip", pip_version, files, ["python >=3"], entry_points=["pip = pip._internal.cli.main:main"])
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        channel.add("hello", version, hello(version), ["python >=3.8"], entry_points=["hello-cli = hello:main"])
    channel.add("world", "0.3", {"site-packages/world.py": "import hello\n"}, ["python", "hello >=1,<2"], packed=".conda")
    channel.add("activated", "1.0", ACTIVATED, subdir="linux-64")
    channel.add("ends-shell", "1.0", {"etc/conda/activate.d/x.sh": "exit 0\n"}, subdir="linux-64")
    channel.add("broken", "1.0", {"site-packages/broken.py": ""}, ["python", "does-not-exist >=9"])
    channel.write_index()
    for name, version in (("berth_wheel", "1.0"), ("berth_wheel", "1.1"), ("hello", "3.0")):
        wheel(directory / "wheels", name, version)


if __name__ == "__main__":
    main()
