"""One package, installed and used on each release that it is for."""

import json

import images
from harness import ContainerTest, main
from releases import ReleaseTest, for_each_release

# A repository with nothing in it yet, made without git.
REPOSITORY = r"""mkdir -p code/.git/objects code/.git/refs/heads
printf 'ref: refs/heads/main\n' >code/.git/HEAD
printf '[core]\n\trepositoryformatversion = 0\n[remote "origin"]\n\turl = https://example.org/code.git\n' >code/.git/config
echo 'print("well", file=open("outputs/made", "w"))' >code/train.py"""


class PackageTest(ReleaseTest):
    installed = False

    def layers(self):
        return [self.base()]

    def berth(self, *arguments, **options):
        return self.machine.run("berth", *arguments, user="ann", cwd="/home/ann/code", **options).out

    def test_it_installs_and_runs_jobs(self):
        self.install("--no-install-recommends")
        for unit in ("berthd.socket", "berthd.service"):
            self.assertEqual(self.machine.systemctl("is-active", unit), "active")
        self.assertEqual(self.machine.systemctl("--failed", "--plain", "--no-legend"), "")
        self.machine.sh(REPOSITORY, user="ann")

        self.berth("run", "--", "true")
        self.berth("run", "--", "false", expect=1)
        # The modules: git (with libgit2), sealing (with OpenSSL).
        script = 'mkdir -p outputs; python3 train.py; wc -c <"$BERTH_SECRETS/WORD"'
        told = self.berth("run", "--secret", "WORD=-", "--", "sh", "-c", script, input="twelve bytes")
        self.assertEqual(told.strip(), "12")
        record = json.loads(self.berth("show", "@last", "--json"))
        self.assertEqual(record["state"], "Completed")
        self.assertEqual(record["properties"]["azureml.git.repository_uri"], "https://example.org/code.git")
        self.berth("download", "@last", "--into", "/home/ann/made")
        self.assertEqual(self.machine.read("/home/ann/made/outputs/made"), "well\n")
        for module in ("git", "sealing", "tls"):
            self.assertNotIn("not found", self.machine.sh(f"ldd /usr/lib/berth/libberth_{module}.so"))

        findings = json.loads(self.berth("doctor", "--json", expect=None))
        self.assertEqual([finding for finding in findings["checks"] if finding["level"] == "problem"], [])

        self.machine.sh("DEBIAN_FRONTEND=noninteractive apt-get purge -q -y berth", timeout=120)
        self.assertFalse(self.machine.exists("/var/lib/berth"))


for_each_release(PackageTest, ContainerTest)

if __name__ == "__main__":
    main(images.require_containers)
