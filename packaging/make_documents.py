"""Writes what the package tells about itself, at build time: the man pages, and the changelog in Debian's form.

The pages of the verbs come from the programs, that of the configuration from the commented file: none can go stale."""

import argparse
import email.utils
import gzip
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAN = ROOT / "packaging/man"
sys.path.insert(0, str(MAN))

import config_page
import roff
import verb_page


def write_compressed(path, text):
    """The same text gives the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def build_time():
    """SOURCE_DATE_EPOCH, else the time of the last commit, else that of the changelog: equal sources, equal pages."""
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


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def check_options(berthd, page):
    """A page written by hand must not go stale unseen."""
    for option in sorted(set(re.findall(r"--[a-z-]+", output_of(*berthd, "--help")))):
        if roff.escaped(option) not in page:
            raise SystemExit(f"packaging/man/berthd.8.in does not explain berthd's option {option}")


def verb_list(verbs):
    return "".join(roff.tagged(roff.bold(verb["name"]), verb["brief"]) for verb in verbs).rstrip("\n")


def man_pages(berth, berthd, version):
    """(file name, text) of every page; `berth` and `berthd` are commands."""
    verbs = json.loads(output_of(*berth, "__describe"))["verbs"]
    names = [verb["name"] for verb in verbs]
    date = time.strftime("%Y-%m-%d", time.gmtime(build_time()))
    for verb in verbs:
        yield f"berth-{verb['name']}.1", verb_page.page(verb, names, date, version)
    values = {"@VERBS@": verb_list(verbs),
              "@PAGES@": "\n".join(f".BR berth\\-{roff.escaped(name)} (1)," for name in sorted(names)),
              "@TAKEN@": ", ".join(map(roff.escaped, output_of(*berthd, "--describe").split())),
              "@KEYS@": config_page.keys((ROOT / "packaging/etc/berthd.yaml").read_text()).rstrip("\n")}
    for source in sorted(MAN.glob("*.in")):
        name, section = source.stem.rsplit(".", 1)
        text = source.read_text()
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        if source.stem == "berthd.8":
            check_options(berthd, text)
        manual = {"1": "Berth Manual", "5": "File Formats", "8": "System Administration"}[section]
        yield source.stem, roff.title(name, section, date, version, manual) + text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--version", required=True)
    parser.add_argument("--maintainer", required=True)
    parser.add_argument("--berth", required=True, metavar="PROGRAM", help="the one that was just built")
    parser.add_argument("--berthd", required=True, metavar="PROGRAM")
    parser.add_argument("--emulator", metavar="PROGRAM", help="that runs them, where they are for another processor")
    arguments = parser.parse_args()
    write_compressed(arguments.out / "changelog.Debian.gz", debian_changelog(arguments.version, arguments.maintainer))
    berth, berthd = ([arguments.emulator, program] if arguments.emulator else [program]
                     for program in (arguments.berth, arguments.berthd))
    for name, text in man_pages(berth, berthd, arguments.version):
        write_compressed(arguments.out / f"man/man{name[-1]}/{name}.gz", text)


if __name__ == "__main__":
    main()
