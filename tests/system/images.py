"""What machines boot from: a root file system, layers on top of it, a kernel and disk images. Each is made once and kept
below build/system under a name that tells what went into it.

As a program it says what the system tests miss on this machine, a line each; without --check it makes the images."""

import gzip
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import packages
from packages import BUILD
from tools import Skip, locked, require, run

GUEST = Path(__file__).resolve().parent / "guest"
_CLIENT = GUEST.parents[1] / "integration/client.py"
# Python runs what the tests put inside; the rest is what any server has.
_PACKAGES = ("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "iproute2", "procps")
# Docker and Podman, what their networks need, and what images are made of.
_ENGINES = ("docker.io", "podman", "crun", "containernetworking-plugins", "iptables", "kmod", "busybox-static")
_ENGINES_UNITS = ("docker.service", "docker.socket", "containerd.service", "podman.service", "podman.socket",
                  "podman-auto-update.service", "podman-auto-update.timer", "podman-restart.service")
MEMBERS = ("ann", "bob", "eve")  # may use the agent once it is installed
OUTSIDER = "max"
UBUNTU = {"jammy": "Ubuntu 22.04", "noble": "Ubuntu 24.04"}
_WITHOUT_DOCUMENTS = ("--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*")
_USERS = tuple(f"--customize-hook=useradd --root $1 --create-home --shell /bin/sh {name}" for name in (*MEMBERS, OUTSIDER))
# In this order each finds what it needs.
_MODULES = ("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk", "overlay")
# For containers' networks, on the disk of machines with engines.
_MORE_MODULES = ("kernel/net", "kernel/lib", "kernel/crypto", "kernel/drivers/net/veth.ko", "kernel/fs/overlayfs")
_DISK_SIZE = "1G"
_DISK_SIZE_WITH_ENGINES = "3G"
SKIPPED = 77  # the exit code by which ctest knows


def require_containers():
    require("mmdebstrap", "systemd-nspawn", "nsenter", "dpkg-deb")


def require_virtual_machines():
    require_containers()
    require("qemu-system-x86_64", "mke2fs", "busybox")
    if platform.machine() != "x86_64":
        raise Skip(f"the virtual machines are x86_64, this machine is {platform.machine()}")
    if "debian" not in _release().get("ID", ""):
        raise Skip(f"the virtual machines boot Debian's cloud kernel; this is {_release().get('PRETTY_NAME')}")


# --- root file systems

def base():
    """A directory: this release's root file system with what Berth depends on, without Berth."""
    wanted = sorted({*_PACKAGES, *packages.dependencies(packages.current())})
    folder = BUILD / f"root-{_key(_release()['VERSION_CODENAME'], *wanted, *MEMBERS, OUTSIDER)}"
    options = (*_WITHOUT_DOCUMENTS, *_USERS)
    return _made(folder, "root-", lambda new: _bootstrap(new, wanted, options, _release()["VERSION_CODENAME"]))


def base_of(codename, *more):
    """As base(), of another release, or with more packages."""
    if codename == _release()["VERSION_CODENAME"] and not more:
        return base()
    wanted = ["apt", *_PACKAGES, *more, *packages.dependencies(packages.current())]
    return release("more" if more else "base", codename, wanted, *_WITHOUT_DOCUMENTS, *_USERS)


def release(kind, codename, wanted, *options):
    """A directory: the release's root file system with those packages, made by mmdebstrap with those options; of each kind the
    last one is kept. Skips where its archive cannot be reached, or what it signs not be verified."""
    wanted = sorted(set(wanted))
    prefix = f"{kind}_{codename}-"
    folder = BUILD / f"{prefix}{_key(*wanted, *options)}"
    archive, keyring, components = _archive_of(codename)
    if not folder.exists():
        _require_archive(f"{archive}/dists/{codename}/Release")
    options = [f"--keyring={keyring}", f"--components={components.replace(' ', ',')}", *options,
               # As an installed system has it: mmdebstrap's names this machine's keyring.
               f"--customize-hook=echo 'deb {archive} {codename} {components}' >$1/etc/apt/sources.list"]
    return _made(folder, prefix, lambda new: _bootstrap(new, wanted, options, codename, archive))


def _archive_of(codename):
    """Where the release comes from, the keys that it is signed with, and the parts of it that are asked."""
    if codename in UBUNTU:
        keyring = _ubuntu_keyring()
        archive, components = "http://archive.ubuntu.com/ubuntu", "main universe"
    else:
        keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
        archive, components = "http://deb.debian.org/debian", "main"
    if not keyring.exists():
        raise Skip(f"{codename} comes from {archive}, and there is no {keyring} to verify it with")
    return archive, keyring, components


def _ubuntu_keyring():
    """This machine's, or the one that Debian 13 has (12 has none), for which Debian's own signature vouches."""
    keyring = Path(os.environ.get("BERTH_UBUNTU_KEYRING", "/usr/share/keyrings/ubuntu-archive-keyring.gpg"))
    if not keyring.exists() and "BERTH_UBUNTU_KEYRING" not in os.environ:
        keyring = _made(BUILD / "ubuntu_keyring", "ubuntu_keyring", _fetch_ubuntu_keyring) / keyring.relative_to("/")
    return keyring


def _fetch_ubuntu_keyring(new):
    """By apt with a list of sources and files of its own: nothing of this machine's changes."""
    archive, keyring, _ = _archive_of("trixie")
    _require_archive(f"{archive}/dists/trixie/Release")
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "lists/partial").mkdir(parents=True)
        (Path(place) / "sources").write_text(f"deb [signed-by={keyring}] {archive} trixie main\n")
        options = (f"Dir::Etc::sourcelist={place}/sources", "Dir::Etc::sourceparts=/dev/null", f"Dir::State::lists={place}/lists",
                   "Dir::State::status=/dev/null", f"Dir::Cache={place}", "APT::Sandbox::User=root", "Acquire::Languages=none")
        apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
        run(*apt, "update", timeout=600)
        run(*apt, "download", "ubuntu-keyring", cwd=place)
        run("dpkg-deb", "-x", next(Path(place).glob("*.deb")), new)


