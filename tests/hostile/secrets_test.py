"""Secrets of jobs: whoever looks finds none of them, wherever he looks, and their jobs have them."""

import base64
import json
import os
import sqlite3
import time
from pathlib import Path

from hostile import HostileTest, eventually, harness, main

SECRETS = {
    "variable": "hf_variable-4711",
    "url": "url-password-4712",
    "file": "file-secret-4713",
    "both": "both-secret-4714",
    "index": "index-password-4715",
    "remote": "remote-token-4716",
    "argument": "argument-password-4717",
    "coded": "p@ss/word-4718",
}
CODED = "p%40ss%2Fword-4718"


def occurrences(text):
    """Which secrets are in it, as they are or as they are written in URLs and Base64."""
    found = []
    for name, value in SECRETS.items():
        for written in (value.encode(), CODED.encode() if name == "coded" else value.encode(),
                        base64.b64encode(value.encode()).rstrip(b"=")[:-1]):
            if written in text:
                found.append((name, written))
    return found


class SecretsTest(HostileTest):
    def all_kinds(self):
        """Fields of a request with secrets of every kind."""
        return {
            "environment_variables": {"PLAIN": "plain-value", "HF_TOKEN": SECRETS["variable"],
                                      "WHERE": f"postgres://me:{SECRETS['url']}@db/x", "OTHER_URL": f"https://me:{CODED}@host/"},
            "secrets": {"FILE": {"value": SECRETS["file"]},
                        "BOTH": {"value": SECRETS["both"] + "\n", "variable": True}},
            "properties": {"mlflow.source.git.repoURL": f"https://{SECRETS['remote']}@host/repo.git"},
            "tags": {"where": f"https://me:{SECRETS['index']}@index/simple"},
            "command": ["/bin/sh", "-c", self.script, f"https://me:{SECRETS['argument']}@host/x"],
        }

    script = ('echo "got $HF_TOKEN $WHERE $BOTH"; cat $BERTH_SECRETS/FILE; echo; cat $BERTH_SECRETS/BOTH; echo "$PLAIN $FILE."; '
              'printf %s "$HF_TOKEN" | base64; echo "$OTHER_URL $0"; stat -c "%a %U" $BERTH_SECRETS/FILE; '
              'stat -f -c %T $BERTH_SECRETS; sleep 0.2')

    def assert_nowhere(self, job, but=()):
        """In no file of the agent's but the job's own log, in no answer to anybody, in no process that others can see."""
        for path, content in harness.contents_below(self.agent.state):
            if path.name == "log" and job in str(path):
                continue
            self.assertEqual([one for one in occurrences(content) if one[0] not in but], [], path)
        self.assertEqual(occurrences(self.agent.log().encode()), [])
        for who in (self.victim, self.attacker):
            for path in (f"/v1/jobs/{job}", "/v1/jobs?all=1", f"/v1/jobs/{job}/wait?timeout_ms=1", "/v1/status", "/metrics",
                         "/v1/usage", f"/v1/jobs/{job}/log", f"/v1/jobs/{job}/log?stream=agent",
                         f"/v1/jobs/{job}/log?stream=build", "/v1/jobs?order=queue", "/v1/environments"):
                answer = self.request(who, "GET", path)
                self.assertEqual(occurrences(answer.body), [], (who.name, path))

    def found_by_attacker(self):
        """What the attacker can read of all processes and below the state directory."""
        look = ("import glob, os, sys\n"
                "out = sys.stdout.buffer\n"
                "for f in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):\n"
                "    try: out.write(open(f, 'rb').read())\n"
                "    except OSError: pass\n"
                "for place, names, files in os.walk(sys.argv[1]):\n"
                "    for f in files:\n"
                "        try: out.write(open(os.path.join(place, f), 'rb').read())\n"
                "        except OSError: pass\n")
        return self.run_as(self.attacker, "/usr/bin/python3", "-c", look, self.agent.state).stdout

    def test_secrets_of_every_kind_reach_their_job_and_nobody_else(self):
        self.start()
        job = self.ask(self.victim, "POST", "/v1/jobs", self.agent.request_for("true") | self.all_kinds())["jobs"][0]["id"]
        self.agent.wait(job)
        log = Path(self.agent.state, "jobs", job, "1", "log").read_text()
        self.assertEqual(log.splitlines()[:3],
                         [f"got {SECRETS['variable']} postgres://me:{SECRETS['url']}@db/x {SECRETS['both']}", SECRETS["file"],
                          SECRETS["both"]])
        self.assertIn("plain-value .", log)  # FILE is no variable
        self.assertIn(f"400 {self.victim.name}\ntmpfs\n", log)
        self.assert_nowhere(job)
        # The owner knows them by name.
        record = self.ask(self.victim, "GET", f"/v1/jobs/{job}")
        self.assertEqual(record["environment_variables"], {"PLAIN": "plain-value"})
        self.assertEqual(record["secrets"], {"HF_TOKEN": {"file": False, "variable": True},
                                             "WHERE": {"file": False, "variable": True},
                                             "OTHER_URL": {"file": False, "variable": True},
                                             "FILE": {"file": True, "variable": False},
                                             "BOTH": {"file": True, "variable": True}})
        self.assertEqual(record["command"][3], "https://host/x")
        shown = self.berth(self.victim, "show", job).out
        self.assertIn("BOTH (file and variable), FILE (file), HF_TOKEN", shown)
        self.assertIn("command/3", shown)
        self.assertEqual(occurrences(shown.encode() + self.berth(self.victim, "--json", "show", job).stdout), [])
        # The log is as long as it is, and as it is for its owner who wants it so.
        masked = self.ask(self.victim, "GET", f"/v1/jobs/{job}/log").decode()
        self.assertEqual(len(masked), len(log))
        self.assertEqual(masked.splitlines()[1], "*" * len(SECRETS["file"]))
        for offset in range(0, 60, 7):
            part = self.ask(self.victim, "GET", f"/v1/jobs/{job}/log?offset={offset}").decode()
            self.assertEqual(part, masked[offset:])
        self.assertEqual(self.berth(self.victim, "logs", "--no-mask", job).out, log)
        self.assertEqual(self.berth(self.victim, "logs", job).out, masked)
        self.refused(403, self.attacker, "GET", f"/v1/jobs/{job}/log?masked=0")

    def test_a_running_job_shows_its_secrets_to_nobody(self):
        self.start()
        fields = self.all_kinds()
        fields["command"] = ["/bin/sh", "-c", "echo started; sleep 300", "x"]
        job = self.ask(self.victim, "POST", "/v1/jobs", self.agent.request_for("true") | fields)["jobs"][0]["id"]
        eventually(lambda: b"started" in self.agent.log_of(job), "it runs")
        self.assertEqual(occurrences(self.found_by_attacker()), [])
        self.assert_nowhere(job)
        self.agent.cancel(job)
        self.agent.wait(job)
        self.assert_nowhere(job)

    def test_a_retry_and_another_agent_still_have_them(self):
        self.start()
        script = 'echo "$HF_TOKEN $(cat $BERTH_SECRETS/FILE)" >> seen; cat seen; exit 3'
        job = self.script_of(self.victim, script, retries={"failed": 1}, environment_variables={"HF_TOKEN": SECRETS["variable"]},
                             secrets={"FILE": {"value": SECRETS["file"]}})
        record = self.agent.wait(job)
        self.assertEqual(len(record["attempts"]), 2)
        self.agent.kill()
        self.agent.start()
        self.assertEqual(occurrences(json.dumps(self.ask(self.victim, "GET", f"/v1/jobs/{job}")).encode()), [])
        self.ask(self.victim, "POST", f"/v1/jobs/{job}/retry")
        self.agent.wait(job)
        for launch in ("1", "2", "3"):
            seen = Path(self.agent.state, "jobs", job, launch, "log").read_text().splitlines()[-1]
            self.assertEqual(seen, f"{SECRETS['variable']} {SECRETS['file']}")
        self.assert_nowhere(job)

    def test_the_same_submission_is_the_same_job_only_with_the_same_secrets(self):
        self.start()
        request = self.agent.request_for("true", secrets={"A": {"value": SECRETS["file"]}})
        first = self.ask(self.victim, "POST", "/v1/jobs", request)["jobs"][0]
        again = self.ask(self.victim, "POST", "/v1/jobs", request)["jobs"][0]
        self.assertEqual((again["id"], again["known"]), (first["id"], True))
        for other in ({"A": {"value": SECRETS["both"]}}, {"B": {"value": SECRETS["file"]}}, {}):
            error = self.refused(409, self.victim, "POST", "/v1/jobs", request | {"secrets": other})
            self.assertEqual(occurrences(json.dumps(error).encode()), [])
        self.refused(409, self.attacker, "POST", "/v1/jobs", request)  # nor is it told whether a guess is right
        self.agent.wait(first["id"])

    def test_they_go_with_the_record(self):
        self.start(config="keep_jobs: 1s")
        job = self.script_of(self.victim, "true", secrets={"A": {"value": SECRETS["file"]}})
        self.agent.wait(job)

        def stored():
            with sqlite3.connect(f"file:{self.agent.state}/berth.db?mode=ro", uri=True) as database:
                return database.execute("SELECT sealed FROM secret").fetchall()
        self.assertEqual(len(stored()), 1)
        self.assertTrue(stored()[0][0].startswith(b"berth1"))
        time.sleep(1.5)
        self.agent.post("/v1/gc")
        eventually(lambda: self.request(self.victim, "GET", f"/v1/jobs/{job}").status == 404, "its record goes")
        self.assertEqual(stored(), [])

    def test_without_the_key_nothing_opens_and_the_agent_goes_on(self):
        self.start()
        job = self.script_of(self.victim, 'echo "$HF_TOKEN"', environment_variables={"HF_TOKEN": SECRETS["variable"]})
        self.agent.wait(job)
        key = Path(self.agent.state, "secrets.key")
        self.assertEqual((key.stat().st_mode & 0o777, key.stat().st_uid), (0o600, 0))
        with self.assertRaises(AssertionError):
            self.run_as(self.attacker, "cat", key)
        self.agent.stop()
        kept = key.read_bytes()
        key.write_bytes(os.urandom(32))
        self.agent.start()
        self.ask(self.victim, "POST", f"/v1/jobs/{job}/retry")
        record = self.agent.wait(job)
        self.assertEqual(record["ending"]["kind"], "start_failed")
        self.assertIn("sealed with another key", record["ending_words"])
        self.assertIn("another key", self.refused(403, self.victim, "GET", f"/v1/jobs/{job}/log?attempt=1")["message"])
        self.assertIn(SECRETS["variable"], self.berth(self.victim, "logs", "--no-mask", "--attempt", "1", job).out)
        other = self.script_of(self.victim, "true", secrets={"A": {"value": SECRETS["file"]}})
        self.assertEqual(self.agent.wait(other)["state"], "Completed")  # with the key there is now
        key.write_bytes(kept)
        self.ask(self.victim, "POST", f"/v1/jobs/{job}/retry")
        self.assertEqual(self.agent.wait(job)["state"], "Completed")

    def test_the_command_line_takes_them_from_variables_files_and_input(self):
        self.start()
        file = Path(self.victim.home, "secret")
        file.write_text(SECRETS["file"] + "\n")
        os.chown(file, self.victim.uid, self.victim.gid)
        file.chmod(0o600)
        script = ('printf %s "$GIVEN|$(cat $BERTH_SECRETS/GIVEN)|$ASKED|" | tr a-z A-Z; echo; ls $BERTH_SECRETS; '
                  'echo no > $BERTH_SECRETS/GIVEN || echo read-only; cat $BERTH_SECRETS/TYPED')
        typed = self.place / "typed"
        typed.write_text(SECRETS["coded"])
        with typed.open() as stdin:
            done = self.run_as(self.victim, "env", f"GIVEN={SECRETS['both']}", str(self.agent.programs / "berth"), "run",
                               "--no-code", "--secret", "GIVEN", "--secret-env", f"ASKED={file}", "--secret", "TYPED=-", "--",
                               "/bin/sh", "-c", script, stdin=stdin)
        self.assertEqual(done.out.splitlines(), [f"|{SECRETS['both'].upper()}|{SECRETS['file'].upper()}|", "ASKED", "GIVEN", "TYPED",
                                                 *[line for line in done.out.splitlines() if "cannot create" in line][:1],
                                                 "read-only", "*" * len(SECRETS["coded"])])

    def test_a_failure_tells_none(self):
        """What a tool says of an index goes into the ending, the journal and the build's log."""
        self.start("outage_patience: 1s")
        requirements = f"--index-url http://me:{CODED}@127.0.0.1:9/simple\nnothing-4711\n"
        job = self.job_of(self.victim, "true", environment={"kind": "venv", "file": "r.txt", "files": {"r.txt": requirements}})
        record = self.agent.wait(job, 120)
        self.assertEqual(record["ending"]["kind"], "environment_failed", record)
        self.assertEqual(record["hidden"], ["/environment/files/r.txt"])
        self.assert_nowhere(job)
        error = self.refused(400, self.victim, "POST", "/v1/jobs",
                             self.agent.request_for("true", secrets={"A": {"value": SECRETS["file"], "x": 1}}))
        self.assertEqual(occurrences(json.dumps(error).encode()), [])


