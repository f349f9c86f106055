"""A small file system of its own for an agent: ext4 on a loop device, or a tmpfs. Needs root."""

import subprocess
import sys


class SmallDisk:
    """Mounted at `path`; `image` is the file that an ext4 lies in. No space is kept back for root."""

    def __init__(self, path, size, kind="ext4"):
        self.path = path
        self.kind = kind
        path.mkdir(mode=0o700)
        if kind == "ext4":
            self._mount_ext4(path.with_name(path.name + ".img"), size)
        else:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(path)], check=True)

    def _mount_ext4(self, image, size):
        with open(image, "wb") as file:
            file.truncate(size)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-N", "4096", "-J", "size=4", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(self.path)], check=True)
        (self.path / "lost+found").rmdir()

    def unmount(self):
        subprocess.run(["umount", str(self.path)], check=True)


def ext4_works(place):
    """Loop devices are not to be had everywhere; says so where they are not."""
    try:
        SmallDisk(place / "probe", 16 << 20).unmount()
        return True
    except (OSError, subprocess.CalledProcessError) as failure:
        print(f"(no ext4 on a loop device here: {failure})", file=sys.stderr)
        return False
    finally:
        (place / "probe").rmdir()
        (place / "probe.img").unlink(missing_ok=True)
