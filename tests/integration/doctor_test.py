"""`berth doctor` against a real agent, with things that are wrong."""

import grp
import json
import os
import pwd
import shutil
import unittest
from pathlib import Path

from harness import BIN, CGROUP2, BerthTest, copy_programs, eventually, family, main, remove_group

LONG_AGO = 1_700_000_000  # for what must not look as if it were being made at this moment
CHECKS = ["agent", "socket", "versions", "cgroup", "disk", "clock", "overlay", "namespaces", "open files", "leftovers",
          "python", "git", "docker", "nvidia", "gpus", "boot"]


class DoctorTest(BerthTest):
    def examine(self, agent, expect=0, **options):
        """The checks by their names."""
        done = agent.berth("--json", "doctor", expect=expect, **options)
        answer = json.loads(done.out)
        self.assertEqual([check["name"] for check in answer["checks"]], CHECKS)
        for check in answer["checks"]:
            self.assertEqual(set(check), {"name", "level", "what", "advice", "details"})
            self.assertIn(check["level"], ("ok", "note", "warning", "problem"))
            self.assertTrue(check["what"])
        self.assertEqual(answer["problems"], sum(check["level"] == "problem" for check in answer["checks"]))
        return {check["name"]: check for check in answer["checks"]}

    def level(self, agent, name, **options):
        return self.examine(agent, **options)[name]["level"]

    def test_a_healthy_agent_has_no_problem(self):
        agent = self.start_agent()
        job = agent.sh("sleep 1000")
        agent.started_record(job)
        checks = self.examine(agent, expect=None)
        for name in ("agent", "versions", "leftovers", "python", "git"):
            self.assertEqual(checks[name]["level"], "ok", checks[name])
        self.assertEqual(checks["socket"]["level"], "ok", checks["socket"])
        self.assertIn(str(agent.state), checks["disk"]["what"])
        page = agent.berth("doctor", expect=None).out
        for name in CHECKS:
            self.assertRegex(page, rf"(?m)^(ok|note|warning|problem) +{name} ")
        self.assertIn(f"pid {agent.pid}", agent.berth("doctor", "--verbose", expect=None).out)

    def test_the_engine_is_looked_for_where_the_agent_does(self):
        agent = self.start_agent(config=f"docker_socket: {self.place}/engine.sock")
        docker = self.examine(agent, expect=None)["docker"]
        self.assertEqual(docker["level"], "note")
        self.assertIn(f"{self.place}/engine.sock", docker["what"])

    def test_an_agent_that_is_stopped_is_a_problem(self):
        agent = self.start_agent()
        agent.stop()
        checks = self.examine(agent, expect=1)
        self.assertEqual(checks["agent"]["level"], "problem")
        self.assertIn("no agent listens", checks["agent"]["what"])
        self.assertIn("berthd --user", checks["agent"]["advice"])
        self.assertIn("not checked", checks["disk"]["what"])
        agent.start()
        self.assertEqual(self.level(agent, "agent", expect=None), "ok")

    def test_directories_that_ended_jobs_left_are_told_and_go_with_a_restart(self):
        agent = self.start_agent()
        job = agent.sh("true")
        agent.wait(job)
        kept = {"log", "log.index"}
        eventually(lambda: {file.name for file in agent.launch_directory(job).iterdir()} <= kept, "the launch is cleared up")
        for place in (agent.launch_directory(job), agent.state / "jobs/not-a-job/1"):
            place.mkdir(parents=True, exist_ok=True)
            (place / "ending.part").write_text("left")
            os.utime(place, (LONG_AGO, LONG_AGO))
        leftovers = self.examine(agent, expect=None)["leftovers"]
        self.assertEqual(leftovers["level"], "warning")
        self.assertIn(str(agent.launch_directory(job)), leftovers["what"])
        self.assertIn("not-a-job", leftovers["what"])
        agent.restart()
        eventually(lambda: self.level(agent, "leftovers", expect=None) == "ok", "they are gone")

    @unittest.skipUnless(CGROUP2, "no cgroup2 hierarchy can be written")
    def test_control_groups_that_ended_jobs_left_are_told(self):
        agent = self.start_agent()
        group = f"{agent.cgroup}/gone-job-1"
        os.mkdir(group)
        self.addCleanup(remove_group, group)
        sleeper = family.popen(["/bin/sleep", "1000"])
        with open(f"{group}/cgroup.procs", "w") as processes:
            processes.write(str(sleeper.pid))
        # A group's own time cannot be set: it is told once it is older than what is being made at this moment.
        leftovers = eventually(lambda: (check := self.examine(agent, expect=None)["leftovers"])["level"] == "warning" and check,
                               "the group is told", pause=0.5)
        self.assertIn(f"{group} (1 process)", leftovers["what"])
        self.assertIn(f"echo 1 | sudo tee {group}/cgroup.kill", leftovers["advice"])
        sleeper.kill()
        sleeper.wait()
        self.assertNotIn("cgroup.kill", self.examine(agent, expect=None)["leftovers"]["advice"])
        eventually(lambda: remove_group(group), "the group is removed")
        self.assertEqual(self.level(agent, "leftovers", expect=None), "ok")

    def test_a_clock_that_was_set_back_is_a_problem(self):
        shift = self.place / "shift"
        shift.write_text(str(2 * 3600))
        library = Path(os.environ.get("BERTH_TEST_LIB", BIN.parent / "lib")) / "clock_shift.so"
        agent = self.start_agent(environment={"LD_PRELOAD": str(library), "BERTH_CLOCK_SHIFT": str(shift)})
        # The agent's records are of two hours from now; the command line has the machine's clock.
        clock = self.examine(agent, expect=1, environment={"LD_PRELOAD": ""})["clock"]
        self.assertEqual(clock["level"], "problem")
        self.assertRegex(clock["what"], "set back: the latest record is (2 hours|1 hour 59 minutes)")

    def test_supervisors_of_another_build_are_fine(self):
        programs = copy_programs(self.place)
        agent = self.start_agent(programs=programs)
        job = agent.sh("sleep 1000")
        agent.started_record(job)
        self.assertEqual(self.level(agent, "versions", expect=None), "ok")
        shutil.copy(BIN / "berth-shim", programs / "new")  # an upgrade puts another file in its place
        os.rename(programs / "new", programs / "berth-shim")
        versions = self.examine(agent, expect=None)["versions"]
        self.assertEqual(versions["level"], "note")
        self.assertIn(job, versions["what"])
        self.assertIn("which is fine", versions["what"])

    @unittest.skipUnless(os.geteuid() == 0, "a machine's agent needs root")
    def test_a_user_outside_the_group_learns_how_to_get_in(self):
        stranger = pwd.getpwnam("daemon")
        group = next(entry for entry in grp.getgrall() if entry.gr_name in ("nogroup", "nobody"))
        agent = self.start_agent(machine=True, config=f"group: {group.gr_name}")
        program = self.place / "berth"  # the build may lie where others cannot look
        shutil.copy(BIN / "berth", program)

        def as_stranger(*groups):
            done = family.run(["setpriv", f"--reuid={stranger.pw_uid}", f"--regid={stranger.pw_gid}", *groups, str(program),
                               "doctor"], 60, cwd="/", env=agent.cli_environment())
            return done.returncode, done.stdout.decode()

        code, page = as_stranger("--clear-groups")
        self.assertEqual(code, 1, page)
        self.assertIn(f"daemon may not use the socket {agent.socket_path}, which is open to group {group.gr_name}", page)
        self.assertIn(f"sudo usermod -aG {group.gr_name} daemon", page)
        code, page = as_stranger(f"--groups={group.gr_gid}")
        self.assertRegex(page, r"(?m)^ok +agent ")
        self.assertRegex(page, r"(?m)^ok +socket +root:" + group.gr_name + " 0660")
        os.chmod(agent.socket_path, 0o666)
        socket = self.examine(agent, expect=1)["socket"]
        self.assertEqual(socket["level"], "problem")
        self.assertIn("every user", socket["what"])


if __name__ == "__main__":
    main()
