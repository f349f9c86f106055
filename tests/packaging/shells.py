"""Asks the real bash, zsh and fish what they would complete: bash and zsh at a terminal, as a person does."""

import contextlib
import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

COMPLETIONS = Path(__file__).resolve().parents[2] / "packaging/completions"
PROMPT = "READY>"
PATIENCE = 30


class Terminal:
    """A program at a pseudo-terminal."""

    def __init__(self, arguments, environment, directory):
        self.seen = ""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.execvpe(arguments[0], arguments, environment)

    def type(self, text):
        os.write(self.terminal, text.encode())

    def read_until(self, pattern):
        """What came since the last call, up to where the pattern first matches all of it."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.seen, re.S):
            if time.monotonic() > end or not select.select([self.terminal], [], [], PATIENCE)[0]:
                raise AssertionError(f"never saw {pattern!r}, only {self.seen!r}")
            self.seen += os.read(self.terminal, 65536).decode(errors="replace")
        seen, self.seen = self.seen, ""
        return seen

    def close(self):
        os.close(self.terminal)
        with contextlib.suppress(ChildProcessError):  # whoever reaps for all may have been first
            os.waitpid(self.pid, 0)


class AtTerminal:
    """A shell whose line, with what Tab made of it, is told by a key of its own."""

    def __init__(self, environment, directory):
        self.terminal = Terminal(self.arguments(), {**environment, "TERM": "dumb"}, directory)
        self.terminal.type(self.setup() + f"\nPS1='{PROMPT[:3]}''{PROMPT[3:]} '\n")
        self.terminal.read_until(re.escape(PROMPT))

    def line_after_tab(self, line):
        self.terminal.type(f"{line}\t\x18l")
        found = re.search(r"<<(.*?)>>", self.terminal.read_until(r"<<.*?>>"), re.S).group(1)
        self.terminal.type("\x15")
        return found

    def close(self):
        self.terminal.close()


class Bash(AtTerminal):
    program = "bash"

    def arguments(self):
        return ["bash", "--norc", "--noprofile", "-i"]

    def setup(self):
        return (f". /usr/share/bash-completion/bash_completion; . {COMPLETIONS}/berth.bash; "
                "bind 'set bell-style none'; bind -x '\"\\C-xl\": printf \"<\"\"<%s>\"\">\" \"$READLINE_LINE\"'")


class Zsh(AtTerminal):
    program = "zsh"

    def arguments(self):
        return ["zsh", "-f", "-i"]

    def setup(self):
        return (f"unsetopt zle_bracketed_paste; fpath=({COMPLETIONS} $fpath); autoload -Uz compinit; compinit -u -D; "
                "unsetopt beep; tell() { print -n \"<\"\"<$BUFFER>\"\">\" }; zle -N tell; bindkey '^Xl' tell")


def fish_completions(line, environment, directory):
    """candidate → remark, as fish itself lists them."""
    script = f"source {COMPLETIONS}/berth.fish; complete -C {fish_quoted(line)}"
    said = subprocess.run(["fish", "--no-config", "-c", script], env=environment, cwd=directory, timeout=PATIENCE,
                          capture_output=True, text=True, check=True)
    return {candidate: remark for candidate, _, remark in (row.partition("\t") for row in said.stdout.splitlines())}


def fish_quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def missing(program):
    return shutil.which(program) is None
