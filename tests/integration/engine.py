#!/usr/bin/env python3
"""A real Docker engine for tests, in a network namespace of its own, with registries on that namespace's loopback.

As a module: `with Engine(directory) as engine: …`. As a program, which looks after what the engine starts: `engine.py
DIRECTORY [--no-registries]`
prints one line of JSON when all is up (see Engine.facts) and takes everything down when its standard input ends; the
line "restart SIGTERM" (or SIGKILL) there restarts dockerd, and is answered when it is up again.
Needs root. Images are made here, from busybox: nothing comes from the network."""

import base64
import contextlib
import ctypes
import hashlib
import http.client
import http.server
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse

PATIENCE = 30
NEEDED = ("dockerd", "docker-registry", "iptables", "ip", "nsenter", "busybox", "openssl")
USER, PASSWORD = "tester", "only for tests"
HTPASSWD = "tester:$2y$04$w2ib1cUFlTeoz/tuR19fhOiV814ZsDzoqExuJ1DpE5FMxcoYGi1Oy\n"  # the same
# Registries by what is special about them; all have the same storage.
PORTS = {"plain": 5055, "basic": 5056, "token": 5057, "tls": 5058, "dying": 5059, "redirecting": 5060}
TOKEN_SERVER, BLOB_SERVER = 5070, 5071
ISSUER, SERVICE = "berth-test-issuer", "berth-test"
LAYER_BYTES = 12 << 20
DYING_AFTER = 1 << 20  # bytes of a connection
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"


