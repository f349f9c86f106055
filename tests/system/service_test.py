"""The agent under systemd: whatever happens to it, jobs run on, and it comes back."""

import json
import time

import images
from harness import ContainerTest, eventually, main
from life import LastingJob


class ServiceTest(ContainerTest):
    def test_jobs_live_in_a_scope_of_their_own(self):
        job = LastingJob(self)
        group = self.machine.read(f"/proc/{job.process.pid}/cgroup").strip().split(":")[-1]
        self.assertRegex(group, r"^/berth\.slice/berth-jobs\.scope/.+")
        self.assertEqual(self.machine.property("berth-jobs.scope", "Delegate"), "yes")
        self.assertEqual(self.machine.property("berth-jobs.scope", "ActiveState"), "active")
        shims = self.machine.sh("cat /sys/fs/cgroup/system.slice/berthd.service/cgroup.procs").split()
        self.assertEqual(shims, [str(self.machine.agent_pid())], "nothing but the agent is in its own group")
        job.let_go()
        job.assert_ended_well()

    def test_a_restart_leaves_jobs_alone(self):
        job = LastingJob(self)
        before = self.machine.agent_pid()
        self.machine.systemctl("restart", "berthd.service")
        self.assertNotEqual(self.machine.agent_pid(), before)
        job.assert_runs_on()
        seen = job.lines()
        eventually(lambda: job.lines() > seen, "its log grows on")
        job.let_go()
        job.assert_ended_well()

    def test_a_job_that_ends_while_the_agent_is_stopped_is_recorded(self):
        job = LastingJob(self)
        self.machine.systemctl("stop", "berthd.socket", "berthd.service")
        self.assertAlive(job.process)
        job.let_go()
        eventually(lambda: not self.machine.runs_on(job.process), "the job has ended")
        self.machine.systemctl("start", "berthd.socket", "berthd.service")
        job.assert_ended_well()

    def test_an_agent_without_jobs_leaves_no_scope_and_the_next_one_gets_one(self):
        self.machine.systemctl("stop", "berthd.socket", "berthd.service")
        eventually(lambda: self.machine.property("berth-jobs.scope", "ActiveState") == "inactive", "the scope has ended")
        begin = time.monotonic()
        self.machine.systemctl("start", "berthd.socket", "berthd.service")
        self.assertLess(time.monotonic() - begin, 5)
        job = LastingJob(self)
        self.assertIn("/berth-jobs.scope/", self.machine.read(f"/proc/{job.process.pid}/cgroup"))
        job.let_go()
        job.assert_ended_well()

    def test_a_mistake_in_the_configuration_is_told_at_once_and_starts_nothing_again(self):
        file = "/etc/berth/berthd.yaml"
        right = self.machine.read(file)
        line = right.count("\n") + 1
        self.machine.write(file, right + "log_cpa: 1GiB\n")
        mistake = f"{file}:{line}: unknown key 'log_cpa'"
        job = LastingJob(self)
        self.machine.systemctl("restart", "berthd.service", expect=None)
        for question in ("ps", "doctor"):
            done = self.machine.run("berth", question, user="ann", timeout=10, expect=None)
            self.assertIn(mistake, done.out + done.err)
            self.assertIn("systemctl restart berthd", done.out + done.err)
        time.sleep(3)  # enough for six starts: that there are none has no other sign
        self.assertIn("berthd.service", self.machine.systemctl("--failed", "--plain", "--no-legend"))
        self.assertEqual(self.machine.property("berthd.service", "NRestarts"), "0")
        self.assertIn(mistake, self.machine.systemctl("status", "berthd.service", expect=None))
        starts = self.machine.sh("journalctl -u berthd -o cat | grep -c '^Starting.*Berth: the agent' || true")
        self.assertEqual(starts.strip(), "2", "the first, and the one that was asked for")
        self.assertAlive(job.process)

        self.machine.write(file, right)
        self.machine.systemctl("restart", "berthd.service")
        self.machine.agent_pid()
        self.assertEqual(self.machine.systemctl("is-active", "berthd.socket"), "active")
        self.machine.run("berth", "ps", user="ann")
        job.let_go()
        job.assert_ended_well()

    def test_a_mistake_does_not_start_over_and_over_at_boot(self):
        file = "/etc/berth/berthd.yaml"
        self.machine.systemctl("stop", "berthd.socket", "berthd.service")
        self.machine.write(file, self.machine.read(file) + "log_cpa: 1GiB\n")
        self.machine.systemctl("start", "berthd.socket")
        done = self.machine.run("berth", "ps", user="ann", timeout=10, expect=125)  # it is what starts the service
        self.assertIn("unknown key 'log_cpa'", done.err)
        self.assertEqual(self.machine.property("berthd.service", "ActiveState"), "failed")
        self.assertEqual(self.machine.property("berthd.socket", "ActiveState"), "inactive")

    def test_a_reload_takes_a_change_and_nothing_of_a_mistake(self):
        file = "/etc/berth/berthd.yaml"
        right = self.machine.read(file).replace("max_parallel: 8\n", "")
        line = right.count("\n") + 2
        job = LastingJob(self)
        pid = self.machine.agent_pid()
        slots = lambda: self.machine.status()["capacity"]["slots"]
        self.machine.write(file, right + "max_parallel: 3\n")
        self.machine.systemctl("reload", "berthd.service")
        eventually(lambda: slots() == 3, "the change is taken")
        self.machine.write(file, right + "max_parallel: 4\nlog_cpa: 1GiB\n")
        self.assertNotEqual(self.machine.run("systemctl", "reload", "berthd.service", expect=None).code, 0)
        told = self.machine.sh("journalctl --sync; journalctl -u berthd.service -o cat")
        self.assertIn(f"{file}:{line}: unknown key 'log_cpa'", told)
        self.assertEqual(slots(), 3)
        self.assertEqual(self.machine.systemctl("is-active", "berthd.service"), "active")
        # What a kill -HUP does, and what Type=notify-reload would.
        self.machine.run("kill", "-HUP", pid)
        eventually(lambda: "log_cpa" in self.machine.property("berthd.service", "StatusText"), "systemd knows of the mistake")
        self.machine.write(file, right + "max_parallel: 5\nbuilds_at_once: 3\n")
        self.machine.systemctl("reload", "berthd.service")
        eventually(lambda: slots() == 5, "the change is taken")
        told = self.machine.sh("journalctl --sync; journalctl -u berthd.service -o cat")
        self.assertIn("a restart is needed for what else has changed keys=builds_at_once", told)
        self.assertEqual(self.machine.agent_pid(), pid)
        job.assert_runs_on()
        job.let_go()
        job.assert_ended_well()

    def test_a_stopped_service_is_what_the_hint_is_about(self):
        self.machine.systemctl("stop", "berthd.socket", "berthd.service")
        told = self.machine.run("berth", "ps", user="ann", expect=125).err
        self.assertIn("no agent listens on /run/berth/berth.sock: the service is stopped", told)
        self.assertIn("sudo systemctl start berthd.socket berthd.service", told)
        self.assertNotIn("--user", told)

    def test_a_killed_agent_comes_back_and_adopts(self):
        job = LastingJob(self)
        pid = self.machine.agent_pid()
        self.machine.run("kill", "-9", pid)
        self.machine.new_agent(pid)
        job.assert_runs_on()
        job.let_go()
        job.assert_ended_well()
        self.assertIn("adopted", self.machine.sh("journalctl -u berthd.service -o cat"))

    def test_a_burst_of_crashes_stops_neither_service_nor_socket(self):
        job = LastingJob(self)
        for _ in range(8):
            pid = self.machine.agent_pid()
            self.machine.run("kill", "-9", pid)
            self.machine.new_agent(pid)
        self.assertEqual(self.machine.systemctl("is-active", "berthd.socket", "berthd.service").split(), ["active", "active"])
        job.assert_runs_on()
        job.let_go()
        job.assert_ended_well()

    def test_the_watchdog_restarts_an_agent_that_hangs(self):
        self.machine.run("mkdir", "/etc/systemd/system/berthd.service.d")
        self.machine.write("/etc/systemd/system/berthd.service.d/watchdog.conf", "[Service]\nWatchdogSec=2s\n")
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("restart", "berthd.service")
        job = LastingJob(self)
        pid = self.machine.agent_pid()
        self.machine.run("sleep", "5")
        self.assertEqual(self.machine.agent_pid(), pid, "an agent that works is left alone")
        self.machine.run("kill", "-STOP", pid)
        self.machine.new_agent(pid)
        self.assertIn("watchdog", self.machine.sh("journalctl -u berthd.service -o cat").lower())
        job.assert_runs_on()
        job.let_go()
        job.assert_ended_well()

    def test_a_request_starts_an_agent_that_is_stopped(self):
        self.machine.systemctl("stop", "berthd.service")
        self.assertEqual(self.machine.property("berthd.service", "MainPID"), "0")
        self.succeeded(self.machine.submit("true"))
        self.machine.agent_pid()

    def test_systemd_is_told_how_the_agent_is(self):
        self.assertEqual(self.machine.property("berthd.service", "Type"), "notify")
        job = LastingJob(self)
        status = eventually(lambda: self.machine.property("berthd.service", "StatusText"), "it says how it is")
        self.assertTrue(status)
        job.let_go()
        job.assert_ended_well()

    def test_the_journal_finds_what_concerns_a_job(self):
        job, other = self.machine.submit_sh("exit 3"), self.machine.submit("true")
        self.machine.wait(job), self.machine.wait(other)
        entries = eventually(lambda: self.entries(f"JOB_ID={job}"), "the journal has entries of the job")
        self.assertTrue(any("ended" in entry["MESSAGE"] for entry in entries), entries)
        for entry in entries:
            self.assertEqual((entry["JOB_ID"], entry["_SYSTEMD_UNIT"]), (job, "berthd.service"))
            self.assertIn(entry["PRIORITY"], "0123456")
        self.assertTrue(self.entries(f"JOB_ID={other}"))

    def entries(self, *matches):
        text = self.machine.sh('journalctl --sync; journalctl -o json "$@"', *matches)
        return [json.loads(line) for line in text.splitlines()]


if __name__ == "__main__":
    main(images.require_containers)
