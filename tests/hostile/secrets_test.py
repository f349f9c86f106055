"""Secrets of jobs: whoever looks finds none of them, wherever he looks, and their jobs have them."""

import base64
import json
import os
import random
import re
import sqlite3
import string
import threading
import time
from pathlib import Path

from hostile import Client, HostileTest, eventually, harness, main, sanitized
from client import UnixConnection  # where hostile has it from

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

        def gone():
            self.agent.post("/v1/gc")
            return self.request(self.victim, "GET", f"/v1/jobs/{job}").status == 404
        eventually(gone, "its record is old enough, and goes", pause=0.1)
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


MOST_MASKED = 32 << 10  # of one job, in bytes


def read_at_once(socket, path, readers):
    """What so many readers get who ask at the same moment: statuses and lengths."""
    got = []

    def read():
        answer = Client(socket, 60).request("GET", path)
        got.append((answer.status, len(answer.body)))
    threads = [threading.Thread(target=read) for _ in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def follow_all(socket_path, jobs, told, go_on):
    """Follows the logs of all of them until `go_on` is there; `told` has the statuses of the answers."""
    connections, statuses = [], []
    for job in jobs:
        connections.append(UnixConnection(socket_path, 60))
        connections[-1].request("GET", f"/v1/jobs/{job}/log?follow=1")
        statuses.append(connections[-1].getresponse().status)
    told.with_suffix(".new").write_text(json.dumps(statuses))
    told.with_suffix(".new").rename(told)
    eventually(go_on.exists, "it may end")


class MaskTest(HostileTest):
    def as_many_as_may_be(self):
        """Secrets whose spellings differ all, and one that begins at every byte of a log."""
        rng = random.Random(4)
        letters = string.ascii_letters + string.digits + "/+% "
        secrets = {f"R{i}": {"value": "".join(rng.choice(letters) for _ in range(3800))} for i in range(3)}
        secrets |= {f"A{i}": {"value": "a" * (2500 - i) + "b"} for i in range(3)}
        return secrets

    def memory(self):
        status = Path(f"/proc/{self.agent.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) << 10

    def root_waits(self, until):
        """The longest time that root waits for an answer until a thread has ended."""
        longest = 0
        while until.is_alive():
            begin = time.monotonic()
            self.assertEqual(Client(self.agent.socket_path, 60).request("GET", "/v1/jobs").status, 200)
            longest = max(longest, time.monotonic() - begin)
            time.sleep(0.01)
        return longest

    def test_logs_made_to_be_hard_to_mask_stall_nobody_and_take_little(self):
        self.start()
        job = self.script_of(self.attacker, "head -c 3000000 /dev/zero | tr '\\0' a; echo", secrets=self.as_many_as_may_be())
        self.agent.wait(job)
        before = self.memory()
        path = f"/v1/jobs/{job}/log"
        got = []

        def read():
            got.extend(self.acting(self.attacker, read_at_once, self.agent.socket_path, path, 30))
        reading = threading.Thread(target=read)
        reading.start()
        longest = self.root_waits(reading)
        reading.join()
        # He may have to wait for himself; whoever is served gets all of it.
        self.assertEqual({one for one in got if one[0] == 200}, {(200, 3000001)}, got)
        self.assertEqual(len(got), 30)
        self.assertLess(longest, 1.0)
        if not sanitized():
            self.assertLess(self.memory() - before, 64 << 20)

    def test_of_a_secret_that_the_hole_of_a_capped_log_cuts_neither_half_is_shown(self):
        self.start()
        secret = "".join(random.Random(3).choices(string.ascii_letters + string.digits, k=3000))
        job = self.script_of(self.victim, 'for i in $(seq 200); do cat "$BERTH_SECRETS/LONG"; echo " said"; done',
                             secrets={"LONG": {"value": secret}}, log_cap_bytes=65536)
        self.agent.wait(job)
        path = f"/v1/jobs/{job}/log"
        log = self.ask(self.victim, "GET", f"{path}?masked=0").decode()
        head, _, rest = log.partition("[…")
        hole, _, tail = rest.partition("…]\n")
        self.assertIn("left out", hole)
        parts = {secret[at:at + 6] for at in range(len(secret) - 5)}

        def assert_hidden(shown):
            self.assertEqual([at for at in range(len(shown) - 5) if shown[at:at + 6] in parts], [])
        # It has cut one on either side, else this tells nothing.
        self.assertIn(head.rstrip("\n")[-6:], parts)
        self.assertIn(tail[:6], parts)
        assert_hidden(self.ask(self.victim, "GET", path).decode())
        assert_hidden(self.berth(self.victim, "logs", job).out)
        end_of_hole = int(re.search(r"–(\d+)\)", hole)[1])
        for offset in (end_of_hole - 1, end_of_hole, end_of_hole + 1, end_of_hole + 100, end_of_hole + 2999):
            assert_hidden(self.ask(self.victim, "GET", f"{path}?offset={offset}").decode())

    def test_no_secret_crowds_out_another(self):
        self.start()
        lines = "\n".join(f"certificate-line-{i:05d}" for i in range(1200))
        job = self.script_of(self.victim, 'echo "$Z_TOKEN"; echo "$DB_PASSWORD"; cat "$BERTH_SECRETS/CA_BUNDLE"; echo',
                             secrets={"CA_BUNDLE": {"value": lines}},
                             environment_variables={"Z_TOKEN": SECRETS["variable"], "DB_PASSWORD": SECRETS["file"]})
        self.agent.wait(job)
        log = self.ask(self.victim, "GET", f"/v1/jobs/{job}/log").decode()
        self.assertEqual(set(log), {"*", "\n"})
        self.assertEqual(len(log.splitlines()), 1202)

    def test_more_than_can_be_masked_is_refused_and_told(self):
        self.start()
        for fields in ({"secrets": {"A": {"value": "x" * (MOST_MASKED + 1)}}},
                       {"command": ["/bin/true", *(f"https://u:{'q' * 3900}{i}@h/" for i in range(900))]},
                       {"command": ["/bin/true", *(f"https://h/?token={'q' * 3900}{i}" for i in range(9))]}):
            error = self.refused(400, self.attacker, "POST", "/v1/jobs", self.agent.request_for("true") | fields)
            self.assertRegex(error["message"], r"'secrets' are \d+ bytes together.*at most 32768 can be masked")
        words = "".join(f"# https://u:{'a' * 3500}{i}@h{i}/\n" for i in range(18))
        environment = {"kind": "venv", "file": "r.txt", "files": {"r.txt": words}}
        self.assertIn("can be masked", self.refused(400, self.attacker, "POST", "/v1/environments", environment)["message"])
        job = self.script_of(self.attacker, "cat $BERTH_SECRETS/A; echo", secrets={"A": {"value": "x" * MOST_MASKED}})
        self.agent.wait(job)
        self.assertEqual(self.ask(self.attacker, "GET", f"/v1/jobs/{job}/log").decode(), "*" * MOST_MASKED + "\n")

    def test_one_reader_of_many_logs_has_a_share_and_others_theirs(self):
        self.start()
        rng = random.Random(5)
        letters = string.ascii_letters + string.digits + "/+ "

        def long_job(who):
            secrets = {f"R{i}": {"value": "".join(rng.choice(letters) for _ in range(4000))} for i in range(7)}
            job = self.script_of(who, "echo started; sleep 300", secrets=secrets)
            eventually(lambda: b"started" in self.agent.log_of(job), "it runs")
            return job
        jobs = [long_job(self.attacker) for _ in range(5)]
        other = long_job(self.victim)
        told, go_on = self.drop / "told", self.drop / "go on"
        following = threading.Thread(target=self.acting,
                                     args=(self.attacker, follow_all, self.agent.socket_path, jobs, told, go_on))
        following.start()
        eventually(told.exists, "each follower has an answer")
        self.assertEqual(self.ask(self.victim, "GET", f"/v1/jobs/{other}/log"), b"started\n")
        go_on.touch()
        following.join()
        statuses = json.loads(told.read_text())
        self.assertEqual(statuses[0], 200)
        self.assertEqual(set(statuses), {200, 503})
        for job in jobs + [other]:
            self.agent.cancel(job)
            self.agent.wait(job)
        for job in jobs:  # there is room again
            eventually(lambda: self.request(self.attacker, "GET", f"/v1/jobs/{job}/log").status == 200, "it is read")

    def test_tokens_in_queries_keys_and_plain_names_are_secrets(self):
        self.start()
        secret = SECRETS["argument"]
        fields = {"command": ["/bin/sh", "-c", 'echo "$0 $GITHUB_PAT $AUTH $DATA_URL"', f"https://h/b?sv=1&sig={secret}"],
                  "properties": {"mlflow.source.git.repoURL": f"https://h/r.git?access_token={secret}"},
                  "environment_variables": {"DATA_URL": f"https://h/x?sig={secret}", "GITHUB_PAT": secret, "AUTH": f"x{secret}"}}
        job = self.ask(self.victim, "POST", "/v1/jobs", self.agent.request_for("true") | fields)["jobs"][0]["id"]
        record = self.agent.wait(job)
        self.assertEqual(record["command"][3], "https://h/b?sv=1&sig=***")
        self.assertEqual(sorted(record["secrets"]), ["AUTH", "DATA_URL", "GITHUB_PAT"])
        self.assertIn(secret, Path(self.agent.state, "jobs", job, "1", "log").read_text())  # the job has them
        for path, content in harness.contents_below(self.agent.state):
            if path.name != "log":
                self.assertEqual(occurrences(content), [], path)
        for who in (self.victim, self.attacker):
            for path in (f"/v1/jobs/{job}", "/v1/jobs?all=1", f"/v1/jobs/{job}/log"):
                self.assertEqual(occurrences(self.request(who, "GET", path).body), [], (who.name, path))
        for field in ("tags", "properties", "environment_variables"):
            for key in (f"https://me:{secret}@h", f"https://h/?token={secret}"):
                error = self.refused(400, self.victim, "POST", "/v1/jobs", self.agent.request_for("true") | {field: {key: "x"}})
                self.assertIn(f"'{field}' has a login or token in the name", error["message"])
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
