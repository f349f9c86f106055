"""What is on its way to or from one user is bounded too: downloads that nobody reads, uploads that nobody finishes."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import packs
from content import Content
from hostile import harness, main

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


class TransitTest(Content):
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


if __name__ == "__main__":
    main()
