"""Packs that are damaged give nothing and harm nobody; honest ones give each user what is that user's to have."""

import collections
import os
import random

import packs
from content import SECRET, Content
from hostile import Client, main


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


if __name__ == "__main__":
    main()
