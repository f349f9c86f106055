"""Starts real agents on state directories of their own, and fails a test that leaves anything behind.

    class SomethingTest(BerthTest):
        def test_it(self):
            agent = self.start_agent()
            job = agent.submit("true")
            self.assertEqual(agent.wait(job)["state"], "Completed")

BERTH_BIN names the directory of berthd, berth and berth-shim. BERTH_KEEP=1 keeps the directory of a failed test."""

import http.client
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import processes
import skips
from client import Client, Refused
from waiting import PATIENCE, eventually

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("BERTH_BIN", ROOT / "build/dev/bin"))
PROGRAMS = Path(os.environ.get("BERTH_TEST_PROGRAMS", BIN))
DATA = Path(__file__).resolve().parent / "data"
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
# What an agent's state directory may hold while no job is live. Of a launch that is over, only its log stays.
KEPT = re.compile(r"""lock | reserve | secrets\.key | containers | berth\.(sock|db|db-wal|db-shm) | incoming | next-job(/1(/(log|tmp))?)? | objects(/lock|/[0-9a-f]+\.objects)?
                  | checkouts(/lock|/boot|/\d+(/[0-9a-f]{64}(/(manifest|tree|size|base))?)?)?
                  | images(/.*)?
                  | environments(/(cache|failed|doomed)(/.*)?)?
                  | environments/[0-9a-f]{64}(/(ready\.json|uses|as-built|made(/.*)?|build(\.\w{6}(/log(\.index)?)?)?))?
                  | jobs(/[a-z0-9-]+(/(build|agent)(\.index)?|/\d+(/log(\.index)?)?)?)?""", re.VERBOSE)
LIVE = ("Preparing", "Queued", "Running", "Finalizing", "CancelRequested")
CGROUP2 = next((mount for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
                if os.path.exists(f"{mount}/cgroup.procs") and os.path.exists(f"{mount}/cgroup.controllers")
                and os.access(mount, os.W_OK)), None)

family = processes.Family()


def files_below(directory):
    """All but what is within checkouts, which are trees of users' files, and what goes while one looks."""
    try:
        paths = sorted(directory.iterdir())
    except FileNotFoundError:
        return
    for path in paths:
        yield path
        if path.is_dir() and not path.is_symlink() and not re.fullmatch("[0-9a-f]{64}", path.parent.name):
            yield from files_below(path)


def contents_below(directory):
    """(path, content) of every file but what goes while one looks."""
    for place, _, names in os.walk(directory):
        for path in (Path(place, name) for name in names):
            try:
                content = path.read_bytes() if path.is_file() else None
            except FileNotFoundError:
                continue
            if content is not None:
                yield path, content


def remove_group(path):
    """False while there are processes in the control group."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def copy_programs(place):
    """Where they may be changed, and where users find them that cannot look where the build lies; the programs' directory."""
    (place / "programs/lib").mkdir(parents=True)
    (place / "programs/bin").mkdir()
    for name in ("berthd", "berth-shim", "berth"):
        shutil.copy(BIN / name, place / "programs/bin")
    if (BIN.parent / "lib/berth").is_dir():
        shutil.copytree(BIN.parent / "lib/berth", place / "programs/lib/berth")
    return place / "programs/bin"


def new_submission_id():
    return f"{random.SystemRandom().getrandbits(128):032x}"


# As whom agents of machines build: each test module's own, since an agent kills whatever still runs as a user that it has
# given to a build.
BUILD_UIDS = range(1910000000 + 48 * os.getpid(), 1910000000 + 48 * os.getpid() + 48)


