"""Commands that a page shows, with what it says they print, and how that is compared with what they do print."""

import re
import time

# What differs from one run to the next, and nothing else: each rule says what takes its place.
RULES = [
    (re.compile(r"\b[a-z]+-[a-z]+-[0-9a-z]{4}\b"), "ID"),  # of jobs
    (re.compile(r"\b[0-9a-f]{12}\b|\b[0-9a-f]{40}\b|\b[0-9a-f]{64}\b"), "DIGEST"),
    (re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? (ms|seconds?|minutes?)\b"), "DURATION"),
    (re.compile(r"\b\d+(\.\d+)? [KMG]iB\b"), "SIZE"),
    (re.compile(r"^( *Version +)\d+\.\d+\.\d+$", re.M), r"\1PYTHON"),
    (re.compile(r" {2,}(?=\S)"), "  "),  # columns are as wide as what is in them
]
# The shell's own words about what runs in the background.
_JOB_CONTROL = re.compile(r"^\[\d+\][ +-].*$\n?", re.M)
# Of these the page says that it shows a part.
_SHORTENED = re.compile(r"^berth show ")
# A table of what goes on: whoever types by hand asks when jobs are where the page has them, or looks again.
_TABLE = re.compile(r"^ID  ")
_SECONDS_TO_LOOK_AGAIN = 20


def commands_of(page, heading):
    """[(command, what it prints)] in the order of the section: rows that begin with "$ ", and what follows each."""
    section = re.split(rf"^## {re.escape(heading)}$", page, flags=re.M)[1]
    section = re.split(r"^## ", section, flags=re.M)[0]
    commands = []
    for row in section.splitlines():
        if row.startswith("    $ "):
            commands.append((row.removeprefix("    $ "), []))
        elif row.startswith("    ") and commands:
            commands[-1][1].append(row.removeprefix("    "))
    return [(command, "".join(f"{line}\n" for line in lines)) for command, lines in commands]


def normalised(text, user):
    text = re.sub(rf"\b{re.escape(user)}\b", "USER", _JOB_CONTROL.sub("", text))
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    return "".join(f"{row.rstrip()}\n" for row in text.splitlines() if row.strip())


def difference(command, shown, printed):
    """"" where what was printed, normalised, is what the page shows; of a shortened one, has its rows in their order."""
    if not _SHORTENED.match(command):
        return "" if shown == printed else f"the page shows\n{shown}\nand it prints\n{printed}"
    rows = iter(printed.splitlines())
    missing = [row for row in shown.splitlines() if row not in rows]
    return f"not in what it prints, or not in this order: {missing}\nit prints\n{printed}" if missing else ""


def _wrong(command, shown, terminal, user, patience):
    end = time.monotonic() + _SECONDS_TO_LOOK_AGAIN
    while True:
        printed = normalised(terminal.run(command, patience), user)
        told = difference(command, normalised(shown, "ada"), printed)
        if not told or not _TABLE.match(printed) or time.monotonic() > end:
            return told


def walk(page, heading, terminal, user, patience=300, started=""):
    """Runs them all in the shell, each when the one before is through: what differs, told per command. `started`: a command
    that waits until what was put into the background has begun, as it has when somebody types the next one by hand."""
    problems = []
    for command, shown in commands_of(page, heading):
        told = _wrong(command, shown, terminal, user, patience)
        if started and command.endswith("&"):
            terminal.run(started, patience)
        if told:
            problems.append(f"$ {command}\n{told}")
    return problems
