"""Content is not a key: whoever knows a digest, or guesses a content, gets nothing of what others sent."""

import json
import os

import packs
from builds import BuildsCase
from content import NOWHERE, SECRET, Content
from hostile import main
from people import Person


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


if __name__ == "__main__":
    main()