class Agent(Client):
    """One berthd, started, stopped, killed and started again on the same state directory."""

    def __init__(self, place, name="s", config="", machine=False, environment=None, cgroup=True, programs=BIN, prefix=()):
        """`prefix` goes before the programs' command lines, to run them as somebody else."""
        self.place = place
        self.programs = programs
        self.prefix = list(prefix)
        self.state = place / name
        self.machine = machine
        self.config = place / f"{name}.yaml"
        self.log_file = place / f"{name}.log"
        self.extra = dict(environment or {})
        self.process = None
        self.baseline = None
        self.cgroup = f"{CGROUP2}/berth-test-{os.getpid()}-{place.name[-8:]}-{name}" if CGROUP2 and cgroup else None
        super().__init__(str(self.state / "berth.sock"))
        self.configure(config)

    def configure(self, text):
        lines = [text]
        if self.cgroup:
            os.makedirs(self.cgroup, exist_ok=True)
            lines.append(f"cgroup: {self.cgroup}")
        if self.machine:
            lines += [f"state_dir: {self.state}", f"socket: {self.socket_path}"]
            if "build_uids:" not in text:
                lines.append(f"build_uids: {BUILD_UIDS[0]}-{BUILD_UIDS[-1]}")
        self.config.write_text("\n".join(lines) + "\n")

    def arguments(self):
        mode = [] if self.machine else ["--user", "--state", str(self.state)]
        return [*self.prefix, str(self.programs / "berthd"), *mode, "--config", str(self.config)]

    def environment(self):
        inherited = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")
                     if name in os.environ}
        return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", "TZ": "UTC",
                "HOME": str(self.place / "home"), "TMPDIR": str(self.place / "tmp"), **inherited, **self.extra}

    # --- its life

    def spawn(self):
        """Starts it without waiting until it serves."""
        log = open(self.log_file, "ab")
        with log:
            self.process = family.popen(self.arguments(), stdout=log, stderr=log, env=self.environment(),
                                        cwd=self.place)
        return self

    def start(self):
        self.spawn()
        eventually(self.is_serving, f"berthd serves on {self.socket_path}")
        return self

    def is_serving(self):
        if self.process.poll() is not None:
            raise AssertionError(f"berthd ended with {self.process.returncode} instead of serving:\n{self.log()[-3000:]}")
        try:
            return self.request("GET", "/v1/status").status == 200
        except TimeoutError:
            raise AssertionError(f"berthd hangs:\n{self.log()[-3000:]}") from None
        except (OSError, http.client.HTTPException):
            return False

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self):
        """SIGTERM; its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def restart(self):
        code = self.stop()
        if code != 0:
            raise AssertionError(f"berthd ended with {code} after SIGTERM:\n{self.log()[-3000:]}")
        return self.start()

    def fails_to_start(self):
        """(exit code, what it said) of an agent that must refuse to run."""
        before = len(self.log())
        self.spawn()
        try:
            code = self.process.wait(PATIENCE)
        except Exception:
            raise AssertionError(f"berthd runs, but should have refused to:\n{self.log()[before:]}") from None
        return code, self.log()[before:]

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    # --- jobs, over HTTP

    def submit(self, *command, **fields):
        """The id of a job that runs in the test's directory `work`, unless `fields` say otherwise."""
        return self.submit_request(self.request_for(*command, **fields))["id"]

    def sh(self, script, **fields):
        return self.submit("/bin/sh", "-c", script, **fields)

    def request_for(self, *command, **fields):
        request = {"submission_id": new_submission_id(), "command": list(command),
                   "working_directory": str(self.place / "work"), **fields}
        if request.get("snapshot"):
            request["working_directory"] = fields.get("working_directory", "")
        return request

    def submit_request(self, request):
        return self.post("/v1/jobs", request)["jobs"][0]

    def job(self, job_id):
        return self.get(f"/v1/jobs/{job_id}")

    def jobs(self, **query):
        return self.get("/v1/jobs", **{"all": True, **query})["jobs"]

    def records(self, **query):
        """The jobs of a list, each whole."""
        return [self.job(job["id"]) for job in self.jobs(**query)]

    def act(self, job_id, action, body=None):
        return self.post(f"/v1/jobs/{job_id}/{action}", body)

    def cancel(self, job_id):
        return self.act(job_id, "cancel")

    def wait(self, job_id, patience=PATIENCE):
        job = self.get(f"/v1/jobs/{job_id}/wait", timeout_ms=int(patience * 1000))
        if job["state"] in LIVE:
            raise AssertionError(f"{job_id} has not ended after {patience} s: {json.dumps(job, indent=1)}")
        return job

    def wait_state(self, job_id, *states, patience=PATIENCE):
        return eventually(lambda: (job := self.job(job_id))["state"] in states and job,
                          f"{job_id} is {' or '.join(states)}", patience)

    def all_cleared(self):
        """Returns when nothing of ended jobs is left that is cleared away soon after their end."""
        eventually(lambda: not list(self.state.glob("jobs/*/*/ending.json")), "what ended jobs left is cleared away")

    def running_pid(self, job_id, program=None):
        """The pid of the job's command, once it runs, and has become `program` where that is given."""
        return eventually(lambda: next((pid for pid in processes.of_job(job_id)
                                        if (program or "") in processes.command_line(pid)), None),
                          f"a process of {job_id} runs ({program or 'any'})")

    def log_of(self, job_id, **query):
        return self.get(f"/v1/jobs/{job_id}/log", **query)

    def building(self):
        """The environments that are being made, or wait for that."""
        return self.get("/v1/environments")["building"]

    def started_record(self, job_id, launch=1):
        """The supervisor's started.json, once it is there."""
        path = self.launch_directory(job_id, launch) / "started.json"
        eventually(path.exists, f"{path} exists")
        return json.loads(path.read_text())

    def launch_directory(self, job_id, launch=1):
        return self.state / "jobs" / job_id / str(launch)

    # --- the command line

    def berth(self, *arguments, cwd=None, timeout=60, expect=0, environment=None, **options):
        """Runs berth; `expect` is the exit code it must have, or None for any."""
        done = family.run([*self.prefix, str(self.programs / "berth"), *map(str, arguments)], timeout,
                          cwd=cwd or self.place / "work", env=self.cli_environment(**(environment or {})), **options)
        done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if expect is not None and done.returncode != expect:
            raise AssertionError(f"berth {' '.join(map(str, arguments))}: exit code {done.returncode}, not {expect}\n"
                                 f"stdout: {done.out[-3000:]}\nstderr: {done.err[-3000:]}")
        if "Sanitizer" in done.err or "runtime error:" in done.err:
            raise AssertionError(f"berth {arguments}: {done.err}")
        return done

    def berth_json(self, *arguments, **options):
        return json.loads(self.berth("--json", *arguments, **options).out)

    def cli_environment(self, **more):
        return {**Agent.environment(self), "BERTH_SOCKET": self.socket_path,
                "XDG_CACHE_HOME": str(self.place / "home/cache"), **more}

    # --- what it must not leave

    def take_baseline(self):
        """Its descriptors once every part of it has been used."""
        self.wait(self.submit("/bin/true"))
        self.jobs()
        self.log_of("@last")
        self.request("POST", "/v1/snapshots", b"BRTHPAK1" + bytes(32) + b"\1" + bytes(32))  # its base is not here
        self.get("/metrics")
        self.baseline = self.descriptors()
        return self

    def descriptors(self):
        """But for the object store's containers, which stay open once used."""
        return [target for target in processes.descriptors(self.pid) if not target.endswith(".objects")]

    def sockets(self):
        """Its sockets, each told from every other that was."""
        found = set()
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                found.add(os.readlink(descriptor))
            except FileNotFoundError:  # closed meanwhile
                pass
        return {target for target in found if target.startswith("socket:")}

    def connected(self, begin):
        """What begin() gives, which connects, once somebody has."""
        before = self.sockets()
        begun = begin()
        eventually(lambda: self.sockets() - before, "somebody has connected")
        return begun


