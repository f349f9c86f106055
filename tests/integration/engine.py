#!/usr/bin/env python3
"""A real Docker engine for tests, in a network namespace of its own, with registries on that namespace's loopback.

As a program, which looks after what the engine starts: `engine.py DIRECTORY [--no-registries]` prints one line of JSON when
all is up (see Engine.facts) and takes everything down when its standard input ends; the line "restart SIGTERM" (or SIGKILL)
there restarts dockerd, and is answered when it is up again; so do "stop SIGTERM" and "start", and "stop-registry NAME" and
"start-registry NAME". Python tests have it by engine_case.py.
Needs root. Images are made here (engine_images.py): nothing comes from the network."""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import engine_images
import processes
from engine_api import EngineApi
from namespace import NetworkNamespace
from registries import Registries
from waiting import PATIENCE, eventually

NEEDED = ("dockerd", "docker-registry", "iptables", "ip", "nsenter", "busybox", "openssl")


def missing():
    """Why there can be no engine here; nothing when there can."""
    if os.geteuid() != 0:
        return "a real Docker engine needs root"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    absent = [name for name in NEEDED if shutil.which(name, path=path) is None]
    return f"not installed: {', '.join(absent)} (packaging/setup test)" if absent else ""


class Engine:
    def __init__(self, directory, registries=True):
        self.directory = pathlib.Path(directory).resolve()
        self.name = f"berth-engine-{os.getpid()}"
        self.namespace = NetworkNamespace(self.name)
        self.registries = Registries(self.directory, self.namespace) if registries else None
        self.api = EngineApi(str(self.directory / "docker.sock"))
        self.daemon = None

    def __enter__(self):
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.namespace.make()
            self.start_daemon()
            engine_images.make_base(self.api)
            if self.registries:
                self.registries.start()
                self._fill_registries()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def facts(self):
        return {"socket": self.api.socket, "namespace": self.namespace.path,
                **(self.registries.facts() if self.registries else {})}

    def _fill_registries(self):
        engine_images.make_layers(self.api)
        for image in (engine_images.BASE, engine_images.LAYERS):
            self.registries.push(self.api, image)
        self.registries.add_architectures(engine_images.LAYERS)

    # --- dockerd

    def start_daemon(self):
        """Also again after stop_daemon."""
        place = self.directory
        (place / "pid").unlink(missing_ok=True)
        self.daemon = self.namespace.start(
            ["dockerd", "--data-root", place / "data", "--exec-root", place / "exec", "-H", f"unix://{self.api.socket}",
             "--pidfile", place / "pid", "--cgroup-parent", f"/{self.name}", "--max-download-attempts", "1",
             "--storage-driver", "overlay2"], place / "dockerd.log")
        eventually(self._answers, "the engine answers", pause=0.02)

    def stop_daemon(self, number=signal.SIGTERM):
        """With SIGKILL its containers go on, as after a crash."""
        processes.end(self.daemon, number)
        # Its containerd dies with it; where nobody reaps that, the next dockerd would wait for it.
        (self.directory / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def _answers(self):
        if self.daemon.poll() is not None:
            raise RuntimeError("dockerd ended: " + (self.directory / "dockerd.log").read_text()[-2000:])
        try:
            return self.api.ask("GET", "/_ping")[0] == 200
        except OSError:
            return False

    # --- nothing left behind

    def stop(self):
        if self.registries:
            self.registries.stop()
        if self.daemon:
            processes.end(self.daemon)
        self._kill_strays()
        self._unmount()
        remove_groups(self.name)
        self.namespace.remove()
        for part in ("data", "exec", "registry"):
            shutil.rmtree(self.directory / part, ignore_errors=True)

    def _kill_strays(self):
        """What a killed dockerd left: containerd and container supervisors, which name our directory, and what they run."""
        mark = os.fsencode(str(self.directory / "exec"))
        for stray in [pid for pid in processes.pids() if mark in processes.read(f"/proc/{pid}/cmdline")]:
            for victim in [stray, *processes.children(stray)]:
                processes.kill(victim)
                eventually(lambda victim=victim: not processes.is_alive(victim), f"{victim} is gone")

    def _unmount(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            points = [line.split()[4] for line in file]
        for point in sorted((p for p in points if p.startswith(str(self.directory) + "/")), reverse=True):
            subprocess.run(["umount", "--lazy", point], check=False, timeout=PATIENCE)


def remove_groups(name):
    for root in pathlib.Path("/sys/fs/cgroup").glob("*/" + name):
        for directory, _, _ in os.walk(root, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
    with contextlib.suppress(OSError):
        os.rmdir(f"/sys/fs/cgroup/{name}")


def main():
    reason = missing()
    if reason:
        print(json.dumps({"missing": reason}), flush=True)
        return 0
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what dockerd leaves is ours to reap
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the end of standard input is the only way
    with Engine(sys.argv[1], registries="--no-registries" not in sys.argv) as engine:
        print(json.dumps(engine.facts()), flush=True)
        for line in sys.stdin:
            verb, *what = line.split()
            if verb in ("stop", "restart"):
                engine.stop_daemon(signal.Signals[what[0]])
            if verb in ("start", "restart"):
                engine.start_daemon()
            if verb == "stop-registry":
                engine.registries.stop_one(what[0])
            if verb == "start-registry":
                engine.registries.start_one(what[0])
            print("{}", flush=True)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
