"""Clients that speak no HTTP, too much of it, or not enough: they hurt nobody but themselves."""

import socket
import threading
import time

import harness
import processes
from client import raw, receive
from harness import BerthTest, eventually

KEPT = b"POST /v1/jobs HTTP/1.1\r\nHost: berth\r\n"


class HostileTest(BerthTest):
    config = "max_upload: 50MiB"

    def tearDown(self):
        """Whatever was sent, the agent serves on."""
        agent = self.agents[0]
        self.assertEqual(agent.wait(agent.submit("true"))["state"], "Completed")

    def memory(self, agent):
        """Resident bytes."""
        return int(processes.read(f"/proc/{agent.pid}/statm").split()[1]) * 4096

    def assert_refused(self, answer, *statuses):
        first = answer.split(b"\r\n", 1)[0]
        self.assertIn(first.split()[1:2], [[str(status).encode()] for status in statuses], answer[:200])
        self.assertIn(b'"message"', answer)

    def test_what_is_no_http(self):
        agent = self.start_agent()
        for sent in (b"GARBAGE\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500 + b"\r\n\r\n",
                     b"GET /v1/status HTTP/9.9\r\n\r\n", b"GET\r\n\r\n", b"GET  /v1/status HTTP/1.1\r\n\r\n",
                     b"GET /v1/status HTTP/1.1\r\nno colon\r\n\r\n", b"GET /v1/status HTTP/1.1\r\nA: \x00\r\n\r\n",
                     b"GET /v1/%zz HTTP/1.1\r\nHost: b\r\n\r\n", b"\r\n\r\n\r\n\r\nX\r\n\r\n"):
            answer = raw(agent.socket_path, sent)
            self.assert_refused(answer, 400, 404, 405, 501, 505)

    def test_lengths_that_contradict(self):
        agent = self.start_agent()
        for fields in (b"Content-Length: -1\r\n", b"Content-Length: 5x\r\n", b"Content-Length: 99999999999999999999999\r\n",
                       b"Content-Length: 5\r\nContent-Length: 6\r\n",
                       b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: rot13\r\n"):
            answer = raw(agent.socket_path, KEPT + fields + b"\r\nhello")
            self.assert_refused(answer, 400, 413, 501)

    def test_chunks_that_are_none(self):
        agent = self.start_agent()
        for body in (b"zz\r\n", b"ffffffffffffffffff\r\n", b"5\r\nhelloXX\r\n", b"-5\r\n", b"5;" + b"x" * 100_000):
            answer = raw(agent.socket_path, KEPT + b"Transfer-Encoding: chunked\r\n\r\n" + body)
            self.assert_refused(answer, 400, 413, 431)

    def test_header_floods(self):
        agent = self.start_agent()
        before = self.memory(agent)
        many = b"".join(b"X-%d: y\r\n" % number for number in range(20_000))
        for sent in (KEPT + many, KEPT + b"X: " + b"y" * (8 << 20), b"GET /" + b"y" * (8 << 20)):
            self.assert_refused(raw(agent.socket_path, sent + b"\r\n\r\n"), 400, 414, 431)
        with socket.socket(socket.AF_UNIX) as endless:  # never comes to its end
            endless.connect(agent.socket_path)
            endless.settimeout(10)
            with self.assertRaises(OSError):
                endless.sendall(KEPT)
                for number in range(10_000):
                    endless.sendall(b"X: " + b"y" * 1000 + b"\r\n")
        self.assertLess(self.memory(agent) - before, 64 << 20)

    def test_a_gigabyte_of_body(self):
        agent = self.start_agent()
        before = self.memory(agent)
        for path in ("/v1/jobs", "/v1/snapshots", "/v1/diffs", "/v1/jobs/@last/priority", "/v1/jobs/@last/cancel",
                     "/v1/nothing"):
            self.assert_refused_early(agent, path)
        self.assertLess(self.memory(agent) - before, 64 << 20)

    def assert_refused_early(self, agent, path):
        """The answer to a gigabyte comes before most of it is sent."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(agent.socket_path)
            client.sendall(b"POST %s HTTP/1.1\r\nHost: b\r\nContent-Length: %d\r\n\r\n" % (path.encode(), 1 << 30))
            sent, piece = 0, b"x" * 65536
            try:
                while sent < 1 << 30:
                    sent += client.send(piece)
            except OSError:
                pass
            self.assertLess(sent, 256 << 20, path)
            answer = receive(client)
        if answer:  # a reset may have overtaken it
            self.assertIn(answer.split()[1], (b"413", b"404", b"200"), path)

    def test_a_body_without_end(self):
        agent = self.start_agent()
        before = self.memory(agent)
        for path in (b"/v1/jobs", b"/v1/snapshots"):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(agent.socket_path)
                client.sendall(b"POST %s HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n" % path)
                with self.assertRaises(OSError):
                    for _ in range(5000):
                        client.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        self.assertLess(self.memory(agent) - before, 256 << 20)
        self.assertEqual(list((agent.state / "incoming").iterdir()), [])

    def test_clients_that_go_away(self):
        agent = self.start_agent()
        for sent in (b"", b"G", KEPT, KEPT + b"Content-Length: 100\r\n\r\n", KEPT + b"Content-Length: 100\r\n\r\n{",
                     b"POST /v1/snapshots HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nBRTHPAK1"):
            for _ in range(10):
                raw(agent.socket_path, sent, read=False)
        eventually(lambda: len(agent.descriptors()) <= len(agent.baseline), "nothing is left of them")

    def test_clients_that_stop_waiting(self):
        agent = self.start_agent()
        job = agent.submit("sleep", "300")
        for path in (f"/v1/jobs/{job}/wait", f"/v1/jobs/{job}/log?follow=1"):
            for _ in range(10):
                raw(agent.socket_path, b"GET %s HTTP/1.1\r\nHost: b\r\n\r\n" % path.encode(), read=False)
        eventually(lambda: len(agent.descriptors()) <= len(agent.baseline) + 1, "nothing is left of them")

    def test_slow_clients(self):
        """All at once, since each is given half a minute."""
        agent = self.start_agent()
        slow = {"no header": b"G", "half a header": KEPT + b"X-Half",
                "no body": KEPT + b"Content-Length: 10\r\n\r\n",
                "half a body": b"POST /v1/snapshots HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nBRTHPAK1"}
        answers = {}

        def be_slow(name, sent):
            begin = time.monotonic()
            answers[name] = (raw(agent.socket_path, sent, timeout=50), time.monotonic() - begin)
        threads = [threading.Thread(target=be_slow, args=pair, daemon=True) for pair in slow.items()]
        dripping = threading.Thread(target=self.drip, args=(agent,), daemon=True)
        for thread in [*threads, dripping]:
            thread.start()
        for _ in range(20):  # others do not notice
            begin = time.monotonic()
            agent.get("/v1/status")
            self.assertLess(time.monotonic() - begin, 2)
        for thread in [*threads, dripping]:
            thread.join(60)
            self.assertFalse(thread.is_alive())
        for name, (answer, seconds) in answers.items():
            self.assertLess(seconds, 45, f"{name} was waited for too long")
            self.assertGreater(seconds, 5, f"{name} was not waited for")
            if answer:
                self.assert_refused(answer, 408, 504)

    def drip(self, agent):
        """A header that comes byte by byte is cut off all the same."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(agent.socket_path)
            try:
                for byte in KEPT * 10:
                    client.send(bytes([byte]))
                    time.sleep(0.5)
            except OSError:
                pass

    def test_many_connections(self):
        agent = self.start_agent()
        idle = []
        for _ in range(300):
            client = socket.socket(socket.AF_UNIX)
            client.connect(agent.socket_path)
            idle.append(client)
        self.assertEqual(agent.get("/v1/status")["pid"], agent.pid)
        for client in idle:
            client.close()
        eventually(lambda: len(agent.descriptors()) <= len(agent.baseline), "their descriptors are closed")

    def test_requests_one_after_the_other_on_one_connection(self):
        agent = self.start_agent()
        request = b"GET /v1/status HTTP/1.1\r\nHost: b\r\n\r\n"
        answer = raw(agent.socket_path, request * 20 + request[:-2] + b"Connection: close\r\n\r\n")
        self.assertEqual(answer.count(b"HTTP/1.1 200"), 21)


if __name__ == "__main__":
    harness.main()
