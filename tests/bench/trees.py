"""Source trees for the snapshot rows, and the changes people make to them."""

import os
import random
import time

from harness import PROGRAMS, check

FILES, BYTES = 10_000, 80_000_000
_seeds = iter(range(1, 1 << 30))


def make_code(bench):
    """10,000 source files, 80 MB; other contents each time."""
    tree = bench.path("code")
    bench.run([PROGRAMS / "make_tree", "code", tree, FILES, BYTES, next(_seeds)])
    return tree


def make_weights(bench, files=4, size=50_000_000):
    tree = bench.path("weights")
    bench.run([PROGRAMS / "make_tree", "weights", tree, files, size, next(_seeds)])
    return tree


def files_of(tree):
    return sorted(path for path in tree.rglob("*") if path.is_file() and ".git" not in path.parts)


class Changes:
    """One after the other to the same tree; each leaves something for the next."""

    def __init__(self, tree):
        self._tree = tree
        self._files = files_of(tree)
        self._random = random.Random(7)

    def edit_a_line(self):
        candidates = [path for path in self._files if path.exists() and 7_000 < path.stat().st_size < 12_000]
        path = self._random.choice(candidates)
        lines = path.read_text().splitlines(keepends=True)
        lines[len(lines) // 2] = f"    rate = {time.monotonic_ns()}  # changed\n"
        path.write_text("".join(lines))

    def rename_a_package(self):
        package = next(path for path in sorted(self._tree.iterdir()) if path.name.startswith("package"))
        check(len(files_of(package)) == 1_000, f"{package} does not hold 1,000 files")
        package.rename(package.with_name(f"moved-{package.name}"))
        self._files = files_of(self._tree)

    def touch_all(self):
        for path in self._files:
            os.utime(path)

    def insert_a_byte(self):
        path = self._files[0]
        path.write_bytes(b"!" + path.read_bytes())
