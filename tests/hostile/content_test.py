"""Content is not a key: whoever knows a digest, or guesses a content, gets and learns nothing of what others sent."""

import collections
import json
import os
import random
import socket
import sqlite3
import statistics
import subprocess
import time
from pathlib import Path

import packs
from builds import BuildsCase
from hostile import Client, HostileTest, eventually, harness, main
from people import Person

SECRET = b"the pin is 4711\n"
# Sends each head (argv[2], N times) with `argv[4]` MiB behind it, says "ready", and neither sends nor reads any more.
HOLD = """
import socket, sys
keep = []
for _ in range(int(sys.argv[3])):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(sys.argv[1])
    keep.append(s)
    try:
        s.sendall(sys.argv[2].encode() + b"\\r\\nHost: x\\r\\n\\r\\n")
        for _ in range(int(sys.argv[4])):
            s.sendall(bytes(1 << 20))
    except OSError:
        pass
print("ready", flush=True)
sys.stdin.read()
"""
NOWHERE = packs.sha(b"what nobody ever sent")


class Content(HostileTest):
    def send(self, who, pack):
        return self.request(who, "POST", "/v1/snapshots", pack)

    def sent(self, who, files):
        """The digest of a snapshot that this user has sent."""
        answer = self.send(who, packs.whole(files))
        self.assertEqual(answer.status, 201, answer)
        return bytes.fromhex(answer.json["digest"])

    def send_diff(self, who, content):
        return bytes.fromhex(self.ask(who, "POST", "/v1/diffs", content)["digest"])

    def submit(self, who, *command, **fields):
        return self.request(who, "POST", "/v1/jobs", self.agent.request_for(*command, **fields))

    def job_with_outputs(self, who, content=SECRET, **fields):
        """A job that is over and has outputs, as its owner sees it."""
        job = self.script_of(who, f"mkdir -p outputs; printf %s '{content.decode()}' > outputs/secret", **fields)
        self.agent.wait(job)
        return self.ask(who, "GET", f"/v1/jobs/{job}")

    def same_answer(self, first, second, *digests):
        """Two answers that tell the same, but for the digests that the requests named."""
        told = []
        for answer in (first, second):
            text = answer.body.decode()
            for digest in digests:
                text = text.replace(digest.hex(), "DIGEST").replace(digest.hex()[:12], "DIGEST").replace(
                    digest.hex()[:8], "DIGEST")
            told.append((answer.status, text))
        self.assertEqual(told[0], told[1])
        self.assertGreaterEqual(first.status, 400, first)


