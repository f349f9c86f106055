"""The users that all attacks are made by are what they should be: else an attack that fails proves nothing."""

import unittest

from hostile import HostileTest, main


class PeopleTest(HostileTest):
    def test_each_runs_jobs_as_itself_and_the_stranger_stays_outside(self):
        self.start()
        for who in (self.victim, self.attacker, self.third):
            job = self.script_of(who, "id -u; id -nG; ls -d $HOME/..; touch $HOME/mine")
            self.agent.wait(job)
            uid, groups, *_ = self.ask(who, "GET", f"/v1/jobs/{job}/log").decode().splitlines()
            self.assertEqual(int(uid), who.uid)
            self.assertIn(self.people.group, groups.split())
        self.assertEqual(self.run_as(self.attacker, "ls", self.victim.home, expect=None).returncode, 2)
        with self.assertRaises(PermissionError):
            self.request(self.stranger, "GET", "/v1/status")


if __name__ == "__main__":
    main()