class BerthTest(unittest.TestCase):
    maxDiff = None
    config = ""

    def run(self, result=None):
        before = len(result.failures) + len(result.errors) if result else 0
        begin = time.monotonic()
        super().run(result)
        if time.monotonic() - begin > 10:
            print(f"({self.id()} took {time.monotonic() - begin:.0f} s)", file=sys.stderr)
        if result and len(result.failures) + len(result.errors) > before:
            for agent in self.agents:
                print(f"--- {agent.log_file.name} of {self.id()}:\n{self.logs.get(agent, '')[-6000:]}", file=sys.stderr)
        return result

    def setUp(self):
        self.agents = []
        self.logs = {}
        self.addCleanup(self._clean_up)
        self.place = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
        os.chmod(self.place, 0o711)
        for name in ("home", "tmp", "work"):
            (self.place / name).mkdir()

    def new_agent(self, name="s", config=None, **options):
        agent = Agent(self.place, name, self.config if config is None else config, **options)
        self.agents.append(agent)
        return agent

    def start_agent(self, *arguments, **options):
        return self.new_agent(*arguments, **options).start().take_baseline()

    def directory(self, name, **files):
        """A directory of the test with the files given; `_` in a name stands for the dot."""
        path = self.place / name
        path.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (path / file.replace("_", ".", 1)).write_text(content)
        return path

    def programs_for(self, uid, gid):
        """What an agent of this user needs: programs, and the test's directories as his."""
        for name in (".", "home", "tmp", "work"):
            os.chown(self.place / name, uid, gid)
        return copy_programs(self.place)

    def refuses(self, status, code, call, *arguments, **options):
        """The error of a call that must be refused so."""
        with self.assertRaises(Refused) as refused:
            call(*arguments, **options)
        answer = refused.exception.answer
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.error["code"], code, answer)
        return answer.error

    def dismantle(self):
        """For what a test class has set up and must be gone before traces are looked for."""

    # --- nothing left behind

    def _clean_up(self):
        problems = []
        for agent in self.agents:
            problems += self._wind_up(agent)
        problems += self._processes_left()
        self.dismantle()
        problems += self._traces_left()
        for agent in self.agents:
            self.logs[agent] = agent.log()
            problems += [f"{agent.log_file.name}: {line}" for line in agent.log().splitlines()
                         if "Sanitizer" in line or "runtime error:" in line or "SUMMARY:" in line]
        if not (problems and os.environ.get("BERTH_KEEP")):
            shutil.rmtree(self.place, ignore_errors=True)
        if problems:
            self.fail("left behind:\n  " + "\n  ".join(problems))

    def _wind_up(self, agent):
        """Ends the agent's jobs and the agent, looking for what it lost on the way."""
        if not agent.is_running():
            return []
        problems = []
        try:
            for job in agent.get("/v1/jobs")["jobs"]:
                agent.cancel(job["id"])
            for job in agent.get("/v1/jobs")["jobs"]:
                agent.wait(job["id"])
            if agent.baseline is not None:
                problems += self._descriptors_left(agent)
            problems += self._files_left(agent)
        except Exception as failure:
            problems.append(f"{agent.log_file.name}: {failure}")
        code = agent.stop()
        if code != 0:
            problems.append(f"berthd ended with {code} after SIGTERM")
        return problems

    @staticmethod
    def _descriptors_left(agent):
        def more():
            left = list(agent.descriptors())
            for descriptor in agent.baseline:
                if descriptor in left:
                    left.remove(descriptor)
            return left
        try:
            eventually(lambda: not more(), "descriptors are back at their baseline", patience=10)
            return []
        except AssertionError:
            return [f"descriptor of berthd: {descriptor}" for descriptor in more()]

    @staticmethod
    def _files_left(agent):
        """What lies in the state directory of an agent without live jobs, and should not."""
        def left():
            return [str(path) for path in files_below(agent.state)
                    if not KEPT.fullmatch(str(path.relative_to(agent.state)))]
        try:
            eventually(lambda: not left(), "launches are cleared up", patience=10)
            return []
        except AssertionError:
            return [f"file {path}" for path in left()]

    def _processes_left(self):
        def left():
            return {**family.strays(), **processes.about(f"{self.place}/")}
        try:
            eventually(lambda: not left(), "all processes have ended", patience=5)
            return []
        except AssertionError:
            found = left()
            for pid in found:
                processes.kill(pid)
            time.sleep(0.2)  # so that their control groups can be removed
            return [f"process {pid}: {command}" for pid, command in found.items()]

    def _traces_left(self):
        problems = []
        for agent in self.agents:
            if not agent.cgroup or not os.path.isdir(agent.cgroup):
                continue
            for path, _, _ in os.walk(agent.cgroup, topdown=False):
                if os.path.relpath(path, agent.cgroup) not in (".", "shims"):  # the supervisors' own stays
                    problems.append(f"control group {path}")
                remove_group(path)
        with open("/proc/self/mountinfo") as mounts:
            problems += [f"mount {line.split()[4]}" for line in mounts if f"{self.place}/" in line]
        problems += [f"temporary file {path}" for path in (self.place / "tmp").iterdir()]
        return problems


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a time-out of ctest still cleans up
    skips.main(verbosity=2)