class TheftTest(Content):
    def test_no_snapshot_of_anothers_is_a_base(self):
        self.start()
        theirs = packs.manifest({"secret": SECRET})
        code = self.sent(self.victim, {"secret": SECRET})
        outputs = bytes.fromhex(self.job_with_outputs(self.victim, snapshot=code.hex(), working_directory="")["attempts"][0]["outputs"])
        context = self.sent(self.victim, {"Dockerfile": b"FROM scratch\n"})
        diff = self.send_diff(self.victim, packs.manifest({"x": SECRET}))
        mine = {"mine": b"mine"}
        for base in (code, outputs, context, diff):
            there = self.send(self.attacker, packs.whole(mine, bases=[base]))
            self.same_answer(there, self.send(self.attacker, packs.whole(mine, bases=[NOWHERE])), base, NOWHERE)
        # The theft that was: the manifest copied from the base by a delta, its length found by trying.
        for size in range(len(theirs) - 2, len(theirs) + 3):
            for base in (code, NOWHERE):
                answer = self.send(self.attacker, packs.pack(base, bases=[base], encoded=packs.copied_manifest(size)))
                self.assertEqual(answer.status, 404, answer)
        own = self.sent(self.attacker, mine)
        copy = packs.pack(own, bases=[own], encoded=packs.copied_manifest(len(packs.manifest(mine))))
        self.assertEqual(self.send(self.attacker, copy).status, 201)  # so it goes with what is one's own
        there = self.send(self.attacker, packs.whole(mine, bases=[own, code]))
        self.same_answer(there, self.send(self.attacker, packs.whole(mine, bases=[own, NOWHERE])), code, NOWHERE)
        self.refused(404, self.attacker, "GET", f"/v1/snapshots/{code.hex()}")

    def test_no_manifest_names_what_was_not_sent(self):
        self.start()
        self.sent(self.victim, {"secret": SECRET})
        self.send_diff(self.victim, b"a diff with a secret\n")
        guesses = {content: (len(content), packs.sha(content)) for content in (SECRET, b"the pin is 4712\n", b"a diff with a secret\n", b"a diff with no secret")}
        own = self.sent(self.attacker, {"mine": b"mine"})
        for bases in ([], [own]):
            nowhere = packs.pack(packs.manifest({"guess": (9, NOWHERE)}), bases=bases)
            for content, named in guesses.items():
                guess = packs.pack(packs.manifest({"guess": named}), bases=bases)
                self.same_answer(self.send(self.attacker, guess), self.send(self.attacker, nowhere), named[1], NOWHERE)
            # Nor does it help to send the guess beside the snapshot.
            beside = [self.send(self.attacker, packs.pack(packs.manifest({"mine": b"mine"}), [packs.frame(b"mine"), packs.frame(content)], 2, bases=bases))
                      for content in guesses]
            for (content, named), answer in zip(guesses.items(), beside):
                self.same_answer(answer, beside[1], named[1], packs.sha(b"the pin is 4712\n"))

    def test_no_recipe_names_chunks_that_were_not_sent(self):
        self.start()
        chunks = [os.urandom(600_000), os.urandom(600_000)]
        recipe = packs.recipe([(packs.sha(chunk), len(chunk)) for chunk in chunks])
        large = packs.manifest({"weights": (1_200_000, packs.sha(recipe))})
        self.assertEqual(self.send(self.victim, packs.pack(large, [packs.frame(recipe), packs.frame(*chunks)], 3)).status, 201)
        nowhere = packs.pack(packs.manifest({"weights": (1_200_000, NOWHERE)}))
        self.same_answer(self.send(self.attacker, packs.pack(large)), self.send(self.attacker, nowhere), packs.sha(recipe), NOWHERE)
        own = os.urandom(700_000)
        for named in (packs.sha(chunks[1]), NOWHERE):
            mixed = packs.recipe([(packs.sha(own), len(own)), (named, 600_000)])
            answer = self.send(self.attacker, packs.pack(packs.manifest({"weights": (1_300_000, packs.sha(mixed))}),
                                                         [packs.frame(mixed), packs.frame(own)], 2))
            self.assertGreaterEqual(answer.status, 400)
            self.assertIn("incomplete", answer.body.decode())
        # By way of the recipe as a small file of his own base.
        base = self.sent(self.attacker, {"recipe": recipe})
        answer = self.send(self.attacker, packs.pack(large, bases=[base]))
        self.assertIn("incomplete", answer.body.decode())

    def test_no_job_names_what_its_user_neither_sent_nor_may_read(self):
        self.start()
        code = self.sent(self.victim, {"secret": SECRET})
        outputs = bytes.fromhex(self.job_with_outputs(self.victim, snapshot=code.hex(), working_directory="")["attempts"][0]["outputs"])
        diff = self.send_diff(self.victim, b"their diff\n")
        # A diff may hold anything: a manifest that names the victim's file, too. It is no snapshot.
        forged = self.send_diff(self.attacker, packs.manifest({"stolen": (len(SECRET), packs.sha(SECRET))}))
        def as_context(digest):
            return {"environment": {"kind": "dockerfile", "context": digest.hex(), "dockerfile": "Dockerfile"}, "working_directory": ""}

        for field, stolen in (("snapshot", (code, outputs, diff, forged)), ("diff", (diff, code, outputs)), ("context", (code, outputs, forged))):
            for digest in stolen:
                fields = [as_context(each) if field == "context" else
                          {field: each.hex(), **({"working_directory": ""} if field == "snapshot" else {})} for each in (digest, NOWHERE)]
                answers = [self.submit(self.attacker, "/bin/true", **each) for each in fields]
                self.assertEqual(answers[0].status, 404, (field, answers[0]))
                self.same_answer(*answers, digest, NOWHERE)
        for digest in (code, outputs, forged):
            bodies = [as_context(each)["environment"] for each in (digest, NOWHERE)]
            answers = [self.request(self.attacker, "POST", "/v1/environments", body) for body in bodies]
            self.same_answer(*answers, digest, NOWHERE)
        self.assertEqual(self.send(self.attacker, packs.whole({"m": b"m"}, bases=[forged])).status, 404)

    def test_others_jobs_are_shown_without_what_they_are_made_of(self):
        self.start()
        code = self.sent(self.victim, {"secret": SECRET})
        diff = self.send_diff(self.victim, b"their diff\n")
        job = self.job_with_outputs(self.victim, snapshot=code.hex(), working_directory="", diff=diff.hex(),
                                    environment_variables={"PASSWORD": "s3same-0pen"}, properties={"repository": "their-remote"})
        waiting = self.job_of(self.victim, "/bin/echo", "their-word", snapshot=code.hex(), working_directory="", held=True)
        secrets = [code.hex(), diff.hex(), job["attempts"][0]["outputs"], "s3same-0pen", "PASSWORD", "their-remote", "their-word", "secret"]
        views = [f"/v1/jobs/{job['id']}", f"/v1/jobs/{job['id']}/wait", f"/v1/jobs/{waiting}", "/v1/jobs?all=true", "/v1/jobs",
                 "/v1/jobs?order=queue", f"/v1/jobs/{waiting}/wait?timeout_ms=1", "/v1/status", "/v1/environments", "/metrics", "/v1/doctor"]
        for view in views:
            text = self.request(self.attacker, "GET", view).body.decode()
            for secret in secrets:
                self.assertNotIn(secret, text, view)
        for who in (self.victim, self.root):
            shown = self.ask(who, "GET", f"/v1/jobs/{job['id']}")
            self.assertEqual((shown["snapshot"], shown["diff"]), (code.hex(), diff.hex()))
            self.assertTrue(shown["attempts"][0]["outputs"])
        self.assertIn(job["id"], self.berth(self.attacker, "ps", "-a").out)
        self.assertIn(job["user"], self.berth(self.attacker, "show", job["id"]).out)

    def test_environments_are_shown_to_whose_jobs_had_them(self):
        self.start("offline: true\nuv: ''")
        environment = {"kind": "venv", "file": "requirements.txt", "files": {"requirements.txt": "# the-victims\n"}}
        job = self.job_of(self.victim, "/bin/true", environment=environment)
        ended = self.agent.wait(job, 120)
        self.assertEqual(ended["state"], "Completed", ended)
        digest = ended["environment_digest"]
        self.assertEqual(self.ask(self.attacker, "GET", "/v1/environments"), {"environments": [], "building": []})
        for path in (f"/v1/environments/{digest}", f"/v1/environments/{digest[:8]}", f"/v1/environments/{digest}/log"):
            nowhere = path.replace(digest[:8], "0123abcd")
            self.same_answer(self.request(self.attacker, "GET", path), self.request(self.attacker, "GET", nowhere),
                             bytes.fromhex(digest), bytes.fromhex("0123abcd" + digest[8:]))
            self.assertEqual(self.request(self.victim, "GET", path).status, 200)
        shown = self.ask(self.attacker, "GET", f"/v1/jobs/{job}")
        self.assertNotIn(digest, json.dumps(shown))
        self.assertIsNone(shown.get("environment_record"))

    @property
    def root(self):
        return Person("root", 0, 0, "/root", [0])


