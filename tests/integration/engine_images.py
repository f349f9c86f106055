"""The images that a test's engine begins with, made here: nothing comes from the network."""

import io
import os
import shutil
import tarfile

BASE = "berth-test/base:1"  # busybox with /bin/sh
LAYERS = "berth-test/layers:1"  # upon it two large layers, and CUDA's variables
LAYER_BYTES = 12 << 20
_TOOLS = ("sh", "cat", "echo", "env", "id", "ls", "sleep", "mkdir", "false", "true", "test", "df", "grep", "dd", "head",
          "stat")


def make_base(api):
    api.import_image(BASE, _busybox_tree())


def make_layers(api):
    api.build(LAYERS, f"FROM {BASE}\nENV NVIDIA_REQUIRE_CUDA=cuda>=12.4 CUDA_VERSION=12.4.1\n"
              "COPY one /one\nCOPY two /two\nCMD [\"cat\", \"/one\"]\n",
              {"one": os.urandom(LAYER_BYTES), "two": os.urandom(LAYER_BYTES)})


def _busybox_tree():
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, mode in (("bin", 0o755), ("tmp", 0o1777), ("etc", 0o755)):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
        busybox = tar.gettarinfo(shutil.which("busybox"), "bin/busybox")
        with open(shutil.which("busybox"), "rb") as file:
            tar.addfile(busybox, file)
        for name in _TOOLS:
            info = tarfile.TarInfo(f"bin/{name}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
    return content.getvalue()
