"""A Berth node of a row's own: the agent on a state directory in the scratch, its command line, its API."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import uuid

from harness import BERTH, Broken, check

FINAL = {"Completed", "Failed", "Canceled"}


class Connection:
    """One HTTP connection on a unix socket: less than Python's own client, so that it costs next to nothing."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(300)
        self._socket.connect(str(path))
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def request(self, method, path, body=b"", expect=(200, 201)):
        """Gives the answer's body. Another status than expected is Broken."""
        head = f"{method} {path} HTTP/1.1\r\nHost: berth\r\nContent-Length: {len(body)}\r\n"
        if body:
            head += "Content-Type: application/json\r\n"
        self._socket.sendall(head.encode() + b"\r\n" + body)
        return self._answer(method, path, expect)

    def json(self, method, path, value=None):
        return json.loads(self.request(method, path, b"" if value is None else json.dumps(value).encode()))

    def _answer(self, method, path, expect):
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._chunks()
        else:
            body = self._exactly(int(headers.get("content-length", 0)))
        check(status in expect, f"{method} {path}: HTTP {status}: {body[:500].decode(errors='replace')}")
        return body

    def _chunks(self):
        chunks = []
        while length := int(self._until(b"\r\n").split(b";")[0], 16):
            chunks.append(self._exactly(length))
            self._exactly(2)
        while self._until(b"\r\n"):
            pass
        return b"".join(chunks)

    def _until(self, mark):
        while (at := self._buffer.find(mark)) < 0:
            self._receive()
        found, self._buffer = self._buffer[:at], self._buffer[at + len(mark) :]
        return found

    def _exactly(self, length):
        pieces, held = [self._buffer], len(self._buffer)
        while held < length:
            self._buffer = b""
            self._receive()
            pieces.append(self._buffer)
            held += len(self._buffer)
        whole = b"".join(pieces)
        self._buffer = whole[length:]
        return whole[:length] if len(whole) != length else whole

    def _receive(self):
        got = self._socket.recv(1 << 20)
        if not got:
            raise Broken("the agent closed the connection")
        self._buffer += got


def job_request(command, cwd, **fields):
    """The JSON of a job without a snapshot."""
    request = {"submission_id": uuid.uuid4().hex, "command": [str(word) for word in command]}
    return request | {"working_directory": str(cwd)} | fields


