"""The keys of berthd.yaml(5), from the commented file that the package installs."""

import re

import roff


def blocks(text):
    """(heading, [(key, value, words)]) in the order of the file; a block is a comment and its '#key: value'."""
    groups = []
    words = []
    for row in text.splitlines():
        heading = re.fullmatch(r"# --- (.*) ---", row)
        key = re.fullmatch(r"#([a-z_]+): (.*)", row)
        if heading:
            groups.append((heading[1], []))
        elif key:
            groups[-1][1].append((key[1], key[2], " ".join(words)))
        elif row.startswith("# "):
            words.append(row[2:])
            continue
        words = []
    return groups


def entry(key, value, words):
    example_only = "Unset:" in words
    told = f"For example `{value}`." if example_only else f"Default: `{value}`."
    return roff.tagged(roff.bold(key), f"{words} {told}")


def keys(text):
    return "".join(f'.SS "{roff.escaped(heading)}"\n' + "".join(entry(*each) for each in entries)
                   for heading, entries in blocks(text))
