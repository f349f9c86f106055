"""Jobs in containers of a real engine, which limits them with real control groups: the same tests for every engine, each
with a virtual machine of its own."""

import json

import images
from harness import VirtualMachineTest, eventually

MIB = 1 << 20
IMAGE = "docker.io/berth-test/base:1"
_TOOLS = "sh cat dd grep head id ls mkdir pwd sleep tail true"
# A tree with nothing but busybox, as an archive on standard output.
_TREE = f"mkdir -p tree/bin && cp /bin/busybox tree/bin && for tool in {_TOOLS}; do ln -s busybox tree/bin/$tool; done && tar -C tree -c ."
_STATE = "/var/lib/berth"


class EngineTest(VirtualMachineTest):
    """A subclass says how the engine is started, and its program, which takes docker's arguments."""

    disk = staticmethod(images.disk_with_engines)
    units = ()
    program = None
    settings = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.machine.systemctl("start", *cls.units, timeout=120)
        cls.machine.sh(f"{_TREE} | {cls.program} import --change 'ENV PATH=/bin' - {IMAGE}", timeout=120)
        cls.machine.configure(cpus=8, max_parallel=8, image_pull="never", **cls.settings)
        # A call of its command line takes seconds here.
        cls.machine.berth("doctor", expect=None)

    def engine(self, *arguments):
        return self.machine.run(self.program, *arguments, timeout=120).out

    def in_image(self, script, user="ann", options=()):
        return self.machine.submit_sh(script, user=user, options=("--image", IMAGE, *options))

    def end_of(self, job):
        return self.machine.wait(job, 180)

    def process_of(self, job):
        """The first process of the job itself, once it runs."""
        def found():
            inside = [process for process in self.machine.processes(job) if "berth-shim" not in process.command]
            return min(inside, key=lambda process: process.start, default=None)
        return eventually(found, f"{job} runs", 180)

    def assert_nothing_is_left(self):
        """No container, no volume, of the agent."""
        label = f"label=io.berth.state={_STATE}"
        eventually(lambda: self.engine("ps", "-aq", "--filter", label) + self.engine("volume", "ls", "-q", "--filter", label) == "",
                   "its containers and volumes are gone", 120)

    def limit_of(self, process, file):
        group = self.machine.read(f"/proc/{process.pid}/cgroup").strip().split(":")[-1]
        return self.machine.sh('group=/sys/fs/cgroup$1; while [ ! -e $group/$2 ] || [ $(cat $group/$2) = max ]; do '
                               'group=${group%/*}; done; cat $group/$2', group, file).strip()

    def docker_check(self, user="root"):
        checks = json.loads(self.machine.berth("--json", "doctor", user=user, expect=None).out)["checks"]
        return next(check for check in checks if check["name"] == "docker")