class Node:
    def __init__(self, bench, max_parallel=2, settings="", group=None):
        """With a `group` it is a machine's agent, which serves that group's members as themselves: for root only."""
        self._bench = bench
        self.state = bench.directory("node")
        self.socket = self.state / "berth.sock"
        self.cache = bench.directory("cache")  # the command line's
        config = self.state.with_suffix(".yaml")
        config.write_text(f"max_parallel: {max_parallel}\ncpus: {max(max_parallel, os.cpu_count())}\n{settings}")
        self._log = self.state.with_suffix(".log")
        mode = ["--user", "--state", self.state]
        if group:
            mode = []
            with open(config, "a", encoding="utf-8") as file:
                file.write(f"state_dir: {self.state}\nsocket: {self.socket}\ngroup: {group}\n")
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [BERTH / "berthd", *mode, "--config", config],
                env=bench.environment, cwd=bench.scratch, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        bench.on_close(self.stop)
        self._wait_until_ready()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self._process.pid

    def _wait_until_ready(self):
        give_up = time.monotonic() + 20
        while time.monotonic() < give_up:
            check(self._process.poll() is None, f"berthd did not start: {self._log.read_text()[-800:]}")
            with contextlib.suppress(OSError):
                return self.connect().json("GET", "/v1/status")
            time.sleep(0.01)
        raise Broken(f"berthd does not answer: {self._log.read_text()[-800:]}")

    def connect(self):
        return Connection(self.socket)

    def log(self):
        """What the agent has said."""
        return self._log.read_text(errors="replace")

    def command(self, *words):
        """A command line of `berth`; run it with `environment=node.environment`."""
        return [BERTH / "berth", *words]

    @property
    def environment(self):
        return {"BERTH_SOCKET": str(self.socket), "XDG_CACHE_HOME": str(self.cache)}

    def berth(self, *words, **options):
        environment = self.environment | options.pop("environment", {})
        return self._bench.run(self.command(*words), environment=environment, **options)

    def output_of(self, *words, **options):
        return self._bench.output_of(self.command(*words), environment=self.environment, **options)

    def jobs(self, live_only=False):
        """Every job, a page at a time, the oldest first."""
        jobs, before = [], None
        with self.connect() as connection:
            while True:
                query = f"limit=1000&all={'false' if live_only else 'true'}" + (f"&before={before}" if before else "")
                page = connection.json("GET", f"/v1/jobs?{query}")["jobs"]
                jobs = page + jobs
                if len(page) < 1000:
                    return jobs
                before = min(job["sequence"] for job in page)

    def wait(self, job_id):
        """The job when it has ended."""
        with self.connect() as connection:
            job = connection.json("GET", f"/v1/jobs/{job_id}/wait?timeout_ms=240000")
        check(job["state"] in FINAL, f"job {job_id} is still {job['state']}")
        return job

    def wait_until_running(self, job_id):
        give_up = time.monotonic() + 10
        with self.connect() as connection:
            while (state := connection.json("GET", f"/v1/jobs/{job_id}")["state"]) != "Running":
                check(time.monotonic() < give_up, f"job {job_id} is {state}, not running")
                time.sleep(0.01)

    def files_of(self, job_id):
        """What the agent keeps of a job on disk."""
        return [path for path in (self.state / "jobs" / job_id).rglob("*") if path.is_file()]

    def check_all_completed(self, count):
        jobs = self.jobs()
        check(len(jobs) == count, f"{count} jobs were submitted, the agent knows of {len(jobs)}")
        for job in jobs:
            check(
                job["state"] == "Completed" and job.get("exit_code") == 0,
                f"job {job['id']} is {job['state']}: {job.get('ending_words', '')}",
            )

    def stop(self):
        """Ends what still runs, then the agent. Waiting jobs stay where they are."""
        if self._process.poll() is not None:
            return
        try:
            with self.connect() as connection:
                connection.request("POST", "/v1/drain")
                running = [job["id"] for job in self.jobs(live_only=True) if job["state"] == "Running"]
                for job_id in running:
                    connection.request("POST", f"/v1/jobs/{job_id}/cancel")
                for job_id in running:
                    connection.request("GET", f"/v1/jobs/{job_id}/wait?timeout_ms=15000")
        finally:
            os.kill(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise Broken("berthd did not stop within 20 s of SIGTERM") from None
        check(self._process.returncode == 0, f"berthd ended with {self._process.returncode}: {self._log.read_text()[-800:]}")


class CountingProxy:
    """Stands between the command line and a node and tells what each request took on the wire."""

    def __init__(self, bench, node, programs):
        self.socket = bench.path("proxy.sock")
        self._counts = bench.path("counts")
        self._counts.touch()
        self._process = subprocess.Popen(
            [programs / "proxy", self.socket, node.socket, self._counts], stdin=subprocess.DEVNULL
        )
        bench.on_close(self.stop)
        while not self.socket.exists():
            check(self._process.poll() is None, "the counting proxy did not start")
            time.sleep(0.005)

    def stop(self):
        self._process.terminate()
        self._process.wait()

    def take(self):
        """[(method, path, body bytes, sent, received)] since the last call."""
        time.sleep(0.02)  # a connection is reported when its end is seen
        lines = self._counts.read_text().splitlines()
        os.truncate(self._counts, 0)
        counts = []
        for line in lines:
            method, path, *numbers = line.split()
            counts.append((method, path, *map(int, numbers)))
        return counts
