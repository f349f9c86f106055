"""The real Docker engine of the integration tests, and the `docker` command for it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from harness import ROOT, Broken, check

IMAGE = "berth-test/base:1"  # a busybox with /bin/sh
PATIENCE = 60


class Engine:
    def __init__(self, bench):
        # Not in the scratch: paths of sockets are short.
        self._place = tempfile.mkdtemp(prefix="berth-bench-engine.")
        self._process = subprocess.Popen(
            [sys.executable, "-B", ROOT / "tests/integration/engine.py", self._place, "--no-registries"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=bench.environment | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
        )  # fmt: skip
        bench.on_close(self.stop)
        told = json.loads(self._process.stdout.readline() or "{}")
        if "socket" not in told:
            raise Broken(f"no Docker engine: {told.get('missing', 'it did not start')}")
        self.settings = f"docker_socket: {told['socket']}\nimage_pull: never\n"
        self.environment = {"DOCKER_HOST": f"unix://{told['socket']}"}
        self._bench = bench
        check(shutil.which("docker"), "there is no docker command")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def output_of(self, *words):
        return self._bench.output_of(["docker", *words], environment=self.environment).strip()

    def versions(self):
        return self.output_of("version", "--format", "engine {{.Server.Version}}, docker {{.Client.Version}}")

    def wait_until_empty(self):
        """No container is left, running or not."""
        give_up = time.monotonic() + PATIENCE
        while left := self.output_of("ps", "--all", "--quiet"):
            check(time.monotonic() < give_up, f"containers are left: {left}")
            time.sleep(0.05)

    def stop(self):
        if self._process.poll() is None:
            self._process.stdin.close()
            self._process.wait(PATIENCE)
            self._process.stdout.close()
            shutil.rmtree(self._place, ignore_errors=True)
