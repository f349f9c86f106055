"""One user stores no more, and has no more jobs, than one may; nobody else waits for what is too much."""

import json
import os
import sqlite3

import packs
from content import Content
from hostile import eventually, main


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
