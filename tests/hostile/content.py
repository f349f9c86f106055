"""What the tests of stored content share: people send snapshots and diffs, and name them."""

import packs
from hostile import HostileTest

SECRET = b"the pin is 4711\n"
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
