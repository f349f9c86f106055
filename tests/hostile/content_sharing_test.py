"""That others have the same content shows nowhere: in no answer, not in what is stored, and not in how long it takes."""

import os
import statistics
import time
from pathlib import Path

import packs
from content import NOWHERE, Content
from hostile import main


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


if __name__ == "__main__":
    main()
