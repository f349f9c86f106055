"""Writes what the package tells about itself, at build time: the changelog in Debian's form."""

import argparse
import email.utils
import gzip
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def write_compressed(path, text):
    """The same text gives the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def build_time():
    """SOURCE_DATE_EPOCH, else the time of the last commit, else that of the changelog: equal sources, equal packages."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    changelog = ROOT / "CHANGELOG.md"
    told = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%ct"], capture_output=True, text=True)
    return int(told.stdout) if told.returncode == 0 else int(changelog.stat().st_mtime)


def newest_changes(changelog):
    """The items of the first section: '- …', each with its further lines."""
    section = re.split(r"^## .*$", changelog, flags=re.M)[1]
    return [" ".join(item.split()) for item in re.split(r"^- ", section, flags=re.M)[1:]]


def wrapped(text, first, others, width=78):
    lines = [first]
    for word in text.split():
        if len(lines[-1]) + 1 + len(word) > width and lines[-1].strip() not in ("", "*"):
            lines.append(others)
        lines[-1] += word if lines[-1].endswith(" ") else " " + word
    return "\n".join(lines)


def debian_changelog(version, maintainer):
    changes = newest_changes((ROOT / "CHANGELOG.md").read_text())
    items = "\n".join(wrapped(change.replace("`", ""), "  * ", "    ") for change in changes)
    when = email.utils.formatdate(build_time())
    return f"berth ({version}-1) unstable; urgency=medium\n\n{items}\n\n -- {maintainer}  {when}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--version", required=True)
    parser.add_argument("--maintainer", required=True)
    arguments = parser.parse_args()
    write_compressed(arguments.out / "changelog.Debian.gz", debian_changelog(arguments.version, arguments.maintainer))


if __name__ == "__main__":
    main()
