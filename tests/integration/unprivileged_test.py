"""The agent of somebody who is not root: no control groups, overlays only where the kernel lets users mount them.

As root the agent is run as `nobody`; otherwise as whoever runs this."""

import os
import pwd
import time

import harness
import processes
from harness import BerthTest, eventually

# Directories that their owner may not write, or not even look into.
READ_ONLY = "mkdir -p outputs deep/er; echo o > outputs/o; echo x > deep/er/file; chmod 500 deep/er; chmod 0 deep"
STUBBORN = "trap '' TERM HUP; setsid sleep 300 & (setsid sleep 301 &); echo up; while :; do sleep 302; done"


class UnprivilegedTest(BerthTest):
    config = "cpus: 8\nmax_parallel: 8"

    def start(self):
        if os.geteuid() != 0:
            return self.start_agent(cgroup=False)
        nobody = pwd.getpwnam("nobody")
        programs = self.programs_for(nobody.pw_uid, nobody.pw_gid)
        prefix = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        agent = self.start_agent(cgroup=False, programs=programs, prefix=prefix)
        self.assertEqual(os.stat(f"/proc/{agent.pid}").st_uid, nobody.pw_uid)
        return agent

    def code(self):
        code = self.directory("code", train_py="print('hi')\n", data_txt="original\n")
        (code / "sub").mkdir()
        return code

    def test_code_and_outputs(self):
        agent = self.start()
        code = self.code()
        self.assertEqual(agent.berth("run", "--", "train.py", cwd=code).out, "hi\n")
        script = f"cat data.txt; echo changed > data.txt; rm -r sub; {READ_ONLY}"
        for _ in range(2):
            self.assertEqual(agent.berth("run", "--", "sh", "-c", script, cwd=code).out, "original\n")
        agent.berth("download", "@last")
        self.assertEqual((self.place / "work" / agent.job("@last")["id"] / "outputs/o").read_text(), "o\n")

    def test_secrets_are_in_memory_or_it_is_told_where_they_lay(self):
        agent = self.start()
        job = agent.sh('cat "$BERTH_SECRETS/A"; stat -f -c %T "$BERTH_SECRETS"; stat -c %a "$BERTH_SECRETS/A"; echo "$HF_TOKEN"',
                       secrets={"A": {"value": "secret-4711\n"}}, environment_variables={"HF_TOKEN": "hf_4712"})
        agent.wait(job)
        value, kind, mode, token = agent.log_of(job, masked=0).decode().splitlines()
        self.assertEqual((value, mode, token), ("secret-4711", "400", "hf_4712"))
        told = "its secrets lay in a directory on disk" in agent.log_of(job, stream="agent").decode()
        self.assertEqual(told, kind != "tmpfs")
        for path, content in harness.contents_below(agent.state):
            if path.name != "log":
                self.assertNotIn(b"secret-4711", content, path)
        self.assertEqual(agent.log_of(job), b"***********\n" + f"{kind}\n{mode}\n*******\n".encode())

    def test_what_a_job_uses_is_told_without_a_control_group(self):
        agent = self.start()
        job = agent.sh("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 1000 & echo ready; wait")
        eventually(lambda: b"ready" in agent.log_of(job), "the job has worked")
        [use] = agent.get("/v1/usage")["jobs"]
        self.assertEqual((use["id"], use["processes"], use["log_bytes"]), (job, 2, len("ready\n")))
        self.assertGreater(use["cpu_us"], 10_000)
        self.assertGreater(use["memory_bytes"], 100 << 10)
        self.assertGreaterEqual(use["memory_peak_bytes"], use["memory_bytes"])

    def test_a_stubborn_tree_is_canceled(self):
        agent = self.start()
        self.assertIsNone(agent.get("/v1/status")["cgroup"])
        self.assertEqual(agent.get("/v1/status")["health"], "degraded")
        job = agent.sh(STUBBORN, stop={"signal": 15, "grace_ms": 300})
        agent.running_pid(job, "sleep 301")
        agent.cancel(job)
        self.assertEqual(agent.wait(job)["state"], "Canceled")
        self.assertEqual(processes.of_job(job), [])

    def test_a_killed_supervisor_takes_its_job_with_it(self):
        agent = self.start()
        job = agent.sh(STUBBORN)
        agent.running_pid(job, "sleep 301")
        agent.kill()
        agent.start()
        self.assertEqual(agent.job(job)["state"], "Running")
        processes.kill(agent.started_record(job)["shim"]["pid"])
        self.assertEqual(agent.wait(job)["ending"], {"kind": "lost", "cause": "shim_killed"})
        eventually(lambda: not processes.of_job(job), "no process of it is left")

    def test_after_a_kill_what_was_prepared_goes(self):
        agent = self.start()
        code = self.code()
        for pause in (0.0, 0.02, 0.05, 0.1):
            job = agent.berth("submit", "--", "sh", "-c", READ_ONLY, cwd=code).out.strip()
            time.sleep(pause)
            agent.kill()
            agent.start()
            self.assertEqual(agent.wait(job)["state"], "Completed")


if __name__ == "__main__":
    harness.main()
