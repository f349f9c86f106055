"""A shell at a terminal of its own, as somebody has it who types one command after the other."""

import os
import pty
import re
import select
import signal
import time
from contextlib import suppress

_PROMPT = "\x1fready\x1f"  # no program prints it
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def as_shown(text):
    """What a terminal shows in the end: colours taken away, each line as it was last written over."""
    rows = []
    for row in _COLOURS.sub(lambda found: "\x1b[K" if found[0].endswith("K") else "", text).split("\n"):
        shown = ""
        for piece in row.rstrip("\r").split("\r"):
            erased = "\x1b[K" in piece
            piece = piece.replace("\x1b[K", "")
            shown = piece if erased or len(piece) >= len(shown) else piece + shown[len(piece):]
        rows.append(shown.rstrip())
    return "\n".join(rows)


class Terminal:
    """`command` starts an interactive bash, by itself or as somebody else: it must take further arguments."""

    def __init__(self, command, environment, directory):
        arguments = [*command, "bash", "--norc", "--noprofile", "--noediting", "-i"]
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.execvpe(arguments[0], arguments, {"TERM": "xterm", "PS1": "", **environment})
        self.type("stty -echo cols 200; PS2=; PS1=$'\\037ready\\037'\n")
        self.until_prompt(30)

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def run(self, command, patience):
        """All that the terminal shows until the shell takes the next command."""
        self.type(command + "\n")
        return as_shown(self.until_prompt(patience))

    def close(self):
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        os.close(self.descriptor)
        with suppress(ChildProcessError):  # somebody looked after all of this process' children
            os.waitpid(self.pid, 0)

    def until_prompt(self, patience):
        text, end = "", time.monotonic() + patience
        while not text.endswith(_PROMPT):
            if not select.select([self.descriptor], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"the shell takes no further command after {patience} s:\n{text[-3000:]}")
            text += os.read(self.descriptor, 65536).decode(errors="replace")
        return text.removesuffix(_PROMPT).replace("\r\n", "\n")
