"""What each user gets of each thing that the API tells of: a table, held against every route of openapi.yaml."""

import json
import os
from pathlib import Path

from builds import BuildsCase, make_sdist
from hostile import eventually, harness, main
from packs import whole

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = ROOT / "agent/api/openapi.yaml"
METHODS = ("get", "post", "delete", "put", "patch")

# Who asks. The stranger cannot even open the socket. "job" is a job of the attacker's, from inside.
ASKERS = ("owner", "other", "job", "root")

OK, OUTLINE, DENIED, MISSING, OWN = "ok", "outline", "denied", "missing", "own"
MINE = {"owner": OK, "other": DENIED, "job": DENIED, "root": OK}
FOR_ALL = {"owner": OK, "other": OK, "job": OK, "root": OK}
FOR_ROOT = {"owner": DENIED, "other": DENIED, "job": DENIED, "root": OK}
HIS = {"owner": OK, "other": MISSING, "job": MISSING, "root": OK}
SEEN = {"owner": OK, "other": OUTLINE, "job": OUTLINE, "root": OK}

# (method, path): for each asker. A route that is not here fails the test, as does one that is no more.
#   ok       it is done, or all of it is shown
#   outline  what everybody may see of the queue, and nothing else
#   denied   403, and the answer tells nothing but whose it is
#   own      it concerns the asker's own things only: nothing of another's is in the answer
#   missing  404, as of what was never there
# {digest} of an environment is the victim's own: a package that he sent is in it. {shared} is one that victim and attacker
# were given, {unseen} one that could be shared, and was made for the victim only.
TABLE = {
    ("GET", "/v1/status"): FOR_ALL,
    ("GET", "/v1/usage"): FOR_ALL,
    ("GET", "/v1/doctor"): FOR_ALL,
    ("GET", "/metrics"): FOR_ALL,
    ("GET", "/v1/gpus"): FOR_ALL,
    ("POST", "/v1/gpus/{gpu}/drain"): FOR_ROOT,
    ("POST", "/v1/gpus/{gpu}/resume"): FOR_ROOT,
    ("POST", "/v1/gpus/{gpu}/withhold"): FOR_ROOT,
    ("POST", "/v1/gpus/{gpu}/forgive"): FOR_ROOT,
    ("POST", "/v1/drain"): FOR_ROOT,
    ("POST", "/v1/resume"): FOR_ROOT,
    ("POST", "/v1/gc"): FOR_ROOT,
    ("GET", "/v1/jobs"): SEEN,
    ("POST", "/v1/jobs"): {"owner": OWN, "other": OWN, "job": OWN, "root": OWN},
    ("GET", "/v1/events"): SEEN,
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
    ("GET", "/v1/environments"): {"owner": OWN, "other": OWN, "job": OWN, "root": OWN},
    ("POST", "/v1/environments"): {"owner": OWN, "other": OWN, "job": OWN, "root": OWN},
    ("GET", "/v1/environments/{digest}"): HIS,
    ("GET", "/v1/environments/{digest}/log"): HIS,
    ("GET", "/v1/environments/{unseen}"): HIS,
    ("GET", "/v1/environments/{unseen}/log"): HIS,
    ("GET", "/v1/environments/{shared}"): FOR_ALL,
    ("GET", "/v1/environments/{shared}/log"): FOR_ALL,
    ("DELETE", "/v1/environments/{digest}"): FOR_ROOT,
    ("DELETE", "/v1/environments/{unseen}"): FOR_ROOT,
    ("DELETE", "/v1/environments/{shared}"): FOR_ROOT,
}

SECRET = "hidden"  # in everything of the owner's job that only its owner may know
# What is shown of another's job.
OUTLINE_KEYS = {
    "attempt", "canceled_by", "duration_ms", "ending", "ending_words", "exit_code", "finished", "held", "id", "log_removed",
    "name", "outline", "outputs_removed", "priority", "resources", "sequence", "started", "state", "submitted", "timeout_ms",
    "uid", "user"}

