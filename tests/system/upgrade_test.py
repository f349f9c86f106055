"""From one version of the package to another, with jobs running."""

import images
import packages
from clients import Clients
from harness import ContainerTest, main
from life import LastingJob


class UpgradeTest(ContainerTest):
    installed = False

    def setUp(self):
        super().setUp()
        self.older, self.newer = packages.older(), packages.current()
        self.assertNotEqual(packages.version(self.older), packages.version(self.newer))

    def install(self, package, *options):
        self.machine.sh("export DEBIAN_FRONTEND=noninteractive; name=$1; shift; apt-get install -q -y $* /opt/packages/$name "
                        "</dev/null", package.name, *options, timeout=120)
        self.assertEqual(self.machine.sh("dpkg-query -W -f '${Version}' berth"), packages.version(package))

    def install_first(self, package):
        self.install(package)
        self.machine.run("usermod", "-aG", "berth", "ann")
        self.machine.configure(cpus=8, max_parallel=8)

    def assert_version(self, package):
        """Of the agent that serves."""
        self.assertEqual(self.machine.status()["version"], packages.version(package).partition("-")[0])
        self.machine.agent_pid()

    def replace(self, first, second, *options):
        """Installs the second over the first with a job running and one waiting."""
        self.install_first(first)
        self.assert_version(first)
        running = LastingJob(self)
        held = self.machine.submit("true", options=("--hold",))
        before = self.machine.agent_pid()
        self.install(second, *options)
        self.assertNotEqual(self.machine.agent_pid(), before)
        self.assert_version(second)
        running.assert_runs_on()
        running.let_go()
        running.assert_ended_well()
        self.machine.berth("release", held)
        self.succeeded(held)
        self.assertEqual(self.machine.status()["capacity"]["slots"], 8, "what was configured is kept")

    def test_an_upgrade_leaves_jobs_alone(self):
        self.replace(self.older, self.newer)

    def test_a_downgrade_leaves_jobs_alone(self):
        self.replace(self.newer, self.older, "--allow-downgrades")

    def test_no_request_is_lost_during_an_upgrade(self):
        self.install_first(self.older)
        with Clients(self, "ann") as clients:
            self.install(self.newer)
            clients.await_more()
        self.assert_version(self.newer)
        clients.assert_served(at_least=10)

    def test_a_changed_configuration_stops_no_upgrade_without_a_terminal(self):
        self.install_first(self.older)
        newer = self.with_another_configuration(self.newer)
        mine = self.machine.read("/etc/berth/berthd.yaml")
        self.machine.sh("unset DEBIAN_FRONTEND; apt-get install -q -y $1 </dev/null", newer, timeout=120)
        self.assertEqual(self.machine.sh("dpkg-query -W -f '${db:Status-Status} ${Version}' berth"),
                         f"installed {packages.version(self.newer)}")
        self.assertEqual(self.machine.read("/etc/berth/berthd.yaml"), mine)
        self.assert_version(self.newer)

    def test_an_unchanged_configuration_is_brought_up_to_date(self):
        self.install(self.older)
        self.machine.sh("apt-get install -q -y $1 </dev/null", self.with_another_configuration(self.newer), timeout=120)
        self.assertIn("# A remark of the next version.\n", self.machine.read("/etc/berth/berthd.yaml"))

    def with_another_configuration(self, package):
        """The path inside of the same package, but for a line of the configuration that it brings."""
        self.machine.sh("dpkg-deb -R /opt/packages/$1 /root/package && cd /root/package && "
                        "echo '# A remark of the next version.' >>usr/share/berth/berthd.yaml && "
                        "dpkg-deb -Zgzip -b . /root/another.deb", package.name, timeout=120)
        return "/root/another.deb"

    def test_a_service_that_was_disabled_stays_so(self):
        self.install_first(self.older)
        self.machine.systemctl("disable", "--now", "berthd.service", "berthd.socket")
        self.install(self.newer)
        for unit in ("berthd.service", "berthd.socket"):
            self.assertEqual(self.machine.systemctl("is-enabled", unit, expect=None), "disabled")


if __name__ == "__main__":
    main(images.require_containers)