class UpgradeTest(HostileTest):
    def test_what_an_earlier_version_stored_in_requests_is_set_apart(self):
        self.start()
        job = self.script_of(self.victim, 'echo "$HF_TOKEN"; exit 1')
        self.agent.wait(job)
        self.agent.stop()
        with sqlite3.connect(f"{self.agent.state}/berth.db") as database:
            request = json.loads(database.execute("SELECT json FROM request JOIN job USING (sequence) WHERE id = ?", [job]).fetchone()[0])
            request["environment_variables"] = {"HF_TOKEN": SECRETS["variable"]}
            database.execute("UPDATE request SET json = ? WHERE sequence = (SELECT sequence FROM job WHERE id = ?)",
                             [json.dumps(request), job])
            database.execute("DELETE FROM node WHERE name = 'secrets_apart'")
            database.commit()
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        self.agent.start()
        self.assertEqual(self.ask(self.victim, "GET", f"/v1/jobs/{job}")["secrets"], {"HF_TOKEN": {"file": False, "variable": True}})
        self.ask(self.victim, "POST", f"/v1/jobs/{job}/retry")
        self.agent.wait(job)
        self.assertEqual(Path(self.agent.state, "jobs", job, "2", "log").read_text(), SECRETS["variable"] + "\n")
        self.agent.stop()
        for path, content in harness.contents_below(self.agent.state):
            if path.name != "log":
                self.assertEqual(occurrences(content), [], path)


if __name__ == "__main__":
    main()
