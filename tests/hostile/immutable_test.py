"""What jobs share, no job changes: environments as they were built, checkouts, objects, the agent's own state, other jobs'
directories; tried as a user of a root agent, as root, and from a container
(immutable_own_agent_test.py: as the user whose agent it is).

What a job changes in its environment is its own: it works, it is on record, and the next job sees nothing of it."""

from hostile import HostileTest, harness, main
from shared_things import CHANGE, SHOWN, Shared, fingerprint

from engine_case import EngineTest


class OfRootAgentTest(Shared, HostileTest):
    def setUp(self):
        super().setUp()
        self.who = self.attacker
        self.prepare_files(self.who)
        self.start(self.settings)

    def acting_run(self, *arguments, **options):
        return self.berth(self.who, *arguments, **options)

    def test_a_user_changes_nothing_that_is_shared_and_pip_what_is_his_jobs_own(self):
        self.nothing_shared_can_be_changed()
        self.what_pip_changes_is_the_jobs_own()
        code = self.files_of(self.victim, requirements_txt="needed==1.0\n")
        seen = self.berth(self.victim, "run", "--no-code", "--requirements", "requirements.txt", "--", "python", "-c", SHOWN, cwd=code)
        self.assertEqual(seen.out, "1.0 False\n")

    def test_while_a_job_has_it_changed_another_runs_in_it_as_it_was_built(self):
        self.built()
        script = f"{CHANGE.format(wheels=self.wheels)} echo ready; sleep 1000"
        job = self.berth(self.who, "submit", "--requirements", "requirements.txt", "--", "sh", "-c", script, cwd=self.code).out.strip()
        harness.eventually(lambda: b"ready" in self.agent.log_of(job), "it has changed its own")
        layer = self.agent.launch_directory(job) / "environment"
        for who in (self.victim, self.attacker):  # closed to all but the agent
            self.assertNotEqual(self.run_as(who, "ls", layer / "upper", expect=None).returncode, 0)
        self.assertEqual(self.in_environment("python", "-c", SHOWN).out, "1.0 False\n")
        self.agent.kill()  # the next agent finds what the job changed
        self.agent.start()
        self.agent.cancel(job)
        ended = self.agent.wait(job)
        self.assertEqual(ended["attempts"][-1]["environment_changes"]["added"], ["other-1.0"])


class OfRootTest(Shared, HostileTest):
    """Root's own jobs: for a real root nothing is a border, but a plain write fails."""

    def setUp(self):
        super().setUp()
        self.prepare_files()
        self.start(self.settings)

    def acting_run(self, *arguments, **options):
        return self.agent.berth(*arguments, **options)

    def test_roots_jobs_change_nothing_that_is_shared_and_pip_what_is_their_own(self):
        self.nothing_shared_can_be_changed(root=True)
        self.what_pip_changes_is_the_jobs_own()


class InContainerTest(EngineTest):
    """What an engine binds into a container is the launch's own."""

    config = "cpus: 8\nmax_parallel: 8"

    def test_a_containers_root_changes_nothing_that_is_shared(self):
        agent = self.image_agent()
        code = self.directory("code", data_txt="data\n")
        self.completed(agent, self.submit(agent, "true", code=code))
        shared = [agent.state / name for name in ("environments", "checkouts", "objects", "images")]
        before = fingerprint(*shared)
        script = f"""
            for place in {agent.state} {agent.state}/*; do touch $place/planted; mkdir -p $place/made; done 2>/dev/null
            find {agent.state} / -xdev -name 'data.txt' 2>/dev/null | while read f; do echo x >> $f; chmod 777 $f; done
            mount -o remount,rw / 2>/dev/null; echo changed > data.txt; cat data.txt; rm -rf /bin/vi /usr/bin/vi
            echo mine > /etc/planted; echo mine > /bin/planted"""
        job = self.completed(agent, self.submit(agent, script, code=code))
        self.assertEqual(agent.log_of(job["id"]), b"changed\n")
        again = self.submit(agent, "cat data.txt; ls /etc/planted /bin/planted 2>/dev/null; test -e planted || echo clean", code=code)
        self.completed(agent, again)
        self.assertEqual(agent.log_of(again), b"data\nclean\n")
        now = fingerprint(*shared)
        self.assertEqual([path for path in sorted({*before, *now}) if before.get(path) != now.get(path)], [])


if __name__ == "__main__":
    main()
