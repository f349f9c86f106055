"""The package on a running machine: what it installs, starts and tells."""

import images
import packages
from harness import ContainerTest, main


class InstallTest(ContainerTest):
    installed = False

    def test_the_service_runs_once_the_package_is_there(self):
        self.install()
        for unit in ("berthd.socket", "berthd.service"):
            self.assertEqual(self.machine.systemctl("is-active", unit), "active")
            self.assertEqual(self.machine.systemctl("is-enabled", unit), "enabled")
        self.assertEqual(self.machine.sh("stat -c '%U:%G %a %F' /run/berth/berth.sock").strip(), "root:berth 660 socket")
        self.assertEqual(self.machine.sh("stat -c '%U:%G %a %F' /var/lib/berth").strip(), "root:root 711 directory")
        self.assertTrue(self.machine.sh("getent group berth").startswith("berth:"))
        self.assertTrue(self.machine.sh("getent passwd berth").startswith("berth:"))
        self.machine.agent_pid()
        status = self.machine.status()
        self.assertEqual(status["mode"], "machine")
        self.assertEqual([remark for remark in status["remarks"] if "limits are off" not in remark], [])
        self.assertEqual(self.machine.systemctl("--failed", "--plain", "--no-legend"), "")
        for module in ("git", "tls"):  # with the libraries that the package depends on
            self.assertNotIn("not found", self.machine.sh(f"ldd /usr/lib/berth/libberth_{module}.so"))
        self.assertTrue(self.machine.exists("/usr/share/berth/openapi.yaml"))
        as_logged_in = "env PATH=/usr/local/bin:/usr/bin:/bin"
        self.assertIn("berthd ", self.machine.sh(f"{as_logged_in} berthd --version", user="ann"))
        self.assertIn("berthd ", self.machine.sh("/usr/sbin/berthd --version"))  # where drop-ins may have it
        job = self.machine.submit_sh("id -un; pwd")
        self.succeeded(job)
        self.assertEqual(self.machine.log(job).split(), ["ann", "/home/ann"])


if __name__ == "__main__":
    main(images.require_containers)
