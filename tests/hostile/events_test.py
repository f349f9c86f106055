"""Events: others' tell what the list of jobs tells, and whoever floods them pushes out nobody's but his own."""

import sqlite3
import subprocess
import time

from hostile import HostileTest, harness, main
from client import UnixConnection  # where hostile has it from

MOST = 200_000  # events that are kept
SLACK = 2_000   # and may come between two looks at how many there are

# Readers that wait for events, one after the other for as long as the test lasts.
READERS = """
import socket, sys, threading
def read():
    while True:
        s = socket.socket(socket.AF_UNIX)
        s.connect(sys.argv[1])
        s.sendall(b"GET /v1/events?after=%s&timeout_ms=60000 HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n" % sys.argv[2].encode())
        while s.recv(65536):
            pass
for _ in range(int(sys.argv[3])):
    threading.Thread(target=read, daemon=True).start()
print("reading", flush=True)
sys.stdin.readline()
"""


def cancel_all(socket_path, jobs):
    connection = UnixConnection(socket_path, harness.PATIENCE)
    for job in jobs:
        connection.request("POST", f"/v1/jobs/{job}/cancel", b"{}")
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()
    connection.close()


class EventsTest(HostileTest):
    def events(self, who, **query):
        """All that are kept after a number, as `who` sees them; what the answers told to be missing."""
        events, missing, after = [], [], query.pop("after", 0)
        while True:
            parameters = "&".join(f"{name}={value}" for name, value in {"after": after, "limit": 1000, "timeout_ms": 0, **query}.items())
            answer = self.ask(who, "GET", f"/v1/events?{parameters}")
            missing += answer["missing"]
            events += answer["events"]
            after = answer["next"]
            if len(answer["events"]) < 1000:
                return events, missing

    def test_of_others_jobs_one_sees_what_the_list_tells(self):
        self.start()
        job = self.script_of(self.victim, "exit 3", held=True, retries={"failed": 1}, name="n")
        self.ask(self.victim, "POST", f"/v1/jobs/{job}/priority", {"priority": 2})
        self.agent.post(f"/v1/jobs/{job}/release")  # root's doing
        self.agent.wait(job)
        self.agent.post(f"/v1/jobs/{job}/retry")
        self.agent.wait(job)
        mine, _ = self.events(self.victim)
        others, _ = self.events(self.attacker)
        self.assertEqual([event["sequence"] for event in mine], [event["sequence"] for event in others])
        whole = {event["what"]: event for event in mine if event["job"] == job}
        outline = {event["what"]: event for event in others if event["job"] == job}
        self.assertEqual(whole["released"]["by"], "root")
        self.assertEqual(whole["retried"]["by"], "root")
        self.assertEqual(whole["requeued"]["ending"], {"kind": "exited", "code": 3})
        for what in ("priority_changed", "released", "requeued", "retried", "started"):
            self.assertIsNone(outline[what]["by"], what)
        self.assertIsNone(outline["requeued"]["ending"])
        self.assertNotIn("code 3", outline["requeued"]["words"])
        self.assertEqual(outline["submitted"]["by"], self.victim.name)
        self.assertEqual(outline["ended"]["ending"], whole["ended"]["ending"])  # as in the list
        self.assertEqual(self.events(self.attacker, mine=1)[0], [])
        self.assertEqual(self.events(self.victim, mine=1)[0], [event for event in mine if event["uid"] == self.victim.uid])
        self.assertIn("Failed: exited with code 3", self.berth(self.attacker, "events").out)
        with self.assertRaises(PermissionError):
            self.request(self.stranger, "GET", "/v1/events")

    def fill(self, who, count):
        """As many more events of that user's as if they had happened, while the agent is down."""
        self.agent.stop()
        with sqlite3.connect(self.agent.state / "berth.db") as db:
            db.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                " INSERT INTO event (time, job, uid, user, what, state, by, attempt, why)"
                " SELECT ?, 'dull-otter-0000', ?, ?, 'held', 'Queued', ?, 0, '' FROM n",
                (count, int(time.time() * 1e6), who.uid, who.name, who.name))
        db.close()
        self.agent.start()

    def flood(self, jobs):
        """The attacker submits so many jobs at once, and cancels them."""
        requests = [self.agent.request_for("/bin/true", held=True) for _ in range(jobs)]
        made = self.ask(self.attacker, "POST", "/v1/jobs", {"jobs": requests}, timeout=harness.PATIENCE * 4)["jobs"]
        self.acting(self.attacker, cancel_all, self.agent.socket_path, [job["id"] for job in made])

    def test_a_flood_pushes_out_the_flooder_s_own_events_and_is_bounded(self):
        self.start()
        jobs = [self.script_of(self.victim, "true") for _ in range(5)]
        for job in jobs:
            self.agent.wait(job)
        his, _ = self.events(self.victim, mine=1)
        self.assertEqual(len(his), 15)
        self.fill(self.attacker, MOST)
        self.flood(2500)
        held = self.newest_count()
        self.assertLessEqual(held, MOST + SLACK)
        begun = time.monotonic()
        still, missing = self.events(self.victim, mine=1)
        self.assertEqual((still, missing), (his, []))
        self.assertLess(time.monotonic() - begun, 2)
        answer = self.ask(self.victim, "GET", "/v1/events?after=0&limit=20&timeout_ms=0")
        self.assertEqual([gone["user"] for gone in answer["missing"]], [self.attacker.name])
        self.assertGreater(answer["missing"][0]["up_to"], 2500)
        self.assertEqual([event for event in answer["events"] if event["uid"] == self.victim.uid],
                         his)
        done = self.berth(self.victim, "events", "--mine", "--after", "0")
        self.assertEqual(len(done.out.splitlines()), 15)
        self.assertNotIn("kept any more", done.err)

    def newest_count(self):
        with sqlite3.connect(f"file:{self.agent.state / 'berth.db'}?mode=ro", uri=True) as db:
            (count,) = db.execute("SELECT count(*) FROM event").fetchone()
        db.close()
        return count

    def test_many_waiting_readers_keep_nobody_from_being_told(self):
        self.start()
        newest = self.agent.get("/v1/events", limit=1)["next"]
        process = harness.family.popen(
            self.command_of(self.attacker, harness.PYTHON, "-c", READERS, self.agent.socket_path, newest, 120),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/tmp")
        try:
            self.assertEqual(process.stdout.readline(), b"reading\n")
            time.sleep(0.5)  # so that they wait, and do not just come
            delays = []
            for _ in range(5):
                after = self.agent.get("/v1/events", limit=1)["next"]
                job = self.job_of(self.victim, "/bin/true", held=True)
                begun = time.monotonic()
                answer = self.ask(self.victim, "GET", f"/v1/events?after={after}")
                delays.append(time.monotonic() - begun)
                self.assertEqual(answer["events"][0]["job"], job)
            self.assertLess(sorted(delays)[2], 1, delays)
        finally:
            process.kill()
            process.wait(harness.PATIENCE)
            process.stdin.close()
            process.stdout.close()


if __name__ == "__main__":
    main()