class EngineTests(EngineTest):
    # --- a job in an image

    def test_a_job_is_its_users_with_code_and_outputs(self):
        self.machine.sh("mkdir -p code; echo hello > code/greeting", user="ann")
        script = "cat greeting; id -u; id -g; pwd; echo $HOME; grep -E 'NoNewPrivs|CapEff' /proc/self/status; " \
                 "mkdir outputs; echo 42 > outputs/x; exit 3"
        job = self.machine.berth("submit", "--image", IMAGE, "--", "sh", "-c", script, user="ann", cwd="/home/ann/code").out.strip()
        record = self.end_of(job)
        self.assertEqual((record["state"], record["ending"]), ("Failed", {"kind": "exited", "code": 3}), record)
        lines = self.machine.log(job).splitlines()
        self.assertEqual(lines[:3], ["hello", *self.machine.sh("id -u; id -g", user="ann").split()])
        self.assertEqual([line.split() for line in lines[-2:]], [["CapEff:", "0" * 16], ["NoNewPrivs:", "1"]])
        self.machine.berth("download", job, user="ann")
        self.assertEqual(self.machine.sh("stat -c %U $1/outputs/x; cat $1/outputs/x", job, user="ann").split(), ["ann", "42"])
        self.assert_nothing_is_left()

    def test_memory(self):
        job = self.in_image("echo before; exec tail /dev/zero", options=("--memory", "64M"))
        record = self.end_of(job)
        self.assertEqual((record["ending"]["kind"], record["ending"].get("limit_bytes")), ("out_of_memory", 64 * MIB), record)
        self.assertEqual(self.machine.log(job), "before\n")
        survives = self.in_image("tail /dev/zero; echo after", options=("--memory", "64M"))
        self.assertEqual(self.end_of(survives)["state"], "Completed")
        self.assertIn("want of memory", self.machine.berth("logs", "--agent", survives).out)
        self.assert_nothing_is_left()

    def test_limits_and_canceling(self):
        job = self.in_image("echo up; sleep 100000", options=("--memory", "96M", "--pids", "40", "--cpus", "0.5", "--grace", "2s"))
        process = self.process_of(job)
        self.assertEqual(process.uid, int(self.machine.sh("id -u ann")))
        self.assertEqual(self.limit_of(process, "memory.max"), str(96 * MIB))
        self.assertEqual(self.limit_of(process, "pids.max"), "41")
        self.assertEqual(self.limit_of(process, "cpu.max"), "50000 100000")
        refused = self.machine.berth("cancel", job, user="bob", expect=None)
        self.assertNotEqual(refused.code, 0)
        self.assertAlive(process)
        self.machine.berth("cancel", job, user="ann")
        self.assertEqual(self.end_of(job)["ending"], {"kind": "canceled", "by": "ann"})
        self.assertGone(process)
        self.assertEqual(self.machine.log(job), "up\n")
        self.assert_nothing_is_left()

    # --- what happens to the agent meanwhile

    def test_a_new_agent_adopts_its_containers(self):
        job = self.in_image("trap 'echo heard; exit 7' USR1; echo up; while :; do sleep 0.2; done")
        process = self.process_of(job)
        eventually(lambda: self.machine.log(job) == "up\n", "it has begun", 60)
        self.machine.systemctl("restart", "berthd.service")
        pid = self.machine.agent_pid()
        self.machine.run("kill", "-9", pid)
        self.machine.new_agent(pid)
        self.assertAlive(process)
        self.assertEqual(self.machine.wait_state(job, "Running")["state"], "Running")
        self.machine.run("kill", "-USR1", process.pid)
        record = self.end_of(job)
        self.assertEqual((record["ending"], len(record["attempts"])), ({"kind": "exited", "code": 7}, 1))
        self.assertEqual(self.machine.log(job), "up\nheard\n")
        self.assert_nothing_is_left()

    def test_what_a_dead_agent_left_is_swept_and_what_only_looks_like_it_stays(self):
        job = self.in_image("echo up; sleep 100000")
        self.process_of(job)
        self.machine.systemctl("stop", "berthd.socket", "berthd.service")
        left = self.engine("ps", "-aq", "--filter", f"label=io.berth.state={_STATE}").split()
        self.assertEqual(len(left), 1)
        labels = ("--label", f"io.berth.state={_STATE}", "--label", f"io.berth.job={job}")
        self.engine("run", "-d", "--name", "lookalike", *labels, "--network", "none", IMAGE, "sleep", "100000")
        self.engine("kill", *left)
        self.machine.systemctl("start", "berthd.socket", "berthd.service")
        self.assertEqual(self.end_of(job)["ending"]["kind"], "lost")
        eventually(lambda: left[0] not in self.engine("ps", "-aq").split(), "its container is gone", 120)
        self.assertIn("lookalike", self.engine("ps", "--format", "{{.Names}}"))
        self.engine("rm", "-f", "lookalike")
        self.assert_nothing_is_left()

    def test_a_dockerfile_is_built_once(self):
        # By root: what users build upon has to come from a registry, and here is none.
        self.machine.sh(f"mkdir -p context; printf 'FROM {IMAGE}\\nCOPY note /note\\nRUN echo built > /built\\n' "
                        "> context/Dockerfile; echo from the context > context/note", user="root")
        jobs = [self.machine.submit("cat", "/note", "/built", options=("--dockerfile", "context"), user="root") for _ in range(2)]
        for job in jobs:
            record = self.end_of(job)
            self.assertEqual(record["state"], "Completed", record.get("ending_words"))
            self.assertEqual(self.machine.log(job), "from the context\nbuilt\n")
        environments = json.loads(self.machine.berth("--json", "env", "ls").out)["environments"]
        digest = record["environment_digest"]
        self.assertEqual([each["digest"] for each in environments if each["digest"] == digest], [digest])
        # A job's end is told before its container is gone, which has the image.
        eventually(lambda: self.machine.berth("env", "rm", digest, timeout=120, expect=None).code == 0, "it goes", 120)
        self.assertNotIn("berth/env", self.engine("images"))
