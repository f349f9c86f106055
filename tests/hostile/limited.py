"""Runs a program as another user whose limits of the kernel's are set as given, in a user namespace with all users in it:
limited.py UID GID NAME=VALUE … -- PROGRAM …, where NAME is one of /proc/sys/user. Only root can; the program has this pid."""

import ctypes
import os
import sys

CLONE_NEWUSER = 0x10000000


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


uid, gid, *rest = sys.argv[1:]
limits, program = rest[:rest.index("--")], rest[rest.index("--") + 1:]
unshared, tell_unshared = os.pipe()
mapped, tell_mapped = os.pipe()
target = os.getpid()
mapper = os.fork()
if mapper == 0:
    os.close(tell_unshared)
    if os.read(unshared, 1):
        for name in ("uid_map", "gid_map"):
            write(f"/proc/{target}/{name}", "0 0 4294967295")
        os.write(tell_mapped, b"x")
    os._exit(0)
os.close(tell_mapped)
if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) != 0:
    sys.exit(f"no user namespace: {os.strerror(ctypes.get_errno())}")
os.write(tell_unshared, b"x")
done = os.read(mapped, 1)
os.waitpid(mapper, 0)
if not done:
    sys.exit("the users could not be mapped")
for limit in limits:
    name, _, value = limit.partition("=")
    write(f"/proc/sys/user/{name}", value)
os.setgroups([])
os.setgid(int(gid))
os.setuid(int(uid))
os.execv(program[0], program)