class SharedEnvironmentTest(BuildsCase):
    def test_a_shared_environment_tells_nobody_of_others(self):
        self.start()

        def job_in(who, line, *command):
            job = self.job_of(who, *command, environment=self.requirements("goodpkg==1.0", line))
            self.agent.wait_state(job, "Running") if command[0] == "/bin/sleep" else self.agent.wait(job, 120)
            return job, self.ask(who, "GET", f"/v1/jobs/{job}")["environment_digest"]
        first, digest = job_in(self.victim, "# the same", "/bin/true")
        root = Person("root", 0, 0, "/root", [0])
        log = self.ask(root, "GET", f"/v1/environments/{digest}/log").decode()
        word = "Successfully"
        self.assertIn(word, log)
        mine, same = job_in(self.attacker, "# the same", "/bin/true")
        self.assertEqual(same, digest)
        before = self.ask(self.attacker, "GET", f"/v1/environments/{digest}")
        listed = self.ask(self.attacker, "GET", "/v1/environments")
        # What the victim does with it from now on, also with a secret that stands in its log.
        secret, again = job_in(self.victim, f"# https://me:{word}@h/", "/bin/sleep", "300")
        self.assertEqual(again, digest)
        after = self.ask(self.attacker, "GET", f"/v1/environments/{digest}")
        self.assertEqual(after, before)
        self.assertEqual(self.ask(self.attacker, "GET", "/v1/environments"), listed)
        self.assertEqual((after["jobs"], after["in_use"]), ([mine], False))
        self.assertEqual(self.ask(self.victim, "GET", f"/v1/environments/{digest}")["jobs"], [secret, first])
        self.assertTrue(self.ask(self.victim, "GET", f"/v1/environments/{digest}")["in_use"])
        whole = self.ask(root, "GET", f"/v1/environments/{digest}")
        self.assertEqual((whole["jobs"], whole["in_use"]), ([secret, mine, first], True))
        self.assertEqual(self.ask(self.attacker, "GET", f"/v1/environments/{digest}/log").decode(), log)
        self.assertNotIn(word, self.ask(self.victim, "GET", f"/v1/environments/{digest}/log").decode())
        self.agent.cancel(secret)
        self.agent.wait(secret)


