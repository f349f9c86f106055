"""What jobs may use, enforced by the kernel's control groups. All tests share one boot."""

import time

import images
from harness import VirtualMachineTest, eventually, main
from life import LastingJob

MIB = 1 << 20
_HOG = "python3 -c 'x = bytearray(400 << 20); print(len(x))'"


class LimitsTest(VirtualMachineTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.machine.configure(cpus=8, max_parallel=8)

    def group_of(self, process):
        """Directory of the process's control group."""
        return "/sys/fs/cgroup" + self.machine.read(f"/proc/{process.pid}/cgroup").strip().split(":")[-1]

    def limit_of(self, process, file):
        """The lowest value of a limit on the way from the process's group to that of all jobs."""
        values = self.machine.sh('group=$1; while case $group in *berth-jobs.scope/*) true;; *) false;; esac; '
                                 'do cat $group/$2; group=${group%/*}; done', self.group_of(process), file).split()
        return min((int(value) for value in values if value != "max"), default=None)

    def assert_out_of_memory(self, job, limit):
        record = self.machine.wait(job)
        ending = record["ending"]
        self.assertEqual((ending["kind"], ending.get("limit_bytes")), ("out_of_memory", limit))
        self.assertGreater(ending["peak_bytes"], limit * 0.8)
        self.assertLess(ending["peak_bytes"], limit * 1.1)
        shown = self.machine.berth("show", job).out
        self.assertIn("memory", shown)
        self.assertIn(f"{limit // MIB} MiB", shown)
        self.assertEqual(self.machine.processes(job), [])
        return record

    def test_memory(self):
        job = self.machine.submit_sh(f"echo before; {_HOG}; echo after", options=("--memory", "64M"))
        record = self.assert_out_of_memory(job, 64 * MIB)
        self.assertEqual((record["state"], self.machine.log(job)), ("Failed", "before\n"))
        self.assertEqual(self.machine.berth("wait", job, expect=None).code, 137)
        fits = self.machine.submit_sh("python3 -c 'x = bytearray(20 << 20)'", options=("--memory", "64M"))
        self.assertGreater(self.succeeded(fits)["attempts"][0]["peak_memory_bytes"], 20 * MIB)

    def test_memory_kills_the_whole_job(self):
        # Without it the shell would wait for its other child for ever.
        job = self.machine.submit_sh(f"sleep 100000 & {_HOG} & wait", options=("--memory", "64M"))
        self.assert_out_of_memory(job, 64 * MIB)

    def test_memory_retried_where_it_is_asked_for(self):
        job = self.machine.submit_sh(_HOG, options=("--memory", "64M", "--retry", "out_of_memory=1"))
        record = self.assert_out_of_memory(job, 64 * MIB)
        self.assertEqual([attempt["ending"]["kind"] for attempt in record["attempts"]], ["out_of_memory"] * 2)

    def test_cpus(self):
        spin = "end=$(($(date +%s) + 8)); while [ $(date +%s) -lt $end ]; do n=0; while [ $n -lt 3000 ]; do n=$((n+1)); done; done"
        limited = self.succeeded(self.machine.submit_sh(spin, options=("--cpus", "0.5")))
        self.assertAlmostEqual(self.share(limited), 0.5, delta=0.12)
        free = self.succeeded(self.machine.submit_sh(spin))
        self.assertGreater(self.share(free), 0.75, "without a wish there is no limit")

    @staticmethod
    def share(record):
        attempt = record["attempts"][0]
        return (attempt["user_cpu_ms"] + attempt["system_cpu_ms"]) / attempt["duration_ms"]

    def test_pids(self):
        script = """import os, time
children = 0
try:
    while children < 100:
        if os.fork() == 0:
            time.sleep(100)
        children += 1
except OSError as failure:
    print(children, failure.strerror, flush=True)"""
        job = self.machine.submit("python3", "-c", script, options=("--pids", "20"))
        self.succeeded(job)
        children, words = self.machine.log(job).strip().split(" ", 1)
        self.assertEqual(words, "Resource temporarily unavailable")
        self.assertTrue(10 <= int(children) < 20, children)

    def test_a_fork_bomb_is_contained(self):
        bystander = self.machine.submit("sleep", "100000", user="bob")
        spared = self.machine.process(bystander, "sleep 100000")
        job = self.machine.submit_sh("bomb() { bomb | bomb & }; bomb; sleep 100000", options=("--pids", "60"))
        group = self.group_of(eventually(lambda: next(iter(self.machine.processes(job)), None), "the bomb goes off"))
        count = "cat $1/pids.current"
        eventually(lambda: int(self.machine.sh(count, group)) >= 40, "the bomb has grown")
        begin = time.monotonic()
        self.assertEqual(self.machine.berth("ps").code, 0)
        self.succeeded(self.machine.submit("true", user="eve"))
        self.assertLess(time.monotonic() - begin, 20, "the agent answers and runs jobs meanwhile")
        self.assertLessEqual(int(self.machine.sh(count, group)), 60)
        self.machine.berth("cancel", job)
        self.assertEqual(self.machine.wait(job)["ending"]["kind"], "canceled")
        self.assertEqual(self.machine.processes(job), [])
        self.assertFalse(self.machine.exists(group))
        self.assertAlive(spared)
        self.machine.berth("cancel", bystander)
        self.machine.wait(bystander)

    def test_cancel_reaches_what_forked_twice(self):
        script = """import os, signal, time
def daemon(level):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            os.execve('/bin/sh', ['sh', '-c', 'trap "" TERM HUP; echo $$; while :; do sleep 1; done'], {'PATH': '/bin'})
        if level:
            daemon(level - 1)
        os._exit(0)
for _ in range(3):
    daemon(2)
time.sleep(100000)"""
        job = self.machine.submit("python3", "-c", script, options=("--grace", "1s"))
        eventually(lambda: len(self.machine.log(job).split()) == 9, "nine daemons run")
        daemons = self.machine.log(job).split()
        lines = self.machine.sh('for pid; do tr "\\0" " " < /proc/$pid/cmdline; echo; done', *daemons).splitlines()
        self.assertEqual(len([line for line in lines if "while :" in line]), 9)
        self.machine.berth("cancel", job)
        self.assertEqual(self.machine.wait(job)["ending"]["kind"], "canceled")
        self.assertEqual(self.machine.sh('for pid; do [ ! -e /proc/$pid ] || echo $pid; done', *daemons), "")

    def test_three_users_at_once(self):
        jobs = [LastingJob(self, user, ("--memory", f"{100 + number}M")) for number, user in enumerate(images.MEMBERS)]
        uids = [int(uid) for uid in self.machine.sh('for user; do id -u $user; done', *images.MEMBERS).split()]
        self.assertEqual([job.process.uid for job in jobs], uids)
        groups = [self.group_of(job.process) for job in jobs]
        self.assertEqual(len(set(groups)), 3)
        for number, job in enumerate(jobs):
            self.assertEqual(self.limit_of(job.process, "memory.max"), (100 + number) * MIB)
        for job in jobs:
            job.let_go()
            job.assert_ended_well()
        self.machine.sh("rm /home/*/go")

    def test_limits_outlive_the_agent(self):
        script = f"while [ ! -e ~/eat ]; do sleep 0.1; done; {_HOG}"
        job = self.machine.submit_sh(script, options=("--memory", "80M", "--pids", "50"))
        process = self.machine.process(job, "/bin/sh -c while [ ! -e")
        group = self.group_of(process)
        self.assertIn("/berth.slice/berth-jobs.scope/", group)
        pid = self.machine.agent_pid()
        self.machine.run("kill", "-9", pid)
        pid = self.machine.new_agent(pid)
        self.machine.systemctl("restart", "berthd.service")
        self.machine.new_agent(pid)
        self.machine.systemctl("daemon-reload")
        self.assertAlive(process)
        self.assertEqual(self.group_of(process), group)
        self.assertEqual(self.limit_of(process, "memory.max"), 80 * MIB)
        self.assertEqual(self.limit_of(process, "pids.max"), 50)
        self.machine.run("touch", "eat", user="ann")
        self.assert_out_of_memory(job, 80 * MIB)

    def test_a_temporary_directory_of_limited_size(self):
        script = """echo $TMPDIR; df -k --output=size $TMPDIR | tail -1; echo kept > $TMPDIR/file; cat $TMPDIR/file
dd if=/dev/zero of=$TMPDIR/big bs=1M count=40 2>&1 | grep -o 'No space left on device'; while [ ! -e ~/go ]; do sleep 0.1; done"""
        job = self.machine.submit_sh(script, options=("--tmp", "16M"))
        eventually(lambda: self.machine.log(job).count("\n") == 4, "the job has filled its directory")
        path, size, content, words = self.machine.log(job).splitlines()
        self.assertEqual((int(size), content, words), (16 * 1024, "kept", "No space left on device"))
        spy = self.machine.submit_sh(f"ls -A {path}; echo; echo $TMPDIR", user="bob")
        self.succeeded(spy)
        self.assertNotIn("file", self.machine.log(spy))
        self.machine.run("touch", "go", user="ann")
        self.succeeded(job)
        self.machine.run("rm", "/home/ann/go")
        self.assertNotIn(job, self.machine.read("/proc/mounts"))

    def test_a_job_without_network(self):
        server = "import socket; s = socket.create_server(('127.0.0.1', 4711)); print('up', flush=True)\nwhile 1: s.accept()"
        ask = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 4711), 10); print(\"through\")' 2>&1 | tail -1"
        serving = self.machine.submit("python3", "-c", server)
        eventually(lambda: self.machine.log(serving) == "up\n", "the server is up")
        open_to_it, cut_off = (self.machine.submit_sh(ask, options=options) for options in ((), ("--no-network",)))
        self.succeeded(open_to_it), self.succeeded(cut_off)
        self.assertEqual(self.machine.log(open_to_it), "through\n")
        self.assertIn("Connection refused", self.machine.log(cut_off))
        self.machine.berth("cancel", serving)
        self.machine.wait(serving)

    def test_what_a_job_used_is_told(self):
        # Synced, so that the writes are the job's own and not somebody's later.
        job = self.machine.submit_sh("dd if=/dev/zero of=$HOME/written bs=1M count=8 conv=fsync 2>/dev/null; rm $HOME/written")
        attempt = self.succeeded(job)["attempts"][0]
        self.assertGreater(attempt["user_cpu_ms"] + attempt["system_cpu_ms"], 0)
        self.assertGreaterEqual(attempt["io_written_bytes"], 8 * MIB)
        shown = self.machine.berth("show", job).out
        for words in ("Peak memory", "CPU time", "wrote 8.0 MiB"):
            self.assertIn(words, shown)


if __name__ == "__main__":
    main(images.require_virtual_machines)
