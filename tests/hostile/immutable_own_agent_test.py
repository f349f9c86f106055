"""What a job of a user's own agent shares with the user's other jobs, it does not change: where mounts can be made, and
where they cannot."""

import os

from hostile import HostileTest, harness, main
from shared_things import SHOWN, Shared


class OwnAgent(Shared, HostileTest):
    """A user's own agent: it and the job are one user."""

    before = ()  # what goes before the agent's command line

    def setUp(self):
        super().setUp()
        self.who = self.attacker
        programs = self.programs_for(self.who.uid, self.who.gid)
        self.prepare_files(self.who)
        prefix = [*self.before, "setpriv", f"--reuid={self.who.uid}", f"--regid={self.who.gid}", "--clear-groups"]
        self.agent = self.start_agent(config=f"cpus: 8\nmax_parallel: 8\n{self.settings}", cgroup=False,
                                      programs=programs, prefix=prefix)

    def acting_run(self, *arguments, **options):
        return self.agent.berth(*arguments, **options)


class OfOwnAgentTest(OwnAgent):
    def setUp(self):
        super().setUp()
        if self.agent.get("/v1/status")["environment_changes"] == "shared":
            self.skipTest("users cannot make namespaces here")

    def test_a_job_changes_nothing_that_it_shares_with_others_of_its_user_and_pip_what_is_its_own(self):
        self.nothing_shared_can_be_changed()
        self.what_pip_changes_is_the_jobs_own()

    def test_a_jobs_own_contract_files_are_out_of_its_reach(self):
        job = self.agent.sh("for name in ending.json started.json stop.json launch.json claim; do "
                            "( echo '{}' > $BERTH_LAUNCH/$name ) 2>/dev/null && echo $name; done; echo end")
        self.assertEqual(self.agent.wait(job)["ending"], {"kind": "exited", "code": 0})
        self.assertEqual(self.agent.log_of(job), b"end\n")


# As where users may make no namespaces: what the program is run in has everybody, and no further one to give.
WITHOUT_NAMESPACES = """
import ctypes, os, sys
told, tell = os.pipe()
here = os.getpid()
mapping = os.fork()
if mapping == 0:
    os.read(told, 1)
    for file in ("uid_map", "gid_map"):
        with open(f"/proc/{here}/{file}", "w") as opened:
            opened.write("0 0 4294967295")
    os._exit(0)
if ctypes.CDLL(None, use_errno=True).unshare(0x10000000) != 0:
    sys.exit("no user namespace: " + os.strerror(ctypes.get_errno()))
os.write(tell, b"x")
os.waitpid(mapping, 0)
with open("/proc/sys/user/max_user_namespaces", "w") as opened:
    opened.write("0")
os.execvp(sys.argv[1], sys.argv[1:])
"""


class WithoutNamespacesTest(OwnAgent):
    """Permissions are all there is, and looking whether they were enough."""

    before = (harness.PYTHON, "-c", WITHOUT_NAMESPACES)

    def test_an_environment_that_a_job_changed_is_told_and_made_again(self):
        status = self.agent.get("/v1/status")
        self.assertEqual(status["environment_changes"], "shared")
        self.assertIn("permissions alone", " ".join(status["remarks"]))
        self.built()
        pip = f"python -m pip -q install --no-index --find-links {self.wheels} other"
        self.assertNotEqual(self.in_environment("sh", "-c", pip, expect=None).returncode, 0)
        self.assertEqual(self.changes_of_last(), {"files": 0, "added": [], "removed": [], "shared": False, "unknown": None})
        self.in_environment("sh", "-c", f"chmod -R u+w $VIRTUAL_ENV; {pip}")
        self.assertTrue(self.changes_of_last()["shared"])
        self.assertIn("made again", self.acting_run("show", "@last", cwd=self.code).out)
        self.assertEqual(self.in_environment("python", "-c", SHOWN).out, "1.0 False\n")
        self.assertNotEqual(self.in_environment("python", "-c", "import other", expect=None).returncode, 0)
        self.assertFalse(self.changes_of_last()["shared"])


if __name__ == "__main__":
    main()
