"""What a job waits for between its submission and its exit code: counted, so that no noise can hide it; and what a
machine that goes down just then leaves of it."""

import re
import shutil
import subprocess
import time
import unittest
from contextlib import contextmanager

import harness
import processes
from harness import BerthTest, eventually, family

SYNCS = "fsync,fdatasync,sync,syncfs,sync_file_range,msync"


class CountedTest(BerthTest):
    config = "cpus: 2\nmax_parallel: 2"

    @contextmanager
    def traced(self, agent):
        """Lines of strace, of the agent and all its supervisors, in the order in which they came about."""
        supervisors = list(processes.descendants(agent.pid))
        trace = self.place / "trace"
        lines = []
        tracer = family.popen(
            ["strace", "-f", "-s", "2000", "-o", str(trace), "-e", f"trace={SYNCS},execve,recvfrom,sendmsg,sendto",
             *[word for pid in (agent.pid, *supervisors) for word in ("-p", str(pid))]],
            stderr=subprocess.PIPE, text=True)
        try:
            attached = set()
            while len(attached) < 1 + len(supervisors):  # it says so for each, with the threads of it
                found = re.search(r"Process (\d+) attached", tracer.stderr.readline())
                self.assertTrue(found, "strace attaches to the agent and its supervisors")
                attached |= {int(found[1])} & {agent.pid, *supervisors}
            yield lines
        finally:
            tracer.terminate()
            tracer.communicate()
        lines += trace.read_text().splitlines()

    @unittest.skipUnless(shutil.which("strace"), "calls are counted with strace")
    def test_two_waits_for_the_disk_and_no_program_but_the_jobs_own(self):
        agent = self.start_agent()
        for _ in range(3):  # all that is made when first needed
            agent.wait(agent.submit("/bin/true"))
        agent.all_cleared()
        with self.traced(agent) as lines:
            job = agent.submit("/bin/sh", "-c", "exit 7")
            self.assertEqual(agent.wait(job)["exit_code"], 7)
        begin = next(i for i, line in enumerate(lines) if "POST /v1/jobs " in line)
        end = next(i for i, line in enumerate(lines) if i > begin and '\\"exit_code\\":7' in line and "send" in line)
        path = lines[begin:end]
        syncs = [line for line in path if re.search(rf"\b({SYNCS.replace(',', '|')})\(", line)]
        programs = [line for line in path if "execve(" in line and "= -1" not in line]
        self.assertLessEqual(len(syncs), 2, "\n".join(path))
        self.assertGreaterEqual(len(syncs), 2, "a submission and an ending are each brought to disk\n" + "\n".join(path))
        self.assertEqual(len(programs), 1, "\n".join(programs))
        self.assertIn('"/bin/sh"', programs[0])

    @unittest.skipUnless(shutil.which("strace"), "calls are counted with strace")
    def test_berth_run_is_one_program_start_more(self):
        agent = self.start_agent()
        agent.berth("run", "--no-code", "--", "true")
        trace = self.place / "cli"
        done = family.run(["strace", "-f", "-o", str(trace), "-e", "trace=execve", str(agent.programs / "berth"), "run",
                           "--no-code", "--", "true"], 60, cwd=self.place / "work",
                          env={**agent.cli_environment(), "ASAN_OPTIONS": "detect_leaks=0"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(trace.read_text().count("execve("), 1)


class PowerFailureTest(BerthTest):
    """What was not synced is taken back: the database and its log go to what they were when they were synced last."""

    def copy_database(self, agent, place):
        place.mkdir(exist_ok=True)
        for file in agent.state.glob("berth.db*"):
            shutil.copy2(file, place / file.name)

    def test_an_ending_that_was_told_is_the_ending_after_the_machine_went_down(self):
        agent = self.start_agent(environment={"BERTH_BOOT_ID": "one boot"})
        for _ in range(20):  # until the agent is killed before it has cleared the launch away, which takes 100 ms
            job = agent.sh("until [ -e go ]; do sleep 0.01; done; exit 7")
            agent.started_record(job)
            self.copy_database(agent, self.place / "synced")
            (self.place / "work/go").touch()
            told = agent.wait(job)
            agent.kill()
            (self.place / "work/go").unlink()
            self.assertEqual(told["exit_code"], 7)
            if (agent.launch_directory(job) / "ending.json").exists():
                break
            agent.start()
        else:
            self.fail("the supervisor's record never outlived the answer")
        for file in agent.state.glob("berth.db*"):
            file.unlink()
        for file in (self.place / "synced").iterdir():
            shutil.copy2(file, agent.state / file.name)
        agent.extra["BERTH_BOOT_ID"] = "another boot"
        agent.start()
        after = agent.wait(job)
        self.assertEqual((after["state"], after["exit_code"]), ("Failed", 7))
        self.assertEqual(after["attempts"][-1]["started"], told["attempts"][-1]["started"])
        self.assertEqual(len(after["attempts"]), 1)

    def test_the_supervisors_record_stays_until_the_agents_is_on_disk(self):
        agent = self.start_agent()
        job = agent.sh("exit 7")
        agent.wait(job)
        ending = agent.launch_directory(job) / "ending.json"
        eventually(lambda: not ending.exists(), "the launch is cleared away once its end is on disk")
        agent.kill()
        agent.start()
        self.assertEqual(agent.job(job)["exit_code"], 7)


if __name__ == "__main__":
    harness.main()
