"""Root file systems in which the sources are built and tried as they are, with this machine's network.

What has been compiled stays below build/system (ccache_CODENAME), so that the next time is short."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import images
from packages import BUILD, ROOT
from tools import run

_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
USER = "alice"  # may become root with sudo
_BOOST = {"bookworm": "libboost1.81-dev", "trixie": "libboost1.83-dev"}
_FOR_UNIT_TESTS = ("doctest-dev", "procps", "strace")
# Her number is that of nobody on this machine.
_ADD_USER = (f"useradd --root $1 --create-home --shell /bin/bash --uid 45678 {USER}; "
             f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' >$1/etc/sudoers.d/{USER}")


def with_tools(codename):
    """A directory: the release's root file system with what building Berth and its unit tests needs."""
    return images.release("builder", codename, [*_listed("build"), _BOOST[codename], *_FOR_UNIT_TESTS])


def with_tools_for_arm64():
    """As with_tools(), of what makes the package for arm64."""
    return images.release("cross", "bookworm", [*_listed("build_arm64"), _BOOST["bookworm"]], "--architectures=amd64,arm64")


def bare(codename):
    """A directory: the smallest root file system of the release that has apt, and a user with sudo."""
    return images.release("bare", codename, ["apt", "sudo"], f"--customize-hook={_ADD_USER}")


def _listed(name):
    return run(ROOT / "packaging/setup", "list", name).split()


@contextmanager
def building(root, name, user="root"):
    """A Builder: a copy of the sources, which is the user's, in the root file system, which itself stays as it is. What is
    compiled there is found again under the name."""
    objects = BUILD / f"ccache_{name}"
    objects.mkdir(exist_ok=True, parents=True)
    objects.chmod(0o777)
    with images.layered([root]) as merged:
        for place in ("src", "ccache"):
            (merged / place).mkdir()
        _copy_sources(merged / "src")
        if user != "root":
            run("chroot", merged, "chown", "-R", f"{user}:", "/src")
        shutil.copy("/etc/resolv.conf", merged / "etc/resolv.conf")
        if _CERTIFICATES.exists():
            shutil.copy(_CERTIFICATES, merged / "certificates.crt")
        yield Builder(merged, objects, user)


class Builder:
    def __init__(self, root, objects, user):
        self.root = root
        self._user = user
        mounts = [f"mount --rbind /{name} {root}/{name}" for name in ("dev", "sys")]
        mounts += [f"mount -t proc proc {root}/proc", f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp",
                   f"mount --bind {objects} {root}/ccache"]
        self._enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", f"{'; '.join(mounts)}; exec \"$@\"",
                       "sh", "chroot", root]

    def run(self, script, timeout):
        """What the shell script prints, which must succeed; it begins at the top of the sources, /src."""
        root = self._user == "root"
        variables = {"PATH": "/usr/local/bin:/usr/bin:/bin" + (":/usr/sbin:/sbin" if root else ""),
                     "HOME": "/root" if root else f"/home/{self._user}", "LANG": "C.UTF-8", "CCACHE_DIR": "/ccache",
                     "CCACHE_UMASK": "000", "CCACHE_BASEDIR": "/src", "PYTHONDONTWRITEBYTECODE": "1"}
        if (self.root / "certificates.crt").exists():
            variables["PIP_CERT"] = "/certificates.crt"
        if "BERTH_TEST_PACKAGE_INDEX" in os.environ:
            variables["PIP_INDEX_URL"] = os.environ["BERTH_TEST_PACKAGE_INDEX"]
        become = [] if root else ["setpriv", f"--reuid={self._user}", f"--regid={self._user}", "--init-groups"]
        return run(*self._enter, "env", "-i", "--chdir=/src", *(f"{name}={value}" for name, value in variables.items()), *become,
                   "sh", "-ec", script, timeout=timeout)


def _copy_sources(into):
    """Those that git knows, or would, in a repository as after a clone."""
    names = run("git", "ls-files", "-co", "--exclude-standard", "-z", cwd=ROOT).split("\0")
    for name in filter(lambda name: name and (ROOT / name).is_file(), names):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, into / name, follow_symlinks=False)
    run("git", "init", "-q", "-b", "main", into)
    run("git", "-C", into, "add", "-A")
    run("git", "-C", into, "-c", "user.name=ada", "-c", "user.email=ada@example.org", "commit", "-q", "-m", "sources")
