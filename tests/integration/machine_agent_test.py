"""The agent of a whole machine: started as root, it runs each user's jobs as that user and keeps them apart.

Needs root to become other users; skipped, loudly, without."""

import grp
import os
import pwd
import unittest
from collections import namedtuple

import harness
from client import Client, Refused, as_user
from harness import BerthTest, eventually, family

Identity = namedtuple("Identity", "name uid gid")
GROUP = "nogroup" if any(entry.gr_name == "nogroup" for entry in grp.getgrall()) else "nobody"


def identity(name):
    """The user, in the group that may open the socket."""
    return Identity(name, pwd.getpwnam(name).pw_uid, grp.getgrnam(GROUP).gr_gid)


@unittest.skipUnless(os.geteuid() == 0, "a machine's agent needs root")
class MachineAgentTest(BerthTest):
    config = f"group: {GROUP}\ncpus: 8\nmax_parallel: 8"

    def setUp(self):
        super().setUp()
        self.one, self.other = identity("nobody"), identity("daemon")
        (self.place / "work").chmod(0o1777)

    def start(self, **options):
        return self.start_agent(machine=True, **options)

    def submit(self, agent, who, script, **fields):
        request = agent.request_for("/bin/sh", "-c", script, **fields)
        return self.ask(agent, who, "POST", "/v1/jobs", request)["jobs"][0]["id"]

    def ask(self, agent, who, method, path, body=None):
        return as_user(family, who, ask, agent.socket_path, method, path, body)

    def denied(self, agent, who, method, path, body=None):
        return self.refuses(403, "denied", self.ask, agent, who, method, path, body)

    def test_a_job_runs_as_its_submitter(self):
        agent = self.start()
        job = self.submit(agent, self.one, "id -u; id -g; id -G; echo $USER $HOME; grep NoNewPrivs /proc/self/status; "
                                           "umask; touch made")
        shown = agent.wait(job)
        self.assertEqual((shown["uid"], shown["user"], shown["state"]), (self.one.uid, "nobody", "Completed"))
        account = pwd.getpwnam("nobody")
        uid, gid, groups, names, privileges, mask = agent.log_of(job).decode().splitlines()
        self.assertEqual((int(uid), int(gid)), (account.pw_uid, account.pw_gid))
        self.assertEqual({int(group) for group in groups.split()}, set(os.getgrouplist("nobody", account.pw_gid)))
        self.assertEqual(names, f"nobody {account.pw_dir}")
        self.assertEqual(privileges.split(), ["NoNewPrivs:", "1"])
        self.assertEqual(mask, "0022")
        self.assertEqual((self.place / "work/made").stat().st_uid, self.one.uid)

    def test_code_and_outputs_belong_to_the_submitter(self):
        agent = self.start()
        code = self.directory("code", a_txt="a\n")
        first = agent.berth("submit", "--", "true", cwd=code).out.strip()
        pack = agent.get(f"/v1/jobs/{first}/code")
        digest = agent.wait(first)["snapshot"]
        # A snapshot that somebody else sent is not there for this user.
        request = agent.request_for("true", snapshot=digest)
        self.refuses(404, "not_found", self.ask, agent, self.one, "POST", "/v1/jobs", request)
        self.assertEqual(self.ask(agent, self.one, "POST", "/v1/snapshots", pack)["digest"], digest)
        job = self.submit(agent, self.one, "cat a.txt; echo b >> a.txt; mkdir outputs; echo o > outputs/o; stat -c %u . a.txt",
                          snapshot=digest)
        self.assertEqual(agent.wait(job)["state"], "Completed", agent.job(job)["ending_words"])
        self.assertEqual(agent.log_of(job).decode().split(), ["a", str(self.one.uid), str(self.one.uid)])
        self.assertTrue(agent.job(job)["attempts"][0]["outputs"])
        self.assertTrue(self.ask(agent, self.one, "GET", f"/v1/jobs/{job}/outputs"))

    def test_everybody_may_look_but_only_the_owner_may_touch(self):
        agent = self.start()
        job = self.submit(agent, self.one, "echo secret; sleep 300")
        eventually(lambda: agent.log_of(job) == b"secret\n", "it runs")
        listed = self.ask(agent, self.other, "GET", "/v1/jobs")["jobs"]
        self.assertIn(job, [each["id"] for each in listed])
        self.assertEqual(self.ask(agent, self.other, "GET", f"/v1/jobs/{job}")["user"], "nobody")
        self.assertEqual(self.ask(agent, self.other, "GET", "/v1/jobs?mine=1")["jobs"], [])
        for path in ("log", "log/index", "outputs", "code", "diff"):
            error = self.denied(agent, self.other, "GET", f"/v1/jobs/{job}/{path}")
            self.assertIn("nobody", error["message"])
        for action, body in (("cancel", {}), ("hold", {}), ("release", {}), ("priority", {"priority": 5}), ("retry", {})):
            self.denied(agent, self.other, "POST", f"/v1/jobs/{job}/{action}", body)
        self.assertEqual(agent.job(job)["state"], "Running")
        self.assertEqual(self.ask(agent, self.one, "GET", f"/v1/jobs/{job}/log"), b"secret\n")
        self.ask(agent, self.one, "POST", f"/v1/jobs/{job}/cancel", {})
        self.assertEqual(agent.wait(job)["ending"], {"kind": "canceled", "by": "nobody"})
        roots = self.submit(agent, self.other, "sleep 300")
        agent.cancel(roots)  # root may
        self.assertEqual(agent.wait(roots)["ending"]["by"], "root")

    def test_files_of_one_user_are_closed_to_the_other(self):
        agent = self.start()
        code = self.directory("code", private_txt="private\n")
        pack = self.pack_of(agent, code)
        digest = self.ask(agent, self.one, "POST", "/v1/snapshots", pack)["digest"]
        job = self.submit(agent, self.one, "pwd; while :; do sleep 1; done", snapshot=digest)
        tree = eventually(lambda: agent.log_of(job).decode().strip(), "it runs")
        attempts = f"cat {tree}/private.txt; ls {tree} {agent.state} {agent.state}/jobs; cat {agent.state}/jobs/{job}/1/log; " \
                   f"cat {agent.state}/berth.db; echo done"
        spy = self.submit(agent, self.other, attempts)
        self.assertEqual(agent.wait(spy)["state"], "Completed")
        lines = agent.log_of(spy).decode().splitlines()
        self.assertEqual([line for line in lines if "denied" not in line and "No such file" not in line], ["done"])

    def pack_of(self, agent, code):
        job = agent.berth("submit", "--", "true", cwd=code).out.strip()
        agent.wait(job)
        return agent.get(f"/v1/jobs/{job}/code")

    def test_the_node_is_roots(self):
        agent = self.start()
        for path in ("drain", "resume", "gc", "gpus/0/drain", "gpus/0/resume"):
            self.denied(agent, self.one, "POST", f"/v1/{path}", {})
        self.assertFalse(agent.get("/v1/status")["drained"])
        self.assertEqual(self.ask(agent, self.one, "GET", "/v1/status")["mode"], "machine")

    def test_last_is_the_callers_own(self):
        agent = self.start()
        ones = self.submit(agent, self.one, "true")
        others = self.submit(agent, self.other, "true")
        self.assertEqual(self.ask(agent, self.one, "GET", "/v1/jobs/@last")["id"], ones)
        self.assertEqual(self.ask(agent, self.other, "GET", "/v1/jobs/@last")["id"], others)

    def test_submission_ids_of_two_users_do_not_meet(self):
        agent = self.start()
        request = agent.request_for("true")
        self.ask(agent, self.one, "POST", "/v1/jobs", request)
        self.refuses(409, "conflict", self.ask, agent, self.other, "POST", "/v1/jobs", request)

    def test_who_is_not_in_the_group_stays_outside(self):
        agent = self.start()
        self.assertEqual(os.stat(agent.socket_path).st_mode & 0o777, 0o660)
        self.assertEqual(os.stat(agent.socket_path).st_gid, self.one.gid)
        stranger = Identity("daemon", self.other.uid, pwd.getpwnam("daemon").pw_gid)
        with self.assertRaises(PermissionError):
            self.ask(agent, stranger, "GET", "/v1/status")

    def test_logs_may_be_opened_to_everybody(self):
        agent = self.start(config=self.config + "\nothers_may_read: true")
        job = self.submit(agent, self.one, "echo open")
        agent.wait(job)
        self.assertEqual(self.ask(agent, self.other, "GET", f"/v1/jobs/{job}/log"), b"open\n")
        self.denied(agent, self.other, "POST", f"/v1/jobs/{job}/retry", {})

    def test_a_users_job_cannot_harm_its_supervisor(self):
        agent = self.start()
        killer = identity("uucp")  # whom no test has that runs at the same time: he kills all that is his
        job = self.submit(agent, killer, "kill -9 $PPID; kill -9 -1; echo survived; exit 3")
        bystander = self.submit(agent, self.other, "sleep 300")
        self.assertNotEqual(agent.wait(job)["ending"]["kind"], "lost")
        self.assertEqual(agent.job(bystander)["state"], "Running")

    def test_another_users_agent_serves_only_him(self):
        agent = self.start_agent("own")  # --user, as root
        os.chmod(agent.socket_path, 0o666)
        os.chmod(agent.state, 0o711)
        for who in (self.one, self.other):
            for method, path, body in (("GET", "/v1/status", None), ("GET", "/v1/jobs", None),
                                       ("POST", "/v1/jobs", agent.request_for("true"))):
                self.denied(agent, who, method, path, body)


def ask(socket_path, method, path, body):
    """In a child that has become somebody else."""
    answer = Client(socket_path).request(method, path, body)
    if answer.status >= 400:
        raise Refused(answer)
    return answer.json if answer.headers.get("Content-Type", "").startswith("application/json") else answer.body


if __name__ == "__main__":
    harness.main()
