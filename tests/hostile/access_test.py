"""What each user gets of each thing that the API tells of: a table, held against every route of openapi.yaml."""

import json
from pathlib import Path

from hostile import HostileTest, eventually, main

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = ROOT / "agent/api/openapi.yaml"
METHODS = ("get", "post", "delete", "put", "patch")

# Who asks. The stranger cannot even open the socket. "job" is a job of the attacker's, from inside.
ASKERS = ("owner", "other", "job", "root")

OK, OUTLINE, DENIED, MISSING, OWN = "ok", "outline", "denied", "missing", "own"
MINE = {"owner": OK, "other": DENIED, "job": DENIED, "root": OK}
FOR_ALL = {"owner": OK, "other": OK, "job": OK, "root": OK}
FOR_ROOT = {"owner": DENIED, "other": DENIED, "job": DENIED, "root": OK}
SEEN = {"owner": OK, "other": OUTLINE, "job": OUTLINE, "root": OK}

# (method, path): for each asker. A route that is not here fails the test, as does one that is no more.
#   ok       it is done, or all of it is shown; what is done to a thing fails with a conflict at most
#   outline  what everybody may see of the queue, and nothing else
#   denied   403, and the answer tells nothing but whose it is
#   own      it concerns the asker's own things only: nothing of another's is in the answer
#   missing  404, as of what was never there
TABLE = {
    ("GET", "/v1/status"): FOR_ALL,
    ("GET", "/v1/usage"): FOR_ALL,
    ("GET", "/v1/doctor"): FOR_ALL,
    ("GET", "/metrics"): FOR_ALL,
    ("GET", "/v1/gpus"): FOR_ALL,
    ("POST", "/v1/gpus/{gpu}/withhold"): FOR_ROOT,
    ("POST", "/v1/gpus/{gpu}/forgive"): FOR_ROOT,
    ("POST", "/v1/drain"): FOR_ROOT,
    ("POST", "/v1/resume"): FOR_ROOT,
    ("POST", "/v1/gc"): FOR_ROOT,
    ("GET", "/v1/jobs"): SEEN,
    ("POST", "/v1/jobs"): {"owner": OWN, "other": OWN, "job": OWN, "root": OWN},
    ("GET", "/v1/jobs/{id}"): SEEN,
    ("GET", "/v1/jobs/{id}/wait"): SEEN,
    ("POST", "/v1/jobs/{id}/cancel"): MINE,
    ("POST", "/v1/jobs/{id}/hold"): MINE,
    ("POST", "/v1/jobs/{id}/release"): MINE,
    ("POST", "/v1/jobs/{id}/priority"): MINE,
    ("POST", "/v1/jobs/{id}/retry"): MINE,
    ("GET", "/v1/jobs/{id}/log"): MINE,
    ("GET", "/v1/jobs/{id}/log?stream=build"): MINE,
    ("GET", "/v1/jobs/{id}/log?stream=agent"): MINE,
    ("GET", "/v1/jobs/{id}/log?follow=1"): MINE,
    ("GET", "/v1/jobs/{id}/log/index"): MINE,
    ("GET", "/v1/jobs/{id}/outputs"): MINE,
    ("GET", "/v1/jobs/{id}/code"): MINE,
    ("GET", "/v1/jobs/{id}/diff"): MINE,
    ("POST", "/v1/snapshots"): {"owner": OWN, "other": OWN, "job": OWN, "root": OWN},
    ("GET", "/v1/snapshots/{digest}"): {"owner": OK, "other": MISSING, "job": MISSING, "root": MISSING},
    ("POST", "/v1/diffs"): {"owner": OWN, "other": OWN, "job": OWN, "root": OWN},
    ("GET", "/v1/environments"): FOR_ALL,
    ("POST", "/v1/environments"): {"owner": OWN, "other": OWN, "job": OWN, "root": OWN},
    ("GET", "/v1/environments/{digest}"): FOR_ALL,
    ("GET", "/v1/environments/{digest}/log"): FOR_ALL,
    ("DELETE", "/v1/environments/{digest}"): FOR_ROOT,
}

SECRET = "hidden"  # in everything of the owner's job that only its owner may know
# What is shown of another's job.
OUTLINE_KEYS = {
    "attempt", "canceled_by", "duration_ms", "ending", "ending_words", "exit_code", "finished", "held", "id", "log_removed",
    "name", "outline", "outputs_removed", "priority", "resources", "sequence", "started", "state", "submitted", "timeout_ms",
    "uid", "user"}

