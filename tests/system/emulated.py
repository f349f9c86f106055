"""Programs for arm64 on another machine. An emulator runs them, to which the kernel turns by itself, within a user namespace of
the test's own: nothing of this machine is set up for it."""

import subprocess
from contextlib import contextmanager, suppress

from tools import Skip, run

_BINFMT = "/proc/sys/fs/binfmt_misc"
# Everybody is who he is outside.
_EVERYBODY = "0 0 65536\n"


def emulated(tools, root, script, timeout):
    """What the script prints, run by the shell of `root`, a file system for arm64; `tools` is one that has the emulator."""
    rule = (tools / "usr/lib/binfmt.d/qemu-aarch64.conf").read_text().strip().replace(":/usr/", f":{tools}/usr/")
    mounts = [f"mount -t binfmt_misc none {_BINFMT}", f"printf %s '{rule}' >{_BINFMT}/register",
              f"mount --rbind /dev {root}/dev", f"mount -t proc proc {root}/proc", f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp"]
    with _user_namespace() as enter:
        return run(*enter, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec",
                   f"{'; '.join(mounts)}; exec \"$@\"", "sh", "chroot", root, "env", "-i", "PATH=/usr/bin:/bin", "LANG=C.UTF-8",
                   "sh", "-ec", script, timeout=timeout)


@contextmanager
def _user_namespace():
    """What goes before a command for it to run in one; since Linux 6.7 each has emulators of its own."""
    holder = subprocess.Popen(["unshare", "--user", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        with suppress(BrokenPipeError):
            holder.stdin.write(b"\n")
            holder.stdin.flush()
        if not holder.stdout.read(1):
            raise Skip("the kernel gives no user namespaces")
        for kind in ("uid", "gid"):
            with open(f"/proc/{holder.pid}/{kind}_map", "w") as file:
                file.write(_EVERYBODY)
        enter = ["nsenter", "--user", "-t", str(holder.pid), "--"]
        _require_emulators(enter)
        yield enter
    finally:
        holder.communicate()


def _require_emulators(enter):
    try:
        run(*enter, "unshare", "--mount", "mount", "-t", "binfmt_misc", "none", _BINFMT)
    except RuntimeError as failure:
        raise Skip(f"no emulator can be set up here, which takes Linux 6.7 with binfmt_misc: {failure}") from None
