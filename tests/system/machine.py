"""A machine that a test boots, and what tests do in it, wherever it runs: a container with a systemd of its own
(container.py) or a virtual machine (virtual_machine.py)."""

import json
import re
import shlex
import time
from abc import ABC, abstractmethod
from collections import namedtuple

PATIENCE = 60  # seconds for what takes milliseconds
LIVE = ("Preparing", "Queued", "Running", "Finalizing", "CancelRequested")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Lines "pid, start time in ticks, uid, command line" of the living processes that have $1 in their environment.
_PROCESSES = r"""for file in $(grep -lzsxF -- "$1" /proc/[0-9]*/environ); do
  pid=${file%/environ}; pid=${pid#/proc/}
  stat=$(cat /proc/$pid/stat 2>/dev/null) && uid=$(stat -c %u /proc/$pid 2>/dev/null) &&
    command=$(tr '\0' ' ' 2>/dev/null </proc/$pid/cmdline) && set -- ${stat##*) } || continue
  [ "$1" != Z ] || continue
  shift 19
  printf '%s\t%s\t%s\t%s\n' $pid $1 $uid "$command"
done; true"""

Done = namedtuple("Done", "code out err")
Process = namedtuple("Process", "pid start uid command")


def eventually(condition, what, patience=PATIENCE, pause=0.05):
    """The first true value of condition(); a failure that tells the last value after `patience` seconds."""
    end = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {patience} s: {what} (last: {value!r})")
        time.sleep(pause)
    return value


class Machine(ABC):
    """Every call into the machine has a time limit; passing it is a failure of the test."""

    @abstractmethod
    def boot(self):
        """Starts it and waits until systemd says that all is started."""

    @abstractmethod
    def power_off(self, patience=PATIENCE):
        """Shuts it down in good order; what is on its disk stays."""

    @abstractmethod
    def destroy(self):
        """Ends it, whatever state it is in, and removes everything of it from the host."""

    @abstractmethod
    def execute(self, argv, timeout, input):
        """Runs the program as root inside: Done."""

    @abstractmethod
    def told(self):
        """What it said on its console, for the report of a failure."""

    # --- programs

    def run(self, *argv, user="root", timeout=PATIENCE, expect=0, cwd=None, input="", environment=None):
        """Runs a program as that user in a clean environment; `expect` is the exit code it must have, or None for any."""
        home = "/root" if user == "root" else f"/home/{user}"
        variables = {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": home, "USER": user, "LOGNAME": user, **(environment or {})}
        command = ["env", "-i", f"--chdir={cwd or home}", *(f"{name}={value}" for name, value in variables.items())]
        if user != "root":
            command += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        command += map(str, argv)
        done = self.execute(command, timeout, input)
        if expect is not None and done.code != expect:
            raise AssertionError(f"{user}$ {shlex.join(map(str, argv))[:1000]}\nexit code {done.code}, not {expect}\n"
                                 f"{done.out[-3000:]}{done.err[-3000:]}")
        return done

    def sh(self, script, *arguments, **options):
        """What the shell script writes to its standard output."""
        return self.run("sh", "-c", script, "sh", *arguments, **options).out

    def systemctl(self, *arguments, **options):
        return self.run("systemctl", *arguments, **options).out.strip()

    def property(self, unit, name):
        return self.systemctl("show", "-P", name, unit)

    def read(self, path):
        return self.run("cat", path).out

    def write(self, path, text, mode="644"):
        self.sh('cat > "$1" && chmod "$2" "$1"', path, mode, input=text)

    def exists(self, path):
        return self.run("test", "-e", path, expect=None).code == 0

    # --- the agent and its jobs

    def berth(self, *arguments, **options):
        return self.run("berth", *arguments, **options)

    def status(self):
        return json.loads(self.berth("--json", "status").out)

    def agent_pid(self):
        """Of the berthd that serves now; a failure when there is none."""
        pid = int(self.property("berthd.service", "MainPID"))
        if not pid or "berthd" not in self.sh('tr "\\0" " " < /proc/$1/cmdline', pid):
            raise AssertionError(f"berthd.service has no main process\n{self.systemctl('status', 'berthd', expect=None)}")
        return pid

    def new_agent(self, before):
        """The pid of a berthd other than `before`, once one is ready."""
        def changed():
            active = self.property("berthd.service", "ActiveState") == "active"
            pid = int(self.property("berthd.service", "MainPID"))
            return pid if active and pid not in (0, before) else None
        return eventually(changed, f"systemd has started another berthd than {before}")

    def configure(self, **settings):
        """Adds to the configuration and restarts the agent."""
        lines = "".join(f"{name}: {value}\n" for name, value in settings.items())
        self.sh("mkdir -p /etc/berth; cat >> /etc/berth/berthd.yaml", input=lines)
        self.systemctl("restart", "berthd.service")

    def submit(self, *command, user="ann", options=(), **more):
        """The id of a job that runs in the user's home as it is."""
        return self.berth("submit", "--no-code", *options, "--", *command, user=user, **more).out.strip()

    def submit_sh(self, script, **options):
        return self.submit("/bin/sh", "-c", script, **options)

    def job(self, job):
        return json.loads(self.berth("--json", "show", job).out)

    def wait(self, job, patience=PATIENCE):
        """The record of the job once it has ended."""
        self.berth("wait", job, expect=None, timeout=patience)
        record = self.job(job)
        if record["state"] in LIVE:
            raise AssertionError(f"{job} has not ended within {patience} s: {json.dumps(record, indent=1)}")
        return record

    def wait_state(self, job, *states, patience=PATIENCE):
        def reached():
            record = self.job(job)
            return record if record["state"] in states else None
        return eventually(reached, f"{job} is {' or '.join(states)}", patience)

    def log(self, job, user="root"):
        return self.berth("logs", job, user=user).out

    def processes(self, job):
        """The living processes of a job."""
        return self.processes_with(f"BERTH_JOB_ID={job}")

    def processes_with(self, variable):
        """The living processes with NAME=value in their environment."""
        lines = self.sh(_PROCESSES, variable).splitlines()
        fields = (line.split("\t", 3) for line in lines)
        return [Process(int(pid), int(start), int(uid), command) for pid, start, uid, command in fields]

    def process(self, job, command):
        """The one process of the job whose command line begins so, once it runs."""
        def found():
            matching = [process for process in self.processes(job) if process.command.startswith(command)]
            return matching[0] if len(matching) == 1 else None
        return eventually(found, f"{job} runs one process {command!r}")

    def runs_on(self, process):
        """Whether it is alive: the same process, not another one with its pid."""
        stat = self.run("cat", f"/proc/{process.pid}/stat", expect=None).out
        fields = re.sub(r"^.*\) ", "", stat).split()
        return bool(fields) and fields[0] != "Z" and int(fields[19]) == process.start
