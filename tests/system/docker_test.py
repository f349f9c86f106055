"""Jobs in containers of Docker, on a machine with control groups of its own."""

import engine_jobs
import images
from harness import main


class DockerTest(engine_jobs.EngineTests):
    units = ("docker.service",)
    program = "docker"

    def test_the_doctor_knows_the_engine(self):
        well = self.docker_check()
        self.assertIn("live-restore", well["advice"])  # which Debian's does without
        self.assertRegex(well["what"], r"^Docker \d+\.")
        for user in ("ann", "bob"):
            self.assertIn("a machine's agent is root and may", self.docker_check(user)["what"])


class PurgeTest(engine_jobs.EngineTest):
    units = ("docker.service",)
    program = "docker"

    def test_purging_ends_its_containers_and_takes_their_trees_away(self):
        self.engine("run", "-d", "--name", "bystander", "--network", "none", engine_jobs.IMAGE, "sleep", "100000")
        job = self.in_image("sleep 100000")
        process = self.process_of(job)
        self.machine.sh("DEBIAN_FRONTEND=noninteractive dpkg --purge berth </dev/null", timeout=300)
        self.assertGone(process)
        self.assert_nothing_is_left()
        self.assertFalse(self.machine.exists("/var/lib/berth"))
        self.assertEqual(self.engine("ps", "-a", "--format", "{{.Names}}").split(), ["bystander"])


if __name__ == "__main__":
    main(images.require_virtual_machines)
