"""A virtual machine with a kernel of its own: control groups with all controllers, reboots and power cuts.

The processor is emulated, about ten times slower than a real one: tests wait for what happens, they never sleep. Serial
lines lead out of it: the console; the channel through which guest/channel.py is told what to run; and the witness, where
whoever writes to /dev/ttyS2 is heard at once, even when the power fails right after."""

import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import images
from machine import PATIENCE, Done, Machine, eventually
from tools import run

BOOT_PATIENCE = 300
# no_timer_check: where the host has much else to do, the timer looks broken to a kernel that measures it.
_KERNEL_ARGUMENTS = "console=ttyS0 panic=-1 mitigations=off tsc=unstable no_timer_check quiet apparmor=0 systemd.show_status=0 systemd.getty_auto=no"


class VirtualMachine(Machine):
    """Two processors, 1.5 GiB of memory, no network."""

    def __init__(self, keeps_disk=False, disk=images.disk):
        """`keeps_disk`: it has a disk of its own, which stays over reboots and power cuts; `disk` makes what it begins with."""
        self._place = images.scratch("machine")
        self._sockets = tempfile.mkdtemp(prefix="berth-")  # a socket's path must be short
        self._keeps_disk = keeps_disk
        self._disk = disk()
        self._process = None
        self._channel = None
        if keeps_disk:
            self._disk = self._place / "disk.img"
            run("cp", "--sparse=always", disk(), self._disk)

    def boot(self):
        with open(self._place / "qemu", "ab") as output:
            self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self._channel = eventually(self._connect, "qemu offers its serial line")
        self._channel.greet(BOOT_PATIENCE)
        eventually(self._is_up, "systemd has started everything", BOOT_PATIENCE)
        return self

    def power_off(self, patience=PATIENCE):
        self._end_with("poweroff", patience)

    def reboot(self, patience=PATIENCE):
        """In good order; the kernel's arguments and its disk stay the same."""
        self._end_with("reboot", patience)
        self.boot()

    def await_end(self, patience=PATIENCE):
        """Until it has powered off or wants to start again, which boot() does."""
        self._process.wait(patience)
        if self._channel:
            self._channel.close()
            self._channel = None

    def cut_power(self):
        """It ends within the instant. What it had not synced to its disk is lost."""
        self._process.kill()
        self.await_end(20)

    def destroy(self):
        if self._process and self._process.poll() is None:
            self.cut_power()
        shutil.rmtree(self._sockets, ignore_errors=True)
        shutil.rmtree(self._place, ignore_errors=True)

    def execute(self, argv, timeout, input):
        return self._channel.ask(argv, timeout, input)

    def witness(self):
        """The complete lines that were written to /dev/ttyS2, in all lives of the machine."""
        path = self._place / "witness"
        text = path.read_bytes().decode(errors="replace") if path.exists() else ""
        return [line.strip() for line in text.split("\n")[:-1]]

    def told(self):
        texts = [self._tail("qemu"), self._tail("console")]
        if self._process.poll() is None:
            try:
                texts.append(self.run("journalctl", "--no-pager", "-b", "-n", "80", "-o", "short-precise", expect=None).out)
            except AssertionError as failure:
                texts.append(f"(its journal: {failure})")
        return "\n---\n".join(texts)

    # --- how it runs

    def _command(self):
        kernel = images.kernel()
        snapshot = "off" if self._keeps_disk else "on"
        return ["setpriv", "--pdeathsig", "KILL",  # a test that is killed leaves no machine behind
                "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max", "-m", "1536",
                "-smp", "2", "-display", "none", "-monitor", "none", "-no-reboot", "-nic", "none",
                "-kernel", str(kernel / "vmlinuz"), "-initrd", str(kernel / "initrd.gz"), "-append", _KERNEL_ARGUMENTS,
                "-drive", f"file={self._disk},if=virtio,format=raw,snapshot={snapshot}",
                *self._serial("console", f"file,path={self._place / 'console'},append=on"),
                *self._serial("channel", f"socket,path={self._sockets}/channel,server=on,wait=off"),
                *self._serial("witness", f"file,path={self._place / 'witness'},append=on")]

    @staticmethod
    def _serial(name, backend):
        kind, _, options = backend.partition(",")
        return ["-chardev", f"{kind},id={name},{options}", "-serial", f"chardev:{name}"]

    def _connect(self):
        if self._process.poll() is not None:
            raise AssertionError(f"qemu ended with {self._process.returncode}: {self._tail('qemu')}")
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            line.connect(f"{self._sockets}/channel")
        except OSError:
            line.close()
            return None
        return _Channel(line)

    def _is_up(self):
        return self.execute(["systemctl", "is-system-running"], 30, "").out.strip() in ("running", "degraded")

    def _end_with(self, verb, patience):
        self.execute(["systemctl", "--no-block", verb], 30, "")
        self.await_end(patience)

    def _tail(self, name):
        path = self._place / name
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""


class _Channel:
    """Requests and answers over the serial line; several threads may ask at a time."""

    def __init__(self, line):
        self._socket = line
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting = {}  # id → [event, answer]
        self._receiver = threading.Thread(target=self._receive, daemon=True)
        self._receiver.start()

    def greet(self, patience):
        """Waits until somebody answers; what is sent before that is lost."""
        def answered():
            try:
                return self.ask(["true"], 0.5, "", slack=0.5).code == 0
            except AssertionError:
                return False
        eventually(answered, "the channel answers", patience)

    def ask(self, argv, timeout, input, slack=30):
        number = next(self._numbers)
        entry = self._waiting[number] = [threading.Event(), None]
        request = json.dumps({"id": number, "argv": argv, "input": input, "timeout": timeout}) + "\n"
        try:
            with self._lock:
                self._socket.sendall(request.encode())
        except OSError as failure:
            raise AssertionError(f"the machine is gone ({failure}): {argv}") from None
        if not entry[0].wait(timeout + slack):
            raise AssertionError(f"the machine does not answer: {argv}")
        answer = entry[1]
        if answer is None or answer["code"] is None:
            raise AssertionError(f"{'the machine is gone' if answer is None else f'not done within {timeout} s'}: {argv}")
        return Done(answer["code"], answer["out"], answer["err"])

    def close(self):
        """Once qemu has ended."""
        self._receiver.join()
        self._socket.close()

    def _receive(self):
        with self._socket.makefile("rb") as lines:
            try:
                for line in lines:
                    self._take(line)
            except OSError:
                pass
        for entry in list(self._waiting.values()):
            entry[0].set()

    def _take(self, line):
        try:
            answer = json.loads(line)
        except ValueError:
            return  # part of a line, from before the channel was there
        if "code" not in answer:
            return  # a request that the terminal echoed, from before the channel was there
        entry = self._waiting.pop(answer["id"], None)
        if entry:
            entry[1] = answer
            entry[0].set()
