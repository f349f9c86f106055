"""Five people share a machine, and one of them is hostile: a thousand idle connections, lists that nobody reads, jobs with
huge outputs, huge logs and deep trees, environments whose builds hang. What do the others notice?

The hostile one does all of it at once and again as long as the others are measured; the rest is what the same agent did
in the minute before. The node has as many slots as the machine has CPUs, as one has that nobody configured. What the machine
itself takes meanwhile to start a program is told too. Needs root, for the users are real."""

import contextlib
import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from harness import Broken, check, median, percentile
from node import Connection, Node, job_request
from report import Row, mebibytes, milliseconds

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "hostile"))

CONNECTIONS = 1000
PS_MOST, SUBMIT_MOST, MEMORY_MOST = 0.050, 0.100, 64 << 20
PAUSE = 0.05

DEEP = """import os
os.chdir(os.environ['TMPDIR'])
for _ in range(20000): os.mkdir('d'); os.chdir('d')"""
MANY = "import os\nos.chdir(os.environ['TMPDIR'])\nfor i in range(20000): os.close(os.open(str(i), os.O_CREAT | os.O_WRONLY))"
LOG = "import os, time\nprint('a', flush=True)\nos.ftruncate(1, 1 << 43)\ntime.sleep(5)\nprint('b', flush=True)"
OUTPUTS = "mkdir -p outputs; truncate -s 4G outputs/sparse; head -c 200M /dev/urandom > outputs/random"
BACKEND = """import time
def build_wheel(*_, **__): time.sleep(600)
"""


def measure(bench):
    check(os.geteuid() == 0, "users can be made and become by root only")
    from people import People  # pylint: disable=import-outside-toplevel,import-error

    people = People(("ada", "grace", "katherine", "margaret", "hostile", "stranger"))
    bench.on_close(people.remove)
    bench.scratch.chmod(0o711)
    wheels = bench.directory("wheels")
    make_hanging_package(wheels)
    seconds = bench.rounds(60, 15)
    settings = f"find_links: [{wheels}]\noffline: true\nuv: ''\n"
    with Node(bench, max_parallel=os.cpu_count(), settings=settings, group=people.group) as node:
        others = [people.ada, people.grace, people.katherine, people.margaret]
        calm = seen_by(others, node, seconds)
        hostile = spawn(people.hostile, attack, node.socket, people.hostile.home)
        try:
            time.sleep(5)
            worst = MemoryPeak(node.pid)
            harried = seen_by(others, node, seconds, worst.look)
        finally:
            os.killpg(hostile.pid, signal.SIGKILL)  # with who holds connections for him
            hostile.result()
            end_all_jobs(node)
    return rows(calm, harried, worst.bytes)


def rows(calm, harried, memory):
    def row(what, key, most):
        figure, before = percentile(harried[key], 0.99), percentile(calm[key], 0.99)
        note = f"{len(harried[key])} of them; medians {milliseconds(median(harried[key]))} and {milliseconds(median(calm[key]))}; " \
            f"`true` by itself: p99 {milliseconds(percentile(harried['true'], 0.99))}"
        return Row(
            f"five users, one hostile: {what} of the others, p99", milliseconds(figure),
            f"{milliseconds(before)} without him", figure / before, f"≤ {most * 1e3:.0f} ms", figure <= most, note,
            {"harried": harried[key], "calm": calm[key]},
        )  # fmt: skip

    return [
        row("`berth ps`", "ps", PS_MOST),
        row("`berth submit`", "submit", SUBMIT_MOST),
        Row("five users, one hostile: the agent's memory at most (RSS)", mebibytes(memory), goal="≤ 64 MiB",
            met=memory <= MEMORY_MOST),
    ]  # fmt: skip


def make_hanging_package(wheels):
    def add(archive, path, text):
        about = tarfile.TarInfo(f"hang-1.0/{path}")
        about.size = len(text)
        archive.addfile(about, io.BytesIO(text.encode()))

    with tarfile.open(wheels / "hang-1.0.tar.gz", "w:gz") as archive:
        add(archive, "PKG-INFO", "Metadata-Version: 2.1\nName: hang\nVersion: 1.0\n")
        add(archive, "pyproject.toml", '[build-system]\nrequires=[]\nbuild-backend="backend"\nbackend-path=["."]\n')
        add(archive, "backend.py", BACKEND)


class Child:
    def __init__(self, pid, reader):
        self.pid, self._reader = pid, reader

    def result(self):
        """What the function gave, "" where it was killed before."""
        text = self._reader.read()
        self._reader.close()
        os.waitpid(self.pid, 0)
        return json.loads(text) if text else ""