# Asks as the user that it runs as; used by the job from inside.
ASK = """
import http.client, json, socket, sys
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(sys.argv[1])
for line in open(sys.argv[2]):
    method, path, body = json.loads(line)
    c = Connection("berth")
    c.request(method, path, body)
    r = c.getresponse()
    print(json.dumps([r.status, r.read().decode(errors="replace")]), flush=True)
    c.close()
"""


def routes_of_document():
    """(method, path) of each operation; read as the text that it is, so that no YAML library is needed."""
    routes, path = set(), None
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("  /"):
            path = line.strip().rstrip(":")
        elif path and line.startswith("    ") and not line.startswith("     ") and line.strip().split(":")[0] in METHODS:
            routes.add((line.strip().split(":")[0].upper(), path))
    return routes


class AccessTest(HostileTest):
    config = "cpus: 8\nmax_parallel: 8"

    def test_the_table_has_every_route_of_the_document(self):
        tabled = {(method, path.partition("?")[0]) for method, path in TABLE}
        document = routes_of_document()
        self.assertGreater(len(document), 30)
        self.assertEqual(tabled, document)
        for route, expected in TABLE.items():
            self.assertEqual(set(expected), set(ASKERS), route)

    def make_things(self):
        """An ended job of the victim that has all that a job can have, and a running one."""
        code = self.files_of(self.victim, main_sh=f"echo {SECRET}-output; mkdir -p outputs; echo {SECRET} > outputs/file; exit 3\n")
        options = ["--name", "public name", "--experiment", f"{SECRET}-experiment", "--tag", f"{SECRET}=1",
                   "--env", f"{SECRET}={SECRET}"]
        done = self.berth(self.victim, "run", *options, "--", "sh", "main.sh", cwd=code, expect=3)
        self.assertEqual(done.out, f"{SECRET}-output\n")
        self.ended = self.ask(self.victim, "GET", "/v1/jobs/@last")
        self.running = self.job_of(self.victim, "/bin/sleep", f"300.{SECRET}".replace(SECRET, "7"), name="public name")
        self.agent.wait_state(self.running, "Running")
        self.waiting = self.job_of(self.victim, "/bin/echo", SECRET, held=True, name="public name",
                                   environment_variables={SECRET: SECRET})

    def fill(self, method, path):
        """The path with a thing of the victim's, and a body."""
        job = self.waiting if method == "POST" else self.ended["id"]
        # Nobody's action may succeed before the last one's: each of them is asked for in the order of ASKERS.
        filled = path.replace("{id}", job).replace("{gpu}", "0")
        filled = filled.replace("{digest}", self.ended["snapshot"])
        bodies = {"/v1/jobs": "{}", "/v1/snapshots": "x", "/v1/diffs": f"{method}-diff", "/v1/environments": "{}",
                  "/v1/jobs/{id}/priority": '{"priority": 1}', "/v1/gc": '{"dry_run": true}'}
        return filled, bodies.get(path.partition("?")[0], "{}") if method == "POST" else None

    def check(self, asker, method, path, expected, status, text):
        where = f"{method} {path} by {asker}: {status} {text[:600]}"
        mine = asker in ("owner", "root")
        if expected == OK:
            # 404 and 409: there is none of it, or its state does not allow it; who may not is told so before.
            self.assertIn(status, (200, 201, 204, 404, 409), where)
        elif expected == OUTLINE:
            self.assertEqual(status, 200, where)
            self.check_outline(json.loads(text), where)
        elif expected == DENIED:
            self.assertEqual(status, 403, where)
        elif expected == MISSING:
            self.assertEqual(status, 404, where)
        elif expected == OWN:
            self.assertIn(status, (200, 201, 400, 422), where)
        if not mine:
            self.assertNotIn(SECRET, text, where)
            if expected != OK or "environments" not in path:
                self.assertNotIn(self.ended["snapshot"], text.replace(path, ""), where)

    def check_outline(self, shown, where):
        jobs = shown["jobs"] if "jobs" in shown else [shown]
        self.assertTrue(jobs, where)
        for job in jobs:
            if job["user"] == self.victim.name:
                self.assertEqual(set(job) - {"waiting"}, OUTLINE_KEYS, where)
                self.assertEqual(job["name"], "public name")

    def ask_inside(self, questions):
        """The answers to the questions that a job of the attacker's asks."""
        script = Path(self.attacker.home) / "ask.py"
        asked = Path(self.attacker.home) / "questions"
        script.write_text(ASK)
        asked.write_text("".join(json.dumps(question) + "\n" for question in questions))
        for path in (script, asked):
            path.chmod(0o644)
        job = self.job_of(self.attacker, "/usr/bin/python3", str(script), self.agent.socket_path, str(asked))
        self.assertEqual(self.agent.wait(job)["exit_code"], 0, self.agent.log_of(job)[-2000:])
        return [json.loads(line) for line in self.agent.log_of(job).decode().splitlines()]

    def test_everybody_gets_of_everything_what_the_table_says(self):
        self.start()
        self.make_things()
        questions = [(method, *self.fill(method, path)) for method, path in TABLE]
        expected = list(TABLE.values())
        inside = self.ask_inside(questions)
        self.assertEqual(len(inside), len(questions))
        people = {"other": self.attacker, "owner": self.victim, "root": None}
        # Those who may nothing first: what they ask for must change nothing for those who may.
        for asker in ("job", "other", "owner", "root"):
            for number, (method, path, body) in enumerate(questions):
                if asker == "job":
                    status, text = inside[number]
                elif asker == "root":
                    answer = self.agent.request(method, path, body.encode() if body else None)
                    status, text = answer.status, answer.body.decode(errors="replace")
                else:
                    answer = self.request(people[asker], method, path, body.encode() if body else None)
                    status, text = answer.status, answer.body.decode(errors="replace")
                with self.subTest(asker=asker, method=method, path=path):
                    self.check(asker, method, path, expected[number][asker], status, text)
        whole = self.ask(self.victim, "GET", f"/v1/jobs/{self.ended['id']}")
        self.assertEqual(whole["environment_variables"], {SECRET: SECRET})
        self.assertEqual(whole["command"], ["sh", "main.sh"])
        self.agent.post("/v1/resume")
        eventually(lambda: self.agent.job(self.running)["state"] in ("Running", "Canceled"), "nobody has stopped it")
        self.assertEqual(self.agent.job(self.running)["state"], "Running")

    def test_the_stranger_cannot_even_ask(self):
        self.start()
        with self.assertRaises(PermissionError):
            self.request(self.stranger, "GET", "/v1/status")
        done = self.berth(self.stranger, "ps", expect=None)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("group", done.err)

    def test_the_command_line_shows_what_it_may(self):
        self.start()
        self.make_things()
        name = self.ended["id"]
        for arguments in (("ps", "-a"), ("show", name), ("--json", "show", name), ("--json", "ps", "-a"), ("wait", name)):
            with self.subTest(arguments):
                done = self.berth(self.attacker, *arguments, expect=None)
                self.assertEqual(done.returncode, 3 if arguments[0] == "wait" else 0, done.err)
                self.assertNotIn(SECRET, done.out + done.err)
                if arguments[0] != "wait":
                    self.assertIn("public name", done.out)
        for arguments in (("logs", name), ("download", name), ("download", name, "--code"), ("cancel", self.running),
                          ("retry", name), ("hold", self.waiting), ("priority", self.waiting, "3")):
            with self.subTest(arguments):
                done = self.berth(self.attacker, *arguments, expect=None)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("belongs to", done.err)
        mine = self.berth(self.victim, "show", name)
        self.assertIn(f"{SECRET}-experiment", mine.out)

    def test_what_others_may_read_where_that_is_configured(self):
        self.start("others_may_read: true")
        self.make_things()
        name = self.ended["id"]
        shown = self.ask(self.attacker, "GET", f"/v1/jobs/{name}")
        self.assertEqual(shown["command"], ["sh", "main.sh"])
        self.assertEqual(shown["environment_variables"], {})
        self.assertEqual(self.ask(self.attacker, "GET", f"/v1/jobs/{name}/log"), f"{SECRET}-output\n".encode())
        for path in ("outputs", "code", "log/index"):
            self.assertEqual(self.request(self.attacker, "GET", f"/v1/jobs/{name}/{path}").status, 200)
        for action in ("cancel", "hold", "release", "retry"):
            self.refused(403, self.attacker, "POST", f"/v1/jobs/{name}/{action}", {})

    def test_another_s_job_is_reached_by_no_other_name(self):
        self.start()
        self.make_things()
        name = self.ended["id"]
        for spelling in (name, name[:-1], name.split("-")[0], name.replace("-", "%2d"), f"%{ord(name[0]):02x}{name[1:]}"):
            with self.subTest(spelling):
                answer = self.request(self.attacker, "GET", f"/v1/jobs/{spelling}/log")
                self.assertIn(answer.status, (403, 409), answer)
                self.assertNotIn(SECRET.encode(), answer.body)
        self.refused(404, self.attacker, "GET", "/v1/jobs/@last/log")


if __name__ == "__main__":
    main()