class DamageTest(Content):
    def test_damaged_packs_give_nothing_and_harm_nobody(self):
        self.start()
        files = {f"f{i}": os.urandom(20 + i) for i in range(5)}
        own = self.sent(self.attacker, files)
        code = self.sent(self.victim, {"secret": SECRET})
        copy = packs.copied_manifest(len(packs.manifest(files)))
        sound = [packs.whole(files), packs.pack(own, bases=[own], encoded=copy), packs.pack(own, bases=[own, code], encoded=copy)]
        answers = self.acting(self.attacker, send_damaged, self.agent.socket_path, sound, 600)
        self.assertLessEqual(set(answers), {201, 400, 404, 413, 422}, answers)
        self.refused(404, self.attacker, "GET", f"/v1/snapshots/{code.hex()}")
        self.assertEqual(self.send(self.attacker, sound[0]).status, 201)


def send_damaged(socket_path, packs_given, count):
    """How often each status answered packs that were damaged at random."""
    chance, client, answers = random.Random(4711), Client(socket_path), collections.Counter()
    for _ in range(count):
        pack = bytearray(chance.choice(packs_given))
        for _ in range(chance.choice((1, 1, 2, 5))):
            at = chance.randrange(len(pack))
            kind = chance.randrange(5)
            if kind == 0:
                pack[at] ^= 1 << chance.randrange(8)
            elif kind == 1:
                pack[at] = chance.choice((0, 0x7F, 0x80, 0xFF))
            elif kind == 2:
                del pack[at:at + chance.randrange(1, 9)]
            elif kind == 3:
                pack[at:at] = bytes(chance.choice((0xFF, 0x80, 0, 0x7F)) for _ in range(chance.randrange(1, 10)))
            else:
                del pack[at:]
            pack = pack or bytearray(b"x")
        answers[client.request("POST", "/v1/snapshots", bytes(pack)).status] += 1
    return dict(answers)