def spawn(who, function, *arguments):
    """Calls it in a process of that user."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return Child(pid, os.fdopen(reader, encoding="utf-8"))
    status = 1
    with contextlib.suppress(BaseException):  # the parent sees the missing result
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setgroups(who.groups)
        os.setgid(who.gid)
        os.setuid(who.uid)
        text = json.dumps(function(*arguments))
        with os.fdopen(writer, "w", encoding="utf-8") as pipe:
            pipe.write(text)
        status = 0
    os._exit(status)


def seen_by(others, node, seconds, meanwhile=lambda: None):
    """{command: [seconds that it took]} of all of them, who work at the same time."""
    children = [spawn(who, work, node, seconds, who.home) for who in others]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        meanwhile()
        time.sleep(PAUSE)
    results = [child.result() for child in children]
    if not all(results):
        raise Broken(f"an honest user was not served: {node.log()[-800:]}")
    return {key: [took for result in results for took in result[key]] for key in results[0]}


def work(node, seconds, home):
    variables = {"PATH": os.environ["PATH"], "HOME": home, "LC_ALL": "C.UTF-8"} | node.environment
    variables["XDG_CACHE_HOME"] = f"{home}/.cache"
    commands = {
        "ps": node.command("ps"),
        "submit": node.command("submit", "--no-code", "--", "true"),
        "true": ["/bin/true"],
    }
    took = {key: [] for key in commands}
    os.chdir(home)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, command in commands.items():
            begin = time.monotonic()
            subprocess.run(command, env=variables, check=True, stdout=subprocess.DEVNULL, timeout=120)
            took[key].append(time.monotonic() - begin)
        time.sleep(PAUSE)
    return took


class MemoryPeak:
    def __init__(self, pid):
        self._status = Path(f"/proc/{pid}/status")
        self.bytes = 0

    def look(self):
        for line in self._status.read_text().splitlines():
            if line.startswith("VmRSS:"):
                self.bytes = max(self.bytes, int(line.split()[1]) * 1024)


def attack(address, home):
    """Until it is killed. It is refused much of this, which is not its failure."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if os.fork() == 0:
        hold_connections(address)
    number = 0
    while True:
        number += 1
        for request in jobs_of_an_attack(number, home):
            with contextlib.suppress(Exception):
                submit_and_read(address, request)
        with contextlib.suppress(Exception), Connection(address) as connection:
            connection.request("POST", "/v1/jobs", b"[" + b"[]," * (4 << 20) + b"[]]", expect=range(200, 600))
        time.sleep(1)


def jobs_of_an_attack(number, home):
    python = ["/usr/bin/python3", "-c"]
    big = ["/bin/sh", "-c", "exit 0", "x" * 100_000]
    for command in ([*python, DEEP], [*python, MANY], [*python, LOG], big, big):
        yield job_request(command, home)
    yield job_request(["/bin/sh", "-c", OUTPUTS], home, outputs=["outputs"])
    asked = f"hang\nnothing{number} ; python_version < '3'\n"  # another environment each time
    hanging = {"kind": "venv", "file": "requirements.txt", "files": {"requirements.txt": asked}}
    yield job_request(["true"], home, environment=hanging)


def submit_and_read(address, request):
    with Connection(address) as connection:
        job = connection.json("POST", "/v1/jobs", request)["jobs"][0]["id"]
    for query in ("tail=3", "offset=0", "follow=true"):  # asked for, and never read
        idle = socket.socket(socket.AF_UNIX)
        idle.connect(str(address))
        idle.sendall(f"GET /v1/jobs/{job}/log?{query} HTTP/1.1\r\nHost: berth\r\n\r\n".encode())
        UNREAD.append(idle)
        del UNREAD[:-300]


UNREAD = []


def hold_connections(address):
    held = []
    while True:
        with contextlib.suppress(OSError):
            for _ in range(CONNECTIONS - len(held)):
                one = socket.socket(socket.AF_UNIX)
                one.settimeout(1)
                one.connect(str(address))
                held.append(one)
        time.sleep(0.5)
        held = [one for one in held if is_open(one)]


def is_open(one):
    one.setblocking(False)
    try:
        return one.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def end_all_jobs(node):
    with node.connect() as connection:
        connection.request("POST", "/v1/drain")
    for job in node.jobs(live_only=True):
        with node.connect() as connection:
            connection.request("POST", f"/v1/jobs/{job['id']}/cancel")
    for job in node.jobs(live_only=True):
        node.wait(job["id"])
