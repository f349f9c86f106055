"""How a job ends, as the command line and its record tell: exit codes, signals, time limits, what it leaves running."""

import os

import harness
import processes
from harness import PYTHON, BerthTest
from processes import STUBBORN


class EndingTest(BerthTest):
    config = "cpus: 8\nmax_parallel: 8"

    def run_sh(self, agent, script, *options, expect):
        return agent.berth("run", "--no-code", *options, "--", "sh", "-c", script, expect=expect)

    def test_run_exits_as_the_job_does(self):
        agent = self.start_agent()
        done = self.run_sh(agent, "echo to stdout; echo to stderr >&2", expect=0)
        self.assertEqual(done.out, "to stdout\nto stderr\n")
        self.run_sh(agent, "exit 3", expect=3)
        self.run_sh(agent, "kill -KILL $$", expect=137)
        self.run_sh(agent, "kill -SEGV $$", expect=139)
        self.run_sh(agent, "sleep 60", "--timeout", "300ms", expect=124)
        endings = [job["ending"]["kind"] for job in agent.jobs()[-5:]]
        self.assertEqual(endings, ["exited", "exited", "signalled", "signalled", "timed_out"])

    def test_wait_exits_as_the_job_did(self):
        agent = self.start_agent()
        job = agent.berth("submit", "--no-code", "--", "sh", "-c", "sleep 0.2; exit 9").out
        self.assertRegex(job, r"\A[a-z]+-[a-z]+-[a-z2-9]{4}\n\Z")
        agent.berth("wait", job.strip(), expect=9)
        agent.berth("wait", "@last", expect=9)
        canceled = agent.submit("sleep", "60", held=True)
        agent.cancel(canceled)
        agent.berth("wait", canceled, expect=130)

    def test_a_timeout_stops_the_whole_tree(self):
        agent = self.start_agent()
        job = agent.sh(STUBBORN, timeout_ms=500, stop={"signal": 15, "grace_ms": 300})
        agent.running_pid(job, "sleep 301")
        ended = agent.wait(job)
        self.assertEqual((ended["state"], ended["exit_code"]), ("Failed", 124))
        self.assertEqual(ended["ending"], {"kind": "timed_out", "limit_ms": 500})
        self.assertGreaterEqual(ended["duration_ms"], 500)
        self.assertEqual(processes.of_job(job), [])

    def test_what_a_job_leaves_running_ends_with_it(self):
        agent = self.start_agent()
        job = agent.sh("setsid sleep 300 & (setsid sleep 301 &); sleep 0.2; exit 0")
        agent.running_pid(job, "sleep 301")
        self.assertEqual(agent.wait(job)["state"], "Completed")
        self.assertEqual(processes.of_job(job), [])

    def test_usage_and_times_are_recorded(self):
        agent = self.start_agent()
        job = agent.submit(PYTHON, "-ISEc", "x = bytearray(60 << 20); sum(range(3_000_000))")
        ended = agent.wait(job)
        attempt = ended["attempts"][0]
        self.assertGreater(attempt["peak_memory_bytes"], 60 << 20)
        self.assertGreater(attempt["user_cpu_ms"], 10)
        self.assertGreaterEqual(attempt["duration_ms"], attempt["user_cpu_ms"] // 2)
        self.assertLessEqual(ended["submitted"], ended["started"])
        self.assertLessEqual(ended["started"], attempt["ended"])
        self.assertLessEqual(attempt["ended"], ended["finished"])

    def test_the_job_gets_a_clean_environment(self):
        agent = self.start_agent()
        os.environ["BERTH_TEST_SECRET"] = "hidden"
        self.addCleanup(os.environ.pop, "BERTH_TEST_SECRET")
        done = agent.berth("run", "--no-code", "--env", "MINE=a b", "--env", "TZ", "--experiment", "clean", "--",
                           "env", environment={"BERTH_TEST_SECRET": "hidden"})
        job = agent.job("@last")
        found = dict(line.split("=", 1) for line in done.out.splitlines())
        self.assertNotIn("BERTH_TEST_SECRET", found)
        self.assertNotIn("BERTH_SOCKET", found)
        self.assertEqual(found["MINE"], "a b")
        self.assertEqual(found["TZ"], "UTC")
        self.assertEqual(found["BERTH_JOB_ID"], job["id"])
        self.assertEqual(found["AZUREML_RUN_ID"], job["id"])
        self.assertEqual(found["AZUREML_EXPERIMENT_NAME"], "clean")
        self.assertEqual(found["BERTH_ATTEMPT"], "1")
        self.assertEqual(found["CUDA_VISIBLE_DEVICES"], "")

    def test_the_job_gets_no_descriptor_and_no_input(self):
        agent = self.start_agent()
        done = agent.berth("run", "--no-code", "--", "sh", "-c", "ls -l /proc/self/fd; cat", stdin=-3)
        numbers = {line.split(" -> ")[0].split()[-1] for line in done.out.splitlines() if "->" in line}
        self.assertLessEqual(numbers, {"0", "1", "2", "3"})  # 3: ls looks at the directory
        self.assertIn("0 -> /dev/null", done.out)


if __name__ == "__main__":
    harness.main()
