"""A job that leaves a trace: one line per start in a witness file, and a known text on its standard output.

    pattern.py WITNESS SEED LINES PAUSE_MS [LINGER_S]

It writes LINES lines in ten pieces with a pause after each, then stays for LINGER_S seconds."""

import os
import sys
import time

PIECES = 10


def line(seed, number):
    return (f"{seed}:{number:06d} " * 12).encode() + b"\n"


def text(seed, lines):
    return b"".join(line(seed, number) for number in range(lines))


def main():
    witness, seed, lines, pause, linger = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5:]
    file = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, f"started as {os.getpid()}\n".encode())
    os.close(file)
    piece = -(-lines // PIECES)
    for begin in range(0, lines, piece):
        rest = b"".join(line(seed, number) for number in range(begin, min(begin + piece, lines)))
        while rest:
            rest = rest[os.write(1, rest):]
        time.sleep(pause / 1000)
    if linger:
        time.sleep(float(linger[0]))


if __name__ == "__main__":
    main()