def _require_archive(url):
    try:
        urllib.request.urlopen(url, timeout=20).close()
    except OSError as failure:
        raise Skip(f"{url} cannot be had: {failure}") from None


def installed():
    """Directories, the uppermost first: the base with Berth installed and its users in the group."""
    return _with_berth([base()], "installed-")


def with_engines():
    """As installed(), on a machine that has Docker and Podman besides; neither is started by itself."""
    lower = [_made(BUILD / f"engines-{_key(base().name, *_ENGINES, *_ENGINES_UNITS, kernel().name)}", "engines-", _add_engines),
             base()]
    return _with_berth(lower, "equipped-")


def _with_berth(lower, prefix):
    folder = BUILD / (prefix + _key(*(layer.name for layer in lower), _content(packages.current())))
    return [_made(folder, prefix, lambda new: _install(new, lower)), *lower]


def _bootstrap(new, wanted, options, codename, *archive):
    run("mmdebstrap", "--variant=minbase", "--format=directory", "--aptopt=Acquire::Languages none", *options,
        f"--include={','.join(wanted)}", codename, new, *archive, timeout=1800)


def _install(new, lower):
    new.mkdir()
    groups = "; ".join(f"usermod -aG berth {name}" for name in MEMBERS)
    with layered(lower, upper=new) as root:
        shutil.copy(packages.current(), root / "opt/berth.deb")
        _run_inside(root, f"dpkg -i /opt/berth.deb; rm /opt/berth.deb; {groups}")


def _run_inside(root, script):
    """Runs it in the file system, where no service is started by what it installs."""
    run("systemd-nspawn", "-q", "--pipe", "--register=no", "--keep-unit", "--private-network", "-D", root, "sh", "-ec", script,
        timeout=300, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def _add_engines(new):
    """The packages come through this machine's apt, which knows from where."""
    new.mkdir()
    with layered([base()], upper=new) as root:
        archives = root / "opt/archives"
        (archives / "partial").mkdir(parents=True)
        run("apt-get", "-q", "-y", "--download-only", "--no-install-recommends", "-o", f"Dir::State::status={root}/var/lib/dpkg/status",
            "-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root", "install",
            *_ENGINES, timeout=600)
        run("cp", "-a", kernel() / "modules", root / "usr/lib/modules")
        _run_inside(root, "dpkg -i /opt/archives/*.deb; rm -r /opt/archives; "
                          f"systemctl disable {' '.join(_ENGINES_UNITS)}; depmod $(ls /lib/modules)")


@contextmanager
def layered(lower, upper=None):
    """A directory where the lower ones, the uppermost first, are seen as one; what is changed goes to `upper`."""
    place = scratch("layers")
    upper = upper or place / "upper"
    for folder in (upper, place / "work", place / "merged"):
        folder.mkdir(exist_ok=True)
    run("mount", "-t", "overlay", "berth-test", "-o",
        f"lowerdir={':'.join(map(str, lower))},upperdir={upper},workdir={place / 'work'}", place / "merged")
    try:
        yield place / "merged"
    finally:
        run("umount", "-l", place / "merged")
        shutil.rmtree(place, ignore_errors=True)


# --- for virtual machines

def kernel():
    """A directory with vmlinuz, the initrd that starts it on a virtio disk, and in `modules` what more may be loaded."""
    name = _kernel_package()
    folder = BUILD / f"kernel-{_key(name, *_MODULES, *_MORE_MODULES, _INIT)}"
    return _made(folder, "kernel-", lambda new: _fetch_kernel(new, name))


def disk():
    """An ext4 file system image, with a journal: Berth installed, and the channel that the tests speak through."""
    return _disk_of(installed(), "disk-", _DISK_SIZE)


def disk_with_engines():
    return _disk_of(with_engines(), "equipped_disk-", _DISK_SIZE_WITH_ENGINES)


def _disk_of(layers, prefix, size):
    guests = [_content(path) for path in (*sorted(GUEST.iterdir()), _CLIENT, __file__) if Path(path).is_file()]
    image = BUILD / f"{prefix}{_key(*(layer.name for layer in layers), *guests, size)}.img"
    return _made(image, prefix, lambda new: _make_disk(new, layers, size))


_INIT = f"""#!/bin/sh
mount -t devtmpfs dev /dev
for module in {' '.join(_MODULES)}; do insmod /$module.ko || echo "initrd: $module cannot be loaded"; done
mount -t ext4 /dev/vda /root || exec sh
exec switch_root /root /sbin/init
"""


def _kernel_package():
    lines = run("apt-cache", "depends", "linux-image-cloud-amd64").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if "Depends: linux-image-" in line]
    if not names:
        raise Skip("apt knows no linux-image-cloud-amd64; run apt-get update")
    return names[0]