def missing():
    """Why there can be no engine here; nothing when there can."""
    if os.geteuid() != 0:
        return "a real Docker engine needs root"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    absent = [name for name in NEEDED if shutil.which(name, path=path) is None]
    return f"not installed: {', '.join(absent)} (packaging/setup test)" if absent else ""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def await_that(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain until {what}")
        time.sleep(0.02)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Engine:
    def __init__(self, directory, registries=True):
        self.directory = pathlib.Path(directory).resolve()
        self.name = f"berth-engine-{os.getpid()}"
        self.socket = str(self.directory / "docker.sock")
        self.with_registries = registries
        self.processes = []
        self.servers = []
        self.digests = {}
        self.daemon = None

    # Life

    def __enter__(self):
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            subprocess.run(["ip", "netns", "add", self.name], check=True, timeout=PATIENCE)
            subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True, timeout=PATIENCE)
            self.start_daemon()
            self.make_images()
            if self.with_registries:
                self.start_registries()
                self.push_images()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def facts(self):
        return {"socket": self.socket, "namespace": f"/run/netns/{self.name}", "user": USER, "password": PASSWORD,
                "certificate": str(self.directory / "cert.pem"), "pid": self.daemon.pid, "digests": self.digests,
                "registries": {name: f"127.0.0.1:{port}" for name, port in PORTS.items()}}

    def start_inside(self, arguments, log):
        with open(self.directory / log, "ab") as output:
            process = subprocess.Popen(["nsenter", f"--net=/run/netns/{self.name}", *arguments],
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        self.processes.append(process)
        return process

    def start_daemon(self):
        """Also again after stop_daemon."""
        place = self.directory
        (place / "pid").unlink(missing_ok=True)
        self.daemon = self.start_inside(
            ["dockerd", "--data-root", place / "data", "--exec-root", place / "exec", "-H", f"unix://{self.socket}",
             "--pidfile", place / "pid", "--cgroup-parent", f"/{self.name}", "--max-download-attempts", "1",
             "--storage-driver", "overlay2"], "dockerd.log")
        await_that("the engine answers", self.answers)

    def stop_daemon(self, number=signal.SIGTERM):
        """With SIGKILL its containers go on, as after a crash."""
        end(self.daemon, number)
        # Its containerd dies with it; where nobody reaps that, the next dockerd would wait for it.
        (self.directory / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def answers(self):
        if self.daemon.poll() is not None:
            raise RuntimeError("dockerd ended: " + (self.directory / "dockerd.log").read_text()[-2000:])
        try:
            return self.ask("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
        for process in reversed(self.processes):
            end(process, signal.SIGTERM)
        self.kill_strays()
        self.unmount()
        remove_groups(self.name)
        if os.path.exists(f"/run/netns/{self.name}"):
            subprocess.run(["ip", "netns", "delete", self.name], check=False, timeout=PATIENCE)
        for part in ("data", "exec", "registry"):
            shutil.rmtree(self.directory / part, ignore_errors=True)

    def kill_strays(self):
        """What a killed dockerd left: containerd and container supervisors, which name our directory."""
        mark = os.fsencode(str(self.directory / "exec"))
        for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    ours = mark in file.read()
                if ours and pid != os.getpid():
                    children = [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
                    for victim in [pid, *children]:
                        os.kill(victim, signal.SIGKILL)
                        await_that(f"{victim} is gone", lambda victim=victim: not is_running(victim))

    def unmount(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            points = [line.split()[4] for line in file]
        for point in sorted((p for p in points if p.startswith(str(self.directory) + "/")), reverse=True):
            subprocess.run(["umount", "--lazy", point], check=False, timeout=PATIENCE)

    # The engine's own interface

    def ask(self, method, path, body=None, headers=None):
        """(status, body); a stream's end that tells an error is an exception."""
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, path, body=body, headers=headers or {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def must(self, method, path, body=None, headers=None):
        status, answer = self.ask(method, path, body, headers)
        if status >= 400 or b'"errorDetail"' in answer:
            raise RuntimeError(f"{method} {path}: {status} {answer[-1000:]!r}")
        return answer

    def build(self, tag, dockerfile, files):
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            for name, data in {"Dockerfile": dockerfile.encode(), **files}.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        self.must("POST", f"/build?t={tag}", content.getvalue(), {"Content-Type": "application/x-tar"})

    def make_images(self):
        """berth-test/base:1, a busybox with /bin/sh; berth-test/layers:1, with two large layers and CUDA's variables."""
        changes = urllib.parse.quote('ENV PATH=/bin')
        self.must("POST", f"/images/create?fromSrc=-&repo=berth-test/base&tag=1&changes={changes}", busybox_tree(),
                  {"Content-Type": "application/x-tar"})
        if self.with_registries:
            self.build("berth-test/layers:1",
                       "FROM berth-test/base:1\nENV NVIDIA_REQUIRE_CUDA=cuda>=12.4 CUDA_VERSION=12.4.1\n"
                       "COPY one /one\nCOPY two /two\nCMD [\"cat\", \"/one\"]\n",
                       {"one": os.urandom(LAYER_BYTES), "two": os.urandom(LAYER_BYTES)})

    # Registries

    def inside(self, action):
        """Runs it on a thread that is in the namespace; its result."""
        outcome = {}

        def enter_and_run():
            with open(f"/run/netns/{self.name}", "rb") as space:
                if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), 0x40000000) != 0:
                    outcome["error"] = OSError(ctypes.get_errno(), "setns")
                    return
            try:
                outcome["result"] = action()
            except BaseException as error:  # pylint: disable=broad-except
                outcome["error"] = error

        thread = threading.Thread(target=enter_and_run)
        thread.start()
        thread.join()
        if "error" in outcome:
            raise outcome["error"]
        return outcome["result"]

    def start_registries(self):
        make_certificate(self.directory)
        (self.directory / "htpasswd").write_text(HTPASSWD)
        auth = {"basic": {"htpasswd": {"realm": "tests", "path": str(self.directory / "htpasswd")}},
                "token": {"token": {"realm": f"http://127.0.0.1:{TOKEN_SERVER}/token", "service": SERVICE,
                                    "issuer": ISSUER, "rootcertbundle": str(self.directory / "cert.pem")}}}
        for name in ("plain", "basic", "token", "tls"):
            self.start_registry(name, auth.get(name))
        for port, handler in ((TOKEN_SERVER, TokenServer), (PORTS["redirecting"], RedirectingRegistry),
                              (BLOB_SERVER, BlobServer)):
            self.serve(lambda port=port, handler=handler: http.server.ThreadingHTTPServer(("127.0.0.1", port), handler))
        self.serve(lambda: DyingRegistry(PORTS["dying"], PORTS["plain"]))
        for name in ("plain", "basic", "token", "tls"):
            await_that(f"the registry {name} listens", lambda name=name: self.inside(lambda: listens(PORTS[name])))

    def serve(self, make):
        server = self.inside(make)
        server.engine = self
        self.servers.append(server)
        # Its connections to other ports are made in the namespace too.
        threading.Thread(target=lambda: self.inside(lambda: server.serve_forever(0.05)), daemon=True).start()

    def start_registry(self, name, auth):
        config = {"version": 0.1, "log": {"level": "warn"},
                  "storage": {"filesystem": {"rootdirectory": str(self.directory / "registry")}},
                  "http": {"addr": f"127.0.0.1:{PORTS[name]}"}}
        if auth:
            config["auth"] = auth
        if name == "tls":
            config["http"]["tls"] = {"certificate": str(self.directory / "cert.pem"),
                                     "key": str(self.directory / "key.pem")}
        path = self.directory / f"registry-{name}.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        self.start_inside(["docker-registry", "serve", path], f"registry-{name}.log")

    def push_images(self):
        for image in ("base", "layers"):
            name = f"127.0.0.1:{PORTS['plain']}/berth-test/{image}"
            self.must("POST", f"/images/berth-test/{image}:1/tag?repo={name}&tag=1")
            self.must("POST", f"/images/{name}/push?tag=1", headers={"X-Registry-Auth": "e30="})
            self.must("DELETE", f"/images/{name}:1")
        self.inside(self.make_other_architectures)

    def make_other_architectures(self):
        """berth-test/arm:1, for another architecture; multi:1, a list with both; only-arm:1, a list with that one."""
        layers = self.registry_get("layers", "manifests/1")
        config = json.loads(self.registry_get("layers", "blobs/" + json.loads(layers)["config"]["digest"]))
        arm = json.loads(layers)
        arm["config"] = self.put_blob("layers", json.dumps({**config, "architecture": "arm64"}).encode())
        entries = []
        for architecture, manifest in (("arm64", json.dumps(arm).encode()), ("amd64", layers)):
            digest = self.put_manifest("layers", architecture, manifest, MANIFEST)
            entries.append({"mediaType": MANIFEST, "digest": digest, "size": len(manifest),
                            "platform": {"os": "linux", "architecture": architecture}})
            self.digests[architecture] = digest
        for name, chosen in (("multi", entries), ("only-arm", entries[:1])):
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": chosen}
            self.digests[name] = self.put_manifest("layers", name, json.dumps(index).encode(), INDEX)

    def registry_request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", PORTS["plain"], timeout=PATIENCE)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content!r}")
        return answer, content

    def registry_get(self, image, what):
        return self.registry_request("GET", f"/v2/berth-test/{image}/{what}", headers={"Accept": MANIFEST})[1]

    def put_blob(self, image, content):
        answer, _ = self.registry_request("POST", f"/v2/berth-test/{image}/blobs/uploads/")
        place = urllib.parse.urlparse(answer.headers["Location"])
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.registry_request("PUT", f"{place.path}?{place.query}&digest={digest}", content,
                              {"Content-Type": "application/octet-stream"})
        return {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(content), "digest": digest}

    def put_manifest(self, image, tag, content, kind):
        self.registry_request("PUT", f"/v2/berth-test/{image}/manifests/{tag}", content, {"Content-Type": kind})
        return "sha256:" + hashlib.sha256(content).hexdigest()


def end(process, number):
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(PATIENCE)


def remove_groups(name):
    for root in pathlib.Path("/sys/fs/cgroup").glob("*/" + name):
        for directory, _, _ in os.walk(root, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
    with contextlib.suppress(OSError):
        os.rmdir(f"/sys/fs/cgroup/{name}")


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def busybox_tree():
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, mode in (("bin", 0o755), ("tmp", 0o1777), ("etc", 0o755)):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
        busybox = tar.gettarinfo(shutil.which("busybox"), "bin/busybox")
        with open(shutil.which("busybox"), "rb") as file:
            tar.addfile(busybox, file)
        for name in ("sh", "cat", "echo", "env", "id", "ls", "sleep", "mkdir", "false", "true", "test", "df", "grep",
                     "dd", "head", "stat"):
            info = tarfile.TarInfo(f"bin/{name}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
    return content.getvalue()


def make_certificate(directory):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=berth-test",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", directory / "key.pem",
                    "-out", directory / "cert.pem"], check=True, capture_output=True, timeout=PATIENCE)


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
        # Connections that this thread makes are in whatever namespace the server's thread was in.
        answer, content = self.server.engine.inside(
            lambda: self.server.engine.registry_request("GET", self.path, headers=accept))
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
        token = sign(self.server.engine.directory, claims)
        self.answer(200, json.dumps({"access_token": token}).encode(), Content_Type="application/json")


def sign(directory, claims):
    der = base64.b64decode("".join((directory / "cert.pem").read_text().split("-----")[2].split()))
    header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
    parts = [url64(json.dumps(part).encode()) for part in (header, claims)]
    signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", directory / "key.pem"],
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


def main():
    reason = missing()
    if reason:
        print(json.dumps({"missing": reason}), flush=True)
        return 0
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what dockerd leaves is ours to reap
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the end of standard input is the only way
    with Engine(sys.argv[1], registries="--no-registries" not in sys.argv) as engine:
        print(json.dumps(engine.facts()), flush=True)
        for line in sys.stdin:
            engine.stop_daemon(signal.Signals[line.split()[1]])
            engine.start_daemon()
            print("{}", flush=True)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
