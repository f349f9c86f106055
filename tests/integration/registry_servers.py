"""Servers beside the real registries of registries.py: one that gives tokens, and registries that behave as those of the
cloud do, or badly. Each has `registries`, whose storage is behind it."""

import base64
import contextlib
import http.server
import json
import socket
import subprocess
import threading
import time
import urllib.parse

from waiting import PATIENCE

USER, PASSWORD = "tester", "only for tests"
ISSUER, SERVICE = "berth-test-issuer", "berth-test"
BLOB_SERVER = 5071
DYING_AFTER = 1 << 20  # bytes of a connection


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def authorized(self):
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return self.headers.get("Authorization") == wanted

    def refuse(self, status, words):
        self.answer(status, json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": words}]}).encode(),
                    WWW_Authenticate='Basic realm="tests"')

    def forward(self):
        accept = {"Accept": self.headers.get("Accept", "*/*")}
        registries = self.server.registries
        # Connections that this thread makes are in whatever namespace the server's thread was in.
        answer, content = registries.namespace.call(lambda: registries.request("GET", self.path, headers=accept))
        self.answer(200, content, Content_Type=answer.headers["Content-Type"])


class TokenServer(Handler):
    """Gives a signed token for what is asked, to who knows the password, or has the refresh token "again"."""

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        if not self.authorized():
            return self.refuse(401, "wrong name or password")
        return self.give(query["scope"][0])

    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if form.get("refresh_token") != ["again"] or form.get("grant_type") != ["refresh_token"]:
            return self.refuse(401, "unknown refresh token")
        return self.give(form["scope"][0])

    def give(self, scope):
        kind, name, actions = scope.rsplit(":", 2)[0].split(":")[0], scope.split(":")[1], scope.split(":")[-1].split(",")
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": SERVICE, "sub": USER, "exp": now + 300, "nbf": now - 10, "iat": now - 10,
                  "jti": "1", "access": [{"type": kind, "name": name, "actions": actions}]}
        token = sign(self.server.registries, claims)
        self.answer(200, json.dumps({"access_token": token}).encode(), Content_Type="application/json")


def sign(registries, claims):
    der = base64.b64decode("".join(registries.certificate.read_text().split("-----")[2].split()))
    header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
    parts = [url64(json.dumps(part).encode()) for part in (header, claims)]
    signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", registries.key],
                            input=".".join(parts).encode(), stdout=subprocess.PIPE, check=True, timeout=PATIENCE)
    return ".".join([*parts, url64(signed.stdout)])


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class RedirectingRegistry(Handler):
    """Wants basic authentication, and sends who asks for blobs to another server."""

    def do_GET(self):
        if not self.authorized():
            return self.refuse(401, "authentication required")
        if "/blobs/" in self.path:
            return self.answer(307, Location=f"http://127.0.0.1:{BLOB_SERVER}{self.path}")
        return self.forward()


class BlobServer(Handler):
    def do_GET(self):
        if self.headers.get("Authorization"):
            return self.refuse(400, "credentials that are not for this server")
        return self.forward()


class DyingRegistry:
    """Hands a registry's bytes on, and closes each connection after DYING_AFTER of them."""

    def __init__(self, port, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", port))
        self.closing = False

    def serve_forever(self, _):
        self.listener.settimeout(0.05)
        while not self.closing:
            with contextlib.suppress(OSError):  # the time-out, or the listener is closed
                client, _ = self.listener.accept()
                client.settimeout(PATIENCE)
                server = socket.create_connection(("127.0.0.1", self.target), timeout=PATIENCE)
                threading.Thread(target=self.hand_on, args=(client, server, 1 << 40), daemon=True).start()
                threading.Thread(target=self.hand_on, args=(server, client, DYING_AFTER), daemon=True).start()

    @staticmethod
    def hand_on(source, sink, most):
        with contextlib.suppress(OSError):
            while most > 0 and (data := source.recv(min(most, 65536))):
                sink.sendall(data)
                most -= len(data)
        for end_ in (source, sink):
            with contextlib.suppress(OSError):
                end_.shutdown(socket.SHUT_RDWR)

    def shutdown(self):
        self.closing = True

    def server_close(self):
        self.listener.close()