class HonestTest(Content):
    def test_deltas_against_ones_own_work_and_so_do_outputs_as_base_and_as_code(self):
        self.start()
        for who in (self.victim, self.attacker):
            place = self.files_of(who, train_py="print(open('data.txt').read(), end='')\n", data_txt="one\n" * 200)
            self.assertEqual(self.berth(who, "run", "--", "train.py", cwd=place).out, "one\n" * 200)
            (place / "data.txt").write_text("one\n" * 200 + "two\n")
            done = self.berth(who, "run", "--", "train.py", cwd=place)
            self.assertEqual(done.out, "one\n" * 200 + "two\n")
        job = self.job_with_outputs(self.victim, snapshot=self.sent(self.victim, {"a": b"a"}).hex(), working_directory="")
        outputs = bytes.fromhex(job["attempts"][0]["outputs"])
        content = SECRET
        # As the code of the next job, and as a base that lends its file to another place.
        next_job = self.script_of(self.victim, "cat outputs/secret", snapshot=outputs.hex(), working_directory="")
        self.agent.wait(next_job)
        self.assertEqual(self.ask(self.victim, "GET", f"/v1/jobs/{next_job}/log"), content)
        moved = packs.pack(packs.manifest({"moved": content}), bases=[outputs])
        self.assertEqual(self.send(self.victim, moved).status, 201)
        self.assertEqual(self.send(self.attacker, moved).status, 404)

    def test_who_may_read_a_job_may_refer_to_it(self):
        self.start("others_may_read: true")
        code = self.sent(self.victim, {"a": b"a"})
        self.assertEqual(self.submit(self.third, "/bin/true", snapshot=code.hex(), working_directory="").status, 404)
        job = self.job_of(self.victim, "/bin/true", snapshot=code.hex(), working_directory="")
        self.agent.wait(job)
        self.assertEqual(self.submit(self.third, "/bin/true", snapshot=code.hex(), working_directory="").status, 201)


class SharingTest(Content):
    def test_that_others_have_the_same_shows_in_no_answer_nor_in_what_is_stored(self):
        self.start()
        files = {f"f{i}": os.urandom(100_000) for i in range(5)}
        store = Path(self.agent.state) / "objects"

        def grown_by(who, content):
            before = sum(path.stat().st_size for path in store.glob("*.objects"))
            answer = self.send(who, packs.whole(content))
            self.assertEqual(answer.status, 201)
            return answer.json, sum(path.stat().st_size for path in store.glob("*.objects")) - before

        first, grown = grown_by(self.victim, files)
        second, grown_again = grown_by(self.attacker, files)
        self.assertEqual(first, second)
        self.assertEqual(grown, grown_again)
        # The two are merged in time, and each one's stay when the other's go.
        self.agent.post("/v1/gc", {})
        self.assertLess(sum(path.stat().st_size for path in store.glob("*.objects")), 1.5 * grown)
        for who in (self.victim, self.attacker):
            self.ask(who, "GET", f"/v1/snapshots/{first['digest']}")
            job = self.script_of(who, "cat * | wc -c", snapshot=first["digest"], working_directory="")
            self.agent.wait(job)
            self.assertEqual(self.ask(who, "GET", f"/v1/jobs/{job}/log"), b"500000\n")

    def test_that_others_have_the_same_takes_no_less_time(self):
        self.start()
        def some():
            return {f"f{i}": os.urandom(1_000_000) for i in range(4)}

        times = {True: [], False: []}
        for _ in range(5):
            for had in (True, False):  # by another
                pack = packs.whole(some())
                if had:
                    self.assertEqual(self.send(self.victim, pack).status, 201)
                begin = time.monotonic()
                answer = self.send(self.attacker, pack)
                times[had].append(time.monotonic() - begin)
                self.assertEqual(answer.status, 201)
        ratio = statistics.median(times[True]) / statistics.median(times[False])
        self.assertTrue(0.5 < ratio < 2, (ratio, times))


    def test_a_refusal_takes_as_long_whoever_has_what_was_named(self):
        self.start()
        files = {f"f{i}": os.urandom(500) for i in range(2000)}
        code = self.sent(self.victim, files)
        named = {name: (len(content), packs.sha(content)) for name, content in files.items()}
        nowhere = {name: (500, os.urandom(32)) for name in files}
        pairs = [(packs.whole({"m": b"m"}, bases=[code]), packs.whole({"m": b"m"}, bases=[NOWHERE])),
                 (packs.pack(packs.manifest(named)), packs.pack(packs.manifest(nowhere)))]
        for pair in pairs:
            times = ([], [])
            for _ in range(15):
                for pack, kept in zip(pair, times):
                    begin = time.monotonic()
                    self.assertGreaterEqual(self.send(self.attacker, pack).status, 400)
                    kept.append(time.monotonic() - begin)
            ratio = statistics.median(times[0]) / statistics.median(times[1])
            self.assertTrue(0.4 < ratio < 2.5, (ratio, times))


