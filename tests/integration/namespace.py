"""A network namespace of a test's own, where programs and threads reach each other by its loopback, and nothing else.
Needs root."""

import ctypes
import os
import subprocess
import threading

from waiting import PATIENCE

_CLONE_NEWNET = 0x40000000


class NetworkNamespace:
    def __init__(self, name):
        self.name = name
        self.path = f"/run/netns/{name}"

    def make(self):
        subprocess.run(["ip", "netns", "add", self.name], check=True, timeout=PATIENCE)
        subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True, timeout=PATIENCE)

    def remove(self):
        """Also one that is not there, or not any more."""
        if os.path.exists(self.path):
            subprocess.run(["ip", "netns", "delete", self.name], check=False, timeout=PATIENCE)

    def start(self, arguments, log):
        """A program in it, in a session of its own, whose output is added to the file."""
        with open(log, "ab") as output:
            return subprocess.Popen(["nsenter", f"--net={self.path}", *arguments], stdin=subprocess.DEVNULL,
                                    stdout=output, stderr=output, start_new_session=True)

    def call(self, action):
        """What action() gives or throws on a thread that is in it."""
        outcome = {}

        def enter_and_call():
            try:
                self._enter()
                outcome["result"] = action()
            except BaseException as error:  # pylint: disable=broad-except
                outcome["error"] = error

        thread = threading.Thread(target=enter_and_call)
        thread.start()
        thread.join()
        if "error" in outcome:
            raise outcome["error"]
        return outcome["result"]

    def _enter(self):
        with open(self.path, "rb") as space:
            if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns", self.path)