EVENT_KEYS = {
    "attempt", "by", "ending", "job", "priority", "sequence", "state", "time", "uid", "user", "what", "why", "words"}

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
    c.request(method, path, body)  # text as its bytes in Latin-1
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


LIBRARY = Path(os.environ.get("BERTH_TEST_LIB", harness.BIN.parent / "lib")) / "nvml.so"
MACHINE = {"driver": "550.54.14", "cuda": 12040, "gpus": [{"uuid": "GPU-0", "name": "NVIDIA H100 80GB HBM3", "memory": 80 << 30}]}


class AccessTest(BuildsCase):
    config = "cpus: 8\nmax_parallel: 8"

    def start(self, config=""):
        machine = self.place / "machine.json"
        machine.write_text(json.dumps(MACHINE))
        return super().start(f"nvml: {LIBRARY}\n{config}", environment={"BERTH_TEST_NVML": str(machine)})

    def test_the_table_has_every_route_of_the_document(self):
        names = {"{shared}": "{digest}", "{unseen}": "{digest}"}
        tabled = set()
        for method, path in TABLE:
            for name, other in names.items():
                path = path.replace(name, other)
            tabled.add((method, path.partition("?")[0]))
        document = routes_of_document()
        self.assertGreater(len(document), 30)
        self.assertEqual(tabled, document)
        for route, expected in TABLE.items():
            self.assertEqual(set(expected), set(ASKERS), route)

    def repository_of(self, who, **files):
        """Files of that user's in a git repository of one commit, to which something was added since."""
        place = self.files_of(who, **files)
        git = ("git", "-c", "user.name=x", "-c", "user.email=x@x")
        for command in (("init", "-q"), ("add", "."), ("commit", "-qm", "first")):
            self.run_as(who, *git, *command, cwd=place)
        (place / "main.sh").write_text(files["main_sh"] + f"# {SECRET}-change\n")
        return place

    def make_environments(self):
        """One that both were given, one that only the victim was, and what the victim's own one is made from."""
        make_sdist(self.packages, "otherpkg", "1.0")
        make_sdist(self.packages, "thirdpkg", "1.0")
        self.shared = self.build(self.victim, "goodpkg==1.0")
        self.assertEqual(self.build(self.attacker, "goodpkg==1.0"), self.shared)
        self.unseen = self.build(self.victim, "otherpkg==1.0")
        make_sdist(self.own, "ownpkg", "1.0")
        (self.place / "requirements.txt").write_text(f"--find-links {self.own}\nownpkg==1.0\n")

    def make_things(self, *more):
        """An ended job of the victim that has all that a job can have, and a running one."""
        code = self.repository_of(self.victim, main_sh=f"echo {SECRET}-output; mkdir -p outputs; echo {SECRET} > outputs/file; exit 3\n")
        options = ["--name", "public name", "--experiment", f"{SECRET}-experiment", "--tag", f"{SECRET}=1",
                   "--env", f"{SECRET}={SECRET}", *more]
        done = self.berth(self.victim, "run", *options, "--", "sh", "main.sh", cwd=code, expect=3)
        self.assertEqual(done.out, f"{SECRET}-output\n")
        self.ended = self.ask(self.victim, "GET", "/v1/jobs/@last")
        self.running = self.job_of(self.victim, "/bin/sleep", f"300.{SECRET}".replace(SECRET, "7"), name="public name")
        self.agent.wait_state(self.running, "Running")
        self.waiting = self.job_waiting()

    def job_waiting(self, held=True):
        resources = {"cpu_milli": 1000} if held else {"cpu_milli": 8000}  # the running one has a CPU
        return self.job_of(self.victim, "/bin/echo", SECRET, held=held, name="public name", resources=resources,
                           environment_variables={SECRET: SECRET})

    def job_for(self, action):
        """A job that may be acted on so, and is not another test's thing."""
        if action == "retry":
            job = self.script_of(self.victim, "exit 1", name="public name")
            self.agent.wait(job)
            return job
        return self.job_waiting(held=action != "hold")

    def fill(self, asker, method, path):
        """The path with a thing of the victim's, and a body that is right."""
        action = path.rpartition("/")[2]
        if method == "POST" and "{id}" in path:
            # What one of those who may does to a job leaves the other one's as it was.
            job = self.job_for(action) if asker in ("owner", "root") else self.waiting
        else:
            job = self.ended["id"]
        digest = self.ended["environment_digest" if "environments" in path else "snapshot"]
        filled = path.replace("{id}", job).replace("{gpu}", "0").replace("{digest}", digest)
        filled = filled.replace("{shared}", self.shared).replace("{unseen}", self.unseen)
        bodies = {"/v1/jobs": json.dumps(self.agent.request_for("/bin/true", name="public name")),
                  "/v1/snapshots": whole({"main.sh": f"of {asker}".encode()}).decode("latin-1"),
                  "/v1/diffs": f"diff of {asker}", "/v1/environments": json.dumps(self.requirements("thirdpkg==1.0")),
                  "/v1/jobs/{id}/priority": '{"priority": 1}', "/v1/gc": '{"dry_run": true}'}
        return filled, bodies.get(path.partition("?")[0], "{}") if method == "POST" else None

    def check(self, asker, method, path, expected, status, text):
        where = f"{method} {path} by {asker}: {status} {text[:600]}"
        mine = asker in ("owner", "root")
        if expected == OK:
            self.assertIn(status, (200, 201, 204), where)
        elif expected == OUTLINE:
            self.assertEqual(status, 200, where)
            self.check_outline(json.loads(text), where)
        elif expected == DENIED:
            self.assertEqual(status, 403, where)
        elif expected == MISSING:
            self.assertEqual(status, 404, where)
            asked, nobodys = path.split("/")[3], "f" * 64
            nowhere = self.request(self.third, method, path.replace(asked, nobodys))
            said = nowhere.body.decode().replace(nobodys, asked).replace(nobodys[:12], asked[:12])
            self.assertEqual((nowhere.status, said), (status, text), where)
        elif expected == OWN:
            self.assertIn(status, (200, 201), where)
            self.assertNotIn('"error"', text, where)
        if not mine:
            self.assertNotIn(SECRET, text, where)
            for digest in (self.ended["snapshot"], self.ended["environment_digest"], self.unseen):
                if digest not in path:  # what was asked for may be repeated
                    self.assertNotIn(digest, text, where)

    def check_events(self, events, where):
        """Of the victim's jobs no more than a list of jobs tells."""
        his = [event for event in events if event["user"] == self.victim.name]
        self.assertTrue(his, where)
        for event in his:
            self.assertEqual(set(event), EVENT_KEYS, where)
            if event["what"] not in ("submitted", "cancel_requested"):
                self.assertIsNone(event["by"], where)
            if event["what"] != "ended":
                self.assertIsNone(event["ending"], where)

    def check_outline(self, shown, where):
        if "events" in shown:
            return self.check_events(shown["events"], where)
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
        self.make_environments()
        self.make_things("--requirements", self.place / "requirements.txt")
        inside = self.ask_inside([(method, *self.fill("job", method, path)) for method, path in TABLE])
        self.assertEqual(len(inside), len(TABLE))
        people = {"other": self.attacker, "owner": self.victim, "root": None}
        # Those who may nothing first: what they ask for must change nothing for those who may.
        for asker in ("job", "other", "owner", "root"):
            for number, ((method, route), expected) in enumerate(TABLE.items()):
                path, body = self.fill(asker, method, route)
                if asker == "job":
                    status, text = inside[number]
                elif asker == "root":
                    answer = self.agent.request(method, path, body.encode("latin-1") if body else None)
                    status, text = answer.status, answer.body.decode(errors="replace")
                else:
                    answer = self.request(people[asker], method, path, body.encode("latin-1") if body else None)
                    status, text = answer.status, answer.body.decode(errors="replace")
                with self.subTest(asker=asker, method=method, path=path):
                    self.check(asker, method, path, expected[asker], status, text)
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