class LimitsTest(Content):
    def test_one_user_stores_no_more_than_he_may_and_is_told(self):
        self.start("storage_per_user: 3MiB")
        for i in range(2):
            self.sent(self.attacker, {"f": os.urandom(1 << 20)})
        answer = self.send(self.attacker, packs.whole({"f": os.urandom(1 << 20), "g": os.urandom(1 << 20)}))
        self.assertEqual(answer.status, 507, answer)
        text = json.dumps(answer.error)
        for word in ("storage_per_user", "3.0 MiB", "2.0 MiB", "hint"):
            self.assertIn(word, text)
        # What nobody else has counts as what somebody has.
        files = {"f": os.urandom(1 << 20), "g": os.urandom(1 << 20)}
        self.sent(self.victim, files)
        self.assertEqual(self.send(self.attacker, packs.whole(files)).status, 507)
        # What compresses well is as large as it is.
        self.assertEqual(self.send(self.attacker, packs.whole({"zeros": bytes(1_040_000), "y": b"y" * 1_040_000})).status, 507)
        self.assertEqual(self.request(self.attacker, "POST", "/v1/diffs", b"d" * (2 << 20)).status, 507)
        # His jobs' outputs count, and then he can send nothing any more, nor is more put out.
        code = self.sent(self.attacker, {"a": b"a"})
        later = self.script_of(self.attacker, "mkdir outputs; echo x > outputs/x", snapshot=code.hex(), working_directory="", held=True)
        job = self.script_of(self.attacker, "mkdir outputs; head -c 2000000 /dev/zero > outputs/x", snapshot=code.hex(), working_directory="")
        self.agent.wait(job)
        self.assertEqual(self.submit(self.attacker, "/bin/true").status, 507)
        self.assertEqual(self.send(self.attacker, packs.whole({"a": b"another"})).status, 507)
        self.ask(self.attacker, "POST", f"/v1/jobs/{later}/release")
        self.agent.wait(later)
        self.assertIsNone(self.ask(self.attacker, "GET", f"/v1/jobs/{later}")["attempts"][0]["outputs"])
        self.assertIn(b"outputs were not collected", self.ask(self.attacker, "GET", f"/v1/jobs/{later}/log?stream=agent"))
        self.sent(self.victim, {"a": b"another"})
        self.agent.submit("/bin/true")  # root is not bound

    def hold(self, head, number, mib=0):
        """The attacker does so until the test ends."""
        process = harness.family.popen(
            self.command_of(self.attacker, "/usr/bin/python3", "-c", HOLD, self.agent.socket_path, head, number, mib),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/tmp")
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, 60)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), b"ready\n")

    def on_its_way(self):
        """Bytes of files without a name that the agent has open for transfers."""
        total = 0
        for fd in Path(f"/proc/{self.agent.pid}/fd").iterdir():
            try:
                if "incoming" in os.readlink(fd):
                    total += fd.stat().st_blocks * 512
            except OSError:
                pass
        return total

    def most_on_its_way(self, seconds=4):
        most, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            most = max(most, self.on_its_way())
            time.sleep(0.05)
        return most

    def test_downloads_that_nobody_reads_take_no_more_than_one_user_may_have(self):
        self.start("storage_per_user: 12MiB")
        code = self.sent(self.attacker, {f"f{i}": os.urandom(1 << 20) for i in range(5)})
        job = self.job_of(self.attacker, "/bin/true", snapshot=code.hex(), working_directory="", held=True)
        self.hold(f"GET /v1/jobs/{job}/code HTTP/1.1", 20)
        most = self.most_on_its_way()
        self.assertGreater(most, 4 << 20)
        self.assertLess(most, 13 << 20)
        # Nobody else waits for him.
        theirs = self.sent(self.victim, {"a": os.urandom(1 << 20)})
        other = self.job_of(self.victim, "/bin/true", snapshot=theirs.hex(), working_directory="", held=True)
        self.assertGreater(len(self.ask(self.victim, "GET", f"/v1/jobs/{other}/code")), 1 << 20)

    def test_uploads_that_nobody_finishes_take_no_more_than_one_user_may_store(self):
        self.start("storage_per_user: 12MiB")
        announced = "POST /v1/snapshots HTTP/1.1\r\nContent-Length: "
        self.hold(announced + str(5 << 20), 10, 4)
        most = self.most_on_its_way(2)
        self.assertGreater(most, 7 << 20)  # two of them
        self.assertLess(most, 11 << 20)
        # What was announced is more than is left to him: none of it is taken.
        pack = packs.whole({f"f{i}": os.urandom(1 << 20) for i in range(3)})
        answer = self.send(self.attacker, pack)
        self.assertEqual(answer.status, 507, answer)
        self.assertIn("storage_per_user", json.dumps(answer.error))
        self.assertEqual(self.send(self.victim, pack).status, 201)

    def test_uploads_of_unknown_length_count_as_they_come(self):
        self.start("storage_per_user: 3MiB")
        def send(path):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(path)
                client.sendall(b"POST /v1/snapshots HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                try:
                    for _ in range(100):
                        client.sendall(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
                except OSError:
                    pass
                return client.recv(12)
        self.assertEqual(self.acting(self.attacker, send, self.agent.socket_path)[9:], b"507")
        self.assertEqual(self.on_its_way(), 0)

    def test_a_base_that_is_forgotten_counts_for_what_builds_on_it(self):
        self.start("storage_per_user: 8MiB")
        files = {f"f{i}": os.urandom(1 << 20) for i in range(5)}
        base = self.sent(self.attacker, files)
        more = dict(files, x=b"x")
        answer = self.send(self.attacker, packs.pack(packs.manifest(more), [packs.frame(b"x")], 1, bases=[base]))
        self.assertEqual(answer.status, 201, answer)
        job = self.job_of(self.attacker, "/bin/true", snapshot=answer.json["digest"], working_directory="", held=True)
        self.agent.stop()
        with sqlite3.connect(self.agent.state / "berth.db") as db:
            db.execute("UPDATE upload SET created = created - 2 * 86400 * 1000000 WHERE digest = ?", (base,))
        db.close()
        self.agent.start()
        self.assertIn("uploads", [item["kind"] for item in self.agent.post("/v1/gc")["items"]])
        again = packs.whole({f"g{i}": os.urandom(1 << 20) for i in range(5)})
        answer = self.send(self.attacker, again)
        self.assertEqual(answer.status, 507, answer)
        self.assertIn("5.0 MiB", json.dumps(answer.error))
        self.agent.restart()
        self.assertEqual(self.send(self.attacker, again).status, 507)
        # With what builds on it all of it goes, and counts no more.
        self.ask(self.attacker, "POST", f"/v1/jobs/{job}/cancel")
        self.agent.stop()
        with sqlite3.connect(self.agent.state / "berth.db") as db:
            db.execute("UPDATE upload SET created = created - 2 * 86400 * 1000000")
            db.execute("DELETE FROM job")
        db.close()
        self.agent.start()
        self.agent.post("/v1/gc")
        self.assertEqual(self.send(self.attacker, again).status, 201)

    def named_large(self, number, chunks=1024):
        """The digest of a snapshot of files far larger than what was sent of them."""
        chunk = bytes(1 << 20)
        recipe = packs.recipe([(packs.sha(chunk), len(chunk))] * chunks)
        files = {"Dockerfile": b"FROM scratch\n", "n": b"%d" % number, "big": (len(chunk) * chunks, packs.sha(recipe))}
        contents = [recipe, chunk, files["Dockerfile"], files["n"]]
        answer = self.send(self.attacker, packs.pack(packs.manifest(files), [packs.frame(one) for one in contents], 4))
        self.assertEqual(answer.status, 201, answer)
        return answer.json["digest"]

    def test_files_that_are_larger_than_one_user_may_have_are_not_unpacked(self):
        self.start("storage_per_user: 8MiB")
        digest = self.named_large(1)
        wanted = {"kind": "dockerfile", "context": digest, "dockerfile": "Dockerfile"}
        answer = self.request(self.attacker, "POST", "/v1/environments", wanted)
        self.assertEqual(answer.status, 413, answer)
        self.assertIn("storage_per_user", json.dumps(answer.error))
        job = self.job_of(self.attacker, "/bin/true", snapshot=digest, working_directory="")
        ended = self.agent.wait(job)
        self.assertIn("storage_per_user", ended["ending_words"])
        self.job_of(self.victim, "/bin/true")

    def test_code_that_is_larger_than_the_disk_fills_nothing(self):
        self.start("outage_patience: 1s")
        chunk, times = bytes(1 << 20), 1 << 16  # sent once: each file is 64 GiB
        recipe = packs.recipe([(packs.sha(chunk), len(chunk))] * times)
        files = {f"f{i}": (len(chunk) * times, packs.sha(recipe)) for i in range(200)}
        answer = self.send(self.attacker, packs.pack(packs.manifest(files), [packs.frame(recipe), packs.frame(chunk)], 2))
        self.assertEqual(answer.status, 201, answer)
        job = self.job_of(self.attacker, "/bin/true", snapshot=answer.json["digest"], working_directory="")
        ended = self.agent.wait(job)
        self.assertEqual(ended["ending"]["kind"], "disk_full", ended["ending_words"])
        self.assertIn("are free", ended["ending_words"])
        self.job_of(self.victim, "/bin/true")

    def test_one_user_has_no_more_jobs_than_he_may_and_is_told(self):
        self.start("jobs_per_user: 3")
        requests = [self.agent.request_for("/bin/true", held=True) for _ in range(4)]
        self.assertEqual(self.request(self.attacker, "POST", "/v1/jobs", {"jobs": requests}).status, 413)
        self.assertEqual(self.request(self.attacker, "POST", "/v1/jobs", {"jobs": requests[:3]}).status, 201)
        answer = self.request(self.attacker, "POST", "/v1/jobs", requests[3])
        self.assertEqual(answer.status, 413, answer)
        for word in ("jobs_per_user", "3 jobs", "cancel"):
            self.assertIn(word, json.dumps(answer.error))
        again = self.ask(self.attacker, "POST", "/v1/jobs", {"jobs": requests[:3]})
        self.assertTrue(all(job["known"] for job in again["jobs"]))
        self.job_of(self.victim, "/bin/true")
        for _ in range(4):
            self.agent.submit("/bin/true", held=True)  # root's are not counted
        self.agent.restart()
        self.refused(413, self.attacker, "POST", "/v1/jobs", requests[3])
        self.ask(self.attacker, "POST", f"/v1/jobs/{again['jobs'][0]['id']}/cancel")
        self.ask(self.attacker, "POST", "/v1/jobs", requests[3])

    def test_one_users_many_jobs_keep_nobody_elses_from_being_prepared(self):
        self.start()
        codes = [self.sent(self.attacker, {f"f{i}-{n}": b"%d" % n for n in range(100)}) for i in range(20)]
        requests = [self.agent.request_for("/bin/true", snapshot=codes[i % 20].hex(), working_directory="", held=True) for i in range(80)]
        self.ask(self.attacker, "POST", "/v1/jobs", {"jobs": requests})
        code = self.sent(self.victim, {"a": b"a"})
        job = self.job_of(self.victim, "/bin/true", snapshot=code.hex(), working_directory="")
        self.agent.wait(job)
        eventually(lambda: self.agent.get("/v1/status")["jobs"]["preparing"] == 0, "all to be prepared", 60)


if __name__ == "__main__":
    main()
