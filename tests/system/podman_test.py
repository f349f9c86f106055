"""Jobs in containers of Podman, which offers Docker's interface on a socket of its own."""

import engine_jobs
import images
from harness import main


class PodmanTest(engine_jobs.EngineTests):
    units = ("podman.socket",)
    program = "podman"
    settings = {"docker_socket": "/run/podman/podman.sock"}

    def test_the_doctor_knows_the_engine(self):
        well = self.docker_check()
        self.assertEqual(well["level"], "ok", well)
        self.assertRegex(well["what"], r"^Podman \d+\.")


if __name__ == "__main__":
    main(images.require_virtual_machines)