def _fetch_kernel(new, name):
    new.mkdir()
    run("apt-get", "-q", "download", name, cwd=new)
    run("dpkg-deb", "-x", next(new.glob("*.deb")), new / "x")
    shutil.copy(next((new / "x/boot").glob("vmlinuz-*")), new / "vmlinuz")
    _make_initrd(new / "initrd.gz", new / "x/lib/modules")
    _keep_modules(next((new / "x/lib/modules").iterdir()), new / "modules")
    shutil.rmtree(new / "x")
    next(new.glob("*.deb")).unlink()


def _keep_modules(all_of_them, kept):
    release = kept / all_of_them.name
    for name in ("modules.builtin", "modules.order", "modules.builtin.modinfo", *_MORE_MODULES):
        (release / name).parent.mkdir(parents=True, exist_ok=True)
        run("cp", "-a", all_of_them / name, release / name)


def _make_initrd(path, modules):
    tree = path.parent / "tree"
    for folder in ("bin", "dev", "root"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), tree / "bin/busybox")
    for name in ("sh", "mount", "insmod", "switch_root", "echo"):
        (tree / "bin" / name).symlink_to("busybox")
    for name in _MODULES:
        shutil.copy(next(modules.rglob(f"{name}.ko")), tree)
    (tree / "init").write_text(_INIT)
    (tree / "init").chmod(0o755)
    archive = subprocess.run("find . | busybox cpio -o -H newc", shell=True, cwd=tree, check=True, capture_output=True,
                             timeout=60).stdout
    path.write_bytes(gzip.compress(archive, 1))
    shutil.rmtree(tree)


def _make_disk(new, layers, size):
    with layered(layers) as root:
        shutil.copytree(GUEST, root / "opt/test", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(_CLIENT, root / "opt/test")
        unit = root / "etc/systemd/system/channel.service"
        shutil.move(root / "opt/test/channel.service", unit)
        wants = root / "etc/systemd/system/basic.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "channel.service").symlink_to("../channel.service")
        (root / "etc/tmpfiles.d/witness.conf").write_text("z /dev/ttyS2 0666 - -\n")
        (root / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 0\n")
        (root / "etc/hostname").write_text("machine\n")
        run("mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", root, new, size)


# --- places of a run

def scratch(kind):
    """A new directory of this process; sweep() removes it where the process could not."""
    BUILD.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=BUILD, prefix=f"run-{os.getpid()}-{kind}-"))


def sweep():
    """Removes what test processes left that were killed."""
    for place in BUILD.glob("run-*"):
        if not os.path.exists(f"/proc/{place.name.split('-')[1]}"):
            for mount in sorted(_mounts_below(place), reverse=True):
                run("umount", "-l", mount)
            shutil.rmtree(place, ignore_errors=True)


def _mounts_below(place):
    mounts = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [mount for mount in mounts if Path(mount).is_relative_to(place)]


# --- the cache

def _made(path, prefix, make):
    """The path, made first where it is not there. Earlier ones of its kind are removed then."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with locked(BUILD / f"{prefix}lock"):
        if path.exists():
            return path
        for other in BUILD.glob(prefix + "*"):
            if not other.name.endswith("lock"):
                _remove(other)
        new = path.with_name(path.name + ".new")
        make(new)
        new.rename(path)
    return path


def _remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _key(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _content(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _release():
    lines = Path("/etc/os-release").read_text().splitlines()
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}


def missing():
    """What keeps tests from running here, in words."""
    reasons = []
    for kind, needs in (("container tests", require_containers), ("virtual machine tests", require_virtual_machines)):
        try:
            needs()
        except Skip as skip:
            reasons.append(f"{kind}: {skip}")
    return reasons


def main():
    reasons = missing()
    for reason in reasons:
        print(reason)
    if "--check" not in sys.argv:
        if reasons:
            sys.exit(SKIPPED)
        print(packages.current(), packages.older(), *installed(), *with_engines(), kernel(), disk(), disk_with_engines(),
              sep="\n")


if __name__ == "__main__":
    main()
