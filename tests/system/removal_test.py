"""Removing the package stops taking jobs and keeps what is known; purging leaves nothing."""

import images
import packages
from harness import ContainerTest, eventually, main
from life import LastingJob

_ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow")
# What apt, dpkg, account tools and systemd keep for themselves.
_OTHERS = ("/var/log/", "/var/cache/", "/var/lib/dpkg/", "/var/lib/apt/", "/var/lib/systemd/", "/var/lib/ucf/", "/var/tmp/", "/etc/.pwd.lock",
           *(f"{path}-" for path in _ACCOUNTS), "/home/", "/etc/machine-id", "/root/")


class RemovalTest(ContainerTest):
    def apt(self, *arguments):
        self.machine.sh('DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" </dev/null', *arguments, timeout=120)

    def install(self):
        self.apt("install", f"/opt/packages/{packages.current().name}")

    def test_removing_keeps_data_and_running_jobs(self):
        ended = self.machine.submit_sh("echo kept")
        self.succeeded(ended)
        running = LastingJob(self)
        self.apt("remove", "berth")
        self.assertFalse(self.machine.exists("/run/berth/berth.sock"))
        self.assertFalse(self.machine.exists("/usr/bin/berth"))
        self.assertNotEqual(self.machine.systemctl("is-active", "berthd.service", expect=None), "active")
        self.assertEqual(self.machine.run("pgrep", "-x", "berthd", expect=None).out, "")
        self.assertTrue(self.machine.exists("/var/lib/berth/berth.db"))
        self.assertTrue(self.machine.exists("/etc/berth/berthd.yaml"))
        self.assertAlive(running.process)
        running.let_go()
        eventually(lambda: not self.machine.runs_on(running.process), "the job has ended by itself")
        self.install()
        self.machine.agent_pid()
        self.assertEqual(self.machine.job(ended)["state"], "Completed")
        self.assertEqual(self.machine.log(ended), "kept\n")
        running.assert_ended_well()


class PurgeTest(ContainerTest):
    installed = False

    def test_purging_leaves_nothing(self):
        files, accounts, enabled = self.files(), self.accounts(), self.unit_files()
        self.machine.sh("DEBIAN_FRONTEND=noninteractive apt-get -q -y install /opt/packages/$1", packages.current().name,
                        timeout=120)
        self.machine.run("usermod", "-aG", "berth", "ann")
        self.machine.sh("mkdir code; echo 'mkdir outputs; date > outputs/date; sleep 600' > code/job.sh", user="ann")
        with_code = self.machine.berth("submit", "--", "sh", "job.sh", user="ann", cwd="/home/ann/code").out.strip()
        running = self.machine.process(with_code, "sleep 600")
        waiting = self.machine.submit("true", options=("--hold",))
        self.assertEqual(self.machine.job(waiting)["state"], "Queued")
        self.assertGreater(self.files(), files)
        self.machine.sh("DEBIAN_FRONTEND=noninteractive apt-get -q -y purge berth </dev/null", timeout=120)
        self.assertGone(running)
        self.assertEqual(self.machine.processes(with_code), [])
        self.assertEqual(self.machine.sh("pgrep -a berth || true"), "")
        self.assertEqual(self.files() - files, set())
        self.assertEqual(self.accounts(), accounts)
        self.assertEqual(self.unit_files(), enabled)
        self.assertEqual(self.machine.sh("systemctl list-units --all --plain --no-legend '*berth*'"), "")
        self.assertEqual(self.machine.sh("find /sys/fs/cgroup /run -name '*berth*' -not -path '*/opt/*'"), "")
        self.assertNotIn("berth", self.machine.read("/proc/mounts").replace("berth-test", ""))

    def files(self):
        """All that lies on the disk, but for what others keep for themselves."""
        found = self.machine.sh("find / /var -xdev").splitlines()
        return {path for path in found if not path.startswith(_OTHERS)}

    def accounts(self):
        return {path: sorted(self.machine.read(path).splitlines()) for path in _ACCOUNTS}

    def unit_files(self):
        return self.machine.sh("systemctl list-unit-files --plain --no-legend").splitlines()


if __name__ == "__main__":
    main(images.require_containers)
