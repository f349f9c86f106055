"""The package for arm64, made on this machine, and its programs at work, by an emulator."""

import json
import shutil

import builders
import images
import packages
from emulated import emulated
from harness import SystemTest, main
from releases_test import REPOSITORY
from tools import run

_HOUR = 3600
# As the package depends on them, and what the jobs run.
_WITH = ("libc6", "libgcc-s1", "libssl3", "libstdc++6", "libsystemd0", "coreutils", "dash", "python3-minimal")
_SESSION = f"""export HOME=/home/ann
cd
{REPOSITORY}
cd code
berthd --user >/home/ann/agent.log 2>&1 &
job=$(berth submit --no-code -- sh -c 'uname -m; exit 3')
berth wait $job >&2 || test $? = 3
berth logs $job
printf 'twelve bytes' | berth run --secret WORD=- -- sh -c 'mkdir -p outputs; python3 train.py; wc -c <"$BERTH_SECRETS/WORD"'
berth download @last --into /home/ann/made >&2
cat /home/ann/made/outputs/made
berth show @last --json"""


class Arm64Test(SystemTest):
    def setUp(self):
        self.tools = self.unless_missing(builders.with_tools_for_arm64)
        self.root = self.unless_missing(images.release, "arm64", "bookworm", _WITH, "--variant=extract", "--architectures=arm64")

    def package(self):
        """Made in a root file system, and held against all releases."""
        made = packages.BUILD / "arm64"
        made.mkdir(exist_ok=True)
        with builders.building(self.tools, "arm64") as builder:
            told = builder.run("apt-get -q update >&2; packaging/build-deb --arch arm64 2>&1", 4 * _HOUR)
            self.assertIn("portability: for Ubuntu 22.04, Ubuntu 24.04, Debian 12, Debian 13", told)
            return shutil.copy(builder.root / told.splitlines()[-1].lstrip("/"), made)

    def test_its_programs_run(self):
        deb = self.package()
        self.assertEqual(run("dpkg-deb", "-f", deb, "Architecture").strip(), "arm64")
        with images.layered([self.root]) as root:
            run("dpkg-deb", "-x", deb, root)
            for place in ("proc", "home/ann"):
                (root / place).mkdir(parents=True, exist_ok=True)
            (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n")
            told = self.unless_missing(emulated, self.tools, root, _SESSION, 600)
        machine, secret, made, record = told.split("\n", 3)
        self.assertEqual([machine, secret.strip(), made], ["aarch64", "12", "well"])
        self.assertEqual(json.loads(record)["state"], "Completed")
        self.assertEqual(json.loads(record)["properties"]["azureml.git.repository_uri"], "https://example.org/code.git")


if __name__ == "__main__":
    main(images.require_containers, package=False)
