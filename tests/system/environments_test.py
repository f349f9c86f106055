"""Environments of an installed agent: built under systemd by a user who may do nothing else, used by all who ask."""

import json
import sys
from pathlib import Path

import images
from harness import ContainerTest, eventually, main

sys.path.append(str(Path(__file__).resolve().parents[1] / "integration"))
from wheels import make_wheel  # noqa: E402

PAGE = 4747  # the port of the page of wheels
_ACCESS = "import socket; socket.socket(socket.AF_UNIX).connect('/run/berth/berth.sock')"


class EnvironmentsTest(ContainerTest):
    settings = {**ContainerTest.settings, "find_links": f"['http://127.0.0.1:{PAGE}/']", "offline": "true"}

    def prepare(self):
        super().prepare()
        wheels = self.machine.path("/srv/wheels")
        wheels.mkdir(parents=True)
        for version in ("1.0", "2.0"):
            make_wheel(wheels, "needed", version)
            make_wheel(wheels, "needs", version, ["needed"])

    def setUp(self):
        super().setUp()
        self.machine.run("systemd-run", "-q", "--unit=page", "python3", "/opt/test/page.py", "/srv/wheels", PAGE)

    def close_page(self):
        """From here on builds wait."""
        self.machine.sh("rm -f /srv/wheels/asked; touch /srv/wheels/closed")

    def open_page(self):
        self.machine.run("rm", "/srv/wheels/closed")

    def train(self, script, user="ann", package="needs"):
        """The id of a job that runs a Python script in an environment with the package."""
        self.machine.write(f"/home/{user}/requirements.txt", f"{package}\n")
        return self.machine.submit("python", "-c", script, user=user, options=("--requirements", "requirements.txt"))

    def begun_build(self):
        """The process that asks the page, which is closed."""
        eventually(lambda: self.machine.exists("/srv/wheels/asked"), "the build asks for a wheel")
        all_of_it = self.machine.processes_with("UV_PYTHON_DOWNLOADS=never")
        return next(process for process in all_of_it if " -m pip " in process.command)

    def environments(self):
        return json.loads(self.machine.berth("--json", "env", "ls").out)["environments"]

    def status_of(self, process):
        lines = self.machine.read(f"/proc/{process.pid}/status").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    # --- who builds

    def test_a_build_may_do_nothing_but_build(self):
        self.close_page()
        job = self.train("print('built')")
        process = self.begun_build()
        status = self.status_of(process)
        builder = status["Uid"].split()[0]
        self.assertTrue(1900000000 <= int(builder) < 1900004096, builder)
        self.assertEqual(status["Uid"].split(), [builder] * 4)
        self.assertEqual((status["Gid"].split(), status["Groups"].split()), ([builder] * 4, [builder]))
        self.assertEqual((status["NoNewPrivs"], int(status["CapEff"], 16), int(status["CapPrm"], 16), status["Umask"]),
                         ("1", 0, 0, "0022"))
        group = self.machine.read(f"/proc/{process.pid}/cgroup").strip().split(":")[-1]
        self.assertRegex(group, r"^/berth\.slice/berth-jobs\.scope/build-")
        as_builder = ["setpriv", f"--reuid={builder}", f"--regid={builder}", "--clear-groups", "--"]
        refused = self.machine.run(*as_builder, "python3", "-c", _ACCESS, expect=1, cwd="/")
        self.assertIn("PermissionError", refused.err)
        for look in (("cat", "/var/lib/berth/berth.db"), ("ls", "/var/lib/berth"), ("ls", f"/var/lib/berth/jobs/{job}"),
                     ("touch", "/var/lib/berth/environments/x"), ("cat", "/etc/shadow")):
            self.assertIn("Permission denied", self.machine.run(*as_builder, *look, expect=None, cwd="/").err, look)
        self.open_page()
        self.succeeded(job)
        self.assertEqual(self.machine.log(job), "built\n")
        self.assertEqual(self.machine.sh(f"pgrep -U {builder} || true"), "", "nothing of the build is left")
        self.assertFalse(self.machine.exists(f"/sys/fs/cgroup{group}"))

    # --- who uses it

    def test_what_was_built_is_for_all_to_use_and_nobodys_to_change(self):
        script = "import sys, needs, needed; print(sys.prefix, needs.version, needed.version)"
        first = self.train(script)
        self.succeeded(first)
        prefix, *versions = self.machine.log(first).split()
        self.assertEqual(versions, ["2.0", "2.0"])
        self.assertEqual(self.machine.sh("find $1 ! -user root -o ! -group root", prefix), "")
        self.assertEqual(self.machine.sh("find $1 -perm /022 ! -type l", prefix), "")
        self.close_page()  # who builds nothing asks nobody
        second = self.train(script, user="bob")
        record = self.succeeded(second)
        self.assertEqual(self.machine.log(second), self.machine.log(first))
        self.assertEqual(record["environment_digest"], self.machine.job(first)["environment_digest"])
        spy = self.machine.submit_sh(
            'for file in $(find $1 | head -n 200); do [ ! -w "$file" ] || [ -L "$file" ] || echo writable: $file; done; '
            'touch $1/x; rm -rf $1/lib; mv $1 $1-away; echo tried'.replace("$1", prefix))
        self.machine.wait(spy)
        lines = self.machine.log(spy).splitlines()
        self.assertIn("tried", lines)
        self.assertEqual([line for line in lines if line.startswith("writable")], [])
        self.succeeded(self.train(script, user="eve"))
        self.assertFalse(self.machine.exists("/srv/wheels/asked"))
        self.assertEqual(len(self.environments()), 1)
        self.assertIn("Successfully installed", self.machine.berth("logs", "--build", first, user="ann").out)

    def test_a_build_that_fails_tells_its_user_why(self):
        job = self.train("pass", package="needs==7")
        record = self.machine.wait(job)
        self.assertEqual(record["ending"]["kind"], "environment_failed")
        self.assertIn("No matching distribution found for needs==7", self.machine.berth("show", job, user="ann").out)
        self.assertIn("needs==7", self.machine.berth("logs", "--build", job, user="ann").out)
        self.assertNotEqual(self.machine.berth("logs", "--build", job, user="bob", expect=None).code, 0)
        self.assertEqual(self.environments(), [])

    # --- what happens to the agent meanwhile

    def test_a_restart_of_the_agent_loses_no_build(self):
        self.close_page()
        job = self.train("import needs; print(needs.version)")
        process = self.begun_build()
        self.machine.systemctl("restart", "berthd.service")
        pid = self.machine.agent_pid()
        self.machine.run("kill", "-9", pid)
        self.machine.new_agent(pid)
        self.assertAlive(process)
        self.assertEqual(self.machine.job(job)["state"], "Preparing")
        self.open_page()
        self.succeeded(job)
        self.assertEqual(self.machine.log(job), "2.0\n")
        journal = self.machine.sh("journalctl -u berthd.service -o cat")
        self.assertIn("build adopted", journal)
        self.assertEqual(journal.count("build started"), 1)
        self.assertGone(process)

    def test_a_build_that_ends_while_the_agent_is_stopped_is_used(self):
        self.close_page()
        job = self.train("import needs; print(needs.version)")
        process = self.begun_build()
        self.machine.systemctl("stop", "berthd.socket", "berthd.service")
        self.assertAlive(process)
        self.open_page()
        eventually(lambda: not self.machine.processes_with("UV_PYTHON_DOWNLOADS=never"), "the build has ended")
        self.close_page()
        self.machine.systemctl("start", "berthd.socket", "berthd.service")
        self.succeeded(job)
        self.assertFalse(self.machine.exists("/srv/wheels/asked"), "nothing was built again")

    # --- when the package goes

    def test_purging_leaves_nothing_of_them(self):
        before = self.files()
        built = self.train("import sys; print(sys.prefix)", package="needs==1.0")
        self.succeeded(built)
        self.close_page()
        waiting = self.train("pass")
        process = self.begun_build()
        self.assertEqual(self.machine.job(waiting)["state"], "Preparing")
        self.machine.sh("DEBIAN_FRONTEND=noninteractive apt-get -q -y purge berth </dev/null", timeout=120)
        self.assertGone(process)
        self.assertEqual({path for path in self.files() - before if not path.startswith(_OTHERS)}, set())
        self.assertFalse(self.machine.exists("/var/lib/berth"))
        self.assertEqual(self.machine.sh("getent passwd berth || true"), "")
        self.assertEqual(self.machine.sh("find /sys/fs/cgroup /run -name '*berth*' -not -path '*/opt/*'"), "")

    def files(self):
        return set(self.machine.sh("find / /var -xdev").splitlines())


# Of apt, dpkg, ucf, systemd, the accounts' own backups, and the test.
_OTHERS = ("/var/log/", "/var/cache/", "/var/lib/dpkg/", "/var/lib/ucf/", "/var/lib/apt/", "/var/lib/systemd/", "/var/tmp/",
           "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/home/", "/root/", "/srv/")


if __name__ == "__main__":
    main(images.require_containers)
