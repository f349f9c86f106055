"""Several users of one agent: each one's jobs run as himself, and nobody reaches another's."""

import images
from harness import ContainerTest, eventually, main

REFUSED = 2


class UsersTest(ContainerTest):
    def test_a_job_is_its_submitters_in_every_respect(self):
        self.machine.run("usermod", "-aG", "dialout", "ann")
        script = "id -u; id -g; id -G | tr ' ' '\\n' | sort -n | xargs; pwd; ulimit -c; umask; ls /proc/self/fd | wc -l; " \
                 "grep -E '^(NoNewPrivs|CapEff|CapPrm|CapBnd):' /proc/self/status | xargs; env"
        for user in ("ann", "bob"):
            job = self.machine.submit_sh(script, user=user, environment={"SECRET": "of the submitter's shell"})
            self.succeeded(job)
            lines = self.machine.log(job).splitlines()
            expected = [self.machine.sh("id -u; id -g; id -G | tr ' ' '\\n' | sort -n | xargs", user=user).split("\n")[index]
                        for index in range(3)]
            self.assertEqual(lines[:3], expected)
            self.assertEqual(lines[3:6], [f"/home/{user}", "0", "0022"])
            self.assertEqual(lines[6], "4", "descriptors are 0, 1, 2, and the one of ls")
            status = dict(zip(lines[7].split()[::2], lines[7].split()[1::2]))
            self.assertEqual((status["NoNewPrivs:"], int(status["CapEff:"], 16), int(status["CapPrm:"], 16)), ("1", 0, 0))
            self.assert_clean_environment(user, dict(line.partition("=")[::2] for line in lines[8:]))

    def assert_clean_environment(self, user, environment):
        self.assertEqual((environment["HOME"], environment["USER"]), (f"/home/{user}", user))
        of_the_agent = {name for name in environment if name in ("NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM",
                        "SYSTEMD_EXEC_PID", "STATE_DIRECTORY") or name.startswith(("LISTEN_", "WATCHDOG_"))}
        self.assertEqual(of_the_agent, set())
        self.assertNotIn("SECRET", environment)

    def test_users_cannot_touch_each_others_jobs(self):
        job = self.machine.submit_sh("echo secret; sleep 600", user="ann")
        process = self.machine.process(job, "sleep 600")
        self.assertEqual(process.uid, int(self.machine.sh("id -u ann")))
        for arguments in (("cancel", job), ("logs", job), ("hold", job), ("priority", job, "5"), ("download", job)):
            refused = self.machine.berth(*arguments, user="bob", expect=None)
            self.assertNotEqual(refused.code, 0, arguments)
            self.assertIn("ann", refused.err)
            self.assertNotIn("secret", refused.out)
        self.assertAlive(process)
        listed = self.machine.berth("ps", user="bob").out
        self.assertIn(job, listed)

    def test_a_job_cannot_touch_another_users_job(self):
        victim = self.machine.submit_sh("echo secret > $HOME/file; chmod 600 $HOME/file; echo secret; sleep 600", user="ann")
        process = self.machine.process(victim, "/bin/sh -c echo secret")
        shim = int(self.machine.sh(r"sed 's/.*) . \([0-9]*\).*/\1/' /proc/$1/stat", process.pid))
        self.assertEqual(self.machine.read(f"/proc/{shim}/comm"), "berth-shim\n")
        state = f"/var/lib/berth/jobs/{victim}"
        attempts = [f"kill -9 {process.pid}", f"kill -9 {shim}", f"cat /proc/{process.pid}/environ", "cat /home/ann/file",
                    f"cat {state}/1/log", f"ls {state}", "ls /var/lib/berth", "cat /var/lib/berth/berth.db",
                    f"echo 1 > /sys/fs/cgroup$(cut -d: -f3 /proc/{process.pid}/cgroup)/cgroup.kill",
                    f"echo $$ > /sys/fs/cgroup$(cut -d: -f3 /proc/{process.pid}/cgroup)/cgroup.procs"]
        spy = self.machine.submit_sh("".join(f"if ( {attempt} ) 2>/dev/null; then echo done: '{attempt}'; fi; "
                                             for attempt in attempts) + "kill -9 -1; echo tried", user="bob")
        self.machine.wait(spy)
        self.assertNotIn("done", self.machine.log(spy))
        self.assertAlive(process)
        self.assertEqual(self.machine.job(victim)["state"], "Running")
        self.machine.berth("cancel", victim, user="ann")
        self.assertEqual(self.machine.wait(victim)["ending"], {"kind": "canceled", "by": "ann"})
        self.assertGone(process)

    def test_code_and_outputs_are_their_owners_alone(self):
        self.machine.sh("mkdir code; cd code; echo private > file; echo 'pwd; mkdir outputs; cp file outputs; while :; do sleep 1; "
                        "done' > job.sh", user="ann")
        job = self.machine.berth("submit", "--", "sh", "job.sh", user="ann", cwd="/home/ann/code").out.strip()
        tree = eventually(lambda: self.machine.log(job).strip(), "the job tells its directory")
        seen = f"/proc/{self.machine.process(job, 'sh job.sh').pid}/root{tree}"  # as the job itself sees it
        eventually(lambda: self.machine.exists(f"{seen}/outputs/file"), "the job has written its output")
        self.assertEqual(self.machine.read(f"{seen}/outputs/file"), "private\n")
        self.assertEqual(self.machine.sh("stat -c %U $1/file $1/outputs/file", seen).split(), ["ann", "ann"])
        for path in (tree, f"{tree}/file", f"{tree}/outputs", seen, f"{seen}/file"):
            self.assertNotEqual(self.machine.run("ls", path, user="bob", expect=None).code, 0, path)
        self.machine.berth("cancel", job, user="ann")
        self.machine.wait(job)

    def test_the_agent_opens_no_path_that_the_user_may_not(self):
        self.machine.sh("chmod 700 /home/bob; mkdir -m 700 /root/closed; chmod 700 /root")
        for closed in ("/home/bob", "/root/closed"):
            job = self.machine.berth("submit", "--no-code", "--workdir", closed, "--", "true", user="ann", expect=None)
            if job.code == 0:
                self.assertEqual(self.machine.wait(job.out.strip())["ending"]["kind"], "start_failed")
        self.machine.sh("echo echo stolen > /root/tool; chmod 755 /root/tool")
        job = self.machine.submit("/root/tool", user="ann")
        self.assertEqual(self.machine.wait(job)["ending"]["kind"], "start_failed")

    def test_who_is_not_in_the_group_is_told_so(self):
        for arguments in (("ps",), ("submit", "--no-code", "--", "true"), ("status",)):
            refused = self.machine.berth(*arguments, user=images.OUTSIDER, expect=REFUSED)
            self.assertIn("/run/berth/berth.sock", refused.err)
            self.assertIn("group", refused.err)
        self.assertEqual(self.machine.status()["jobs"]["queued"], 0)

    def test_the_node_is_the_administrators(self):
        for verb in ("drain", "resume", "gc"):
            self.assertNotEqual(self.machine.berth(verb, user="ann", expect=None).code, 0)
        self.machine.berth("drain")
        job = self.machine.submit("true")
        self.assertEqual(self.machine.job(job)["state"], "Queued")
        self.machine.berth("resume")
        self.succeeded(job)


if __name__ == "__main__":
    main(images.require_containers)
