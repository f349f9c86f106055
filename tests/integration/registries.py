"""Registries on the loopback of a test's network namespace, all with the same storage and each with something special
about it: `docker-registry` for the usual kinds of access, and servers of ours (registry_servers.py) for the rest."""

import hashlib
import http.client
import http.server
import json
import socket
import subprocess
import threading
import urllib.parse

import processes
from registry_servers import (BLOB_SERVER, ISSUER, PASSWORD, SERVICE, USER, BlobServer, DyingRegistry, RedirectingRegistry,
                              TokenServer)
from waiting import PATIENCE, eventually

_HTPASSWD = "tester:$2y$04$w2ib1cUFlTeoz/tuR19fhOiV814ZsDzoqExuJ1DpE5FMxcoYGi1Oy\n"  # USER and PASSWORD
PORTS = {"plain": 5055, "basic": 5056, "token": 5057, "tls": 5058, "dying": 5059, "redirecting": 5060}
TOKEN_SERVER = 5070
_REAL = ("plain", "basic", "token", "tls")
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"


class Registries:
    def __init__(self, directory, namespace):
        """`directory` is a path where the storage, the configurations and the logs may lie."""
        self.directory = directory
        self.namespace = namespace
        self.certificate = directory / "cert.pem"
        self.key = directory / "key.pem"
        self.storage = directory / "registry"
        self.digests = {}  # of manifests: "amd64", "arm64", "multi", "only-arm"
        self.processes = []
        self.by_name = {}
        self.servers = []

    def facts(self):
        return {"user": USER, "password": PASSWORD, "certificate": str(self.certificate), "digests": self.digests,
                "registries": {name: f"127.0.0.1:{port}" for name, port in PORTS.items()}}

    # --- life

    def start(self):
        self._make_certificate()
        (self.directory / "htpasswd").write_text(_HTPASSWD)
        for name in _REAL:
            self._start_registry(name)
        for port, handler in ((TOKEN_SERVER, TokenServer), (PORTS["redirecting"], RedirectingRegistry),
                              (BLOB_SERVER, BlobServer)):
            self._serve(lambda port=port, handler=handler: http.server.ThreadingHTTPServer(("127.0.0.1", port), handler))
        self._serve(lambda: DyingRegistry(PORTS["dying"], PORTS["plain"]))
        for name in _REAL:
            eventually(lambda name=name: self.namespace.call(lambda: listens(PORTS[name])), f"the registry {name} listens")

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
        for process in self.processes:
            processes.end(process)

    def _start_registry(self, name):
        config = {"version": 0.1, "log": {"level": "warn"},
                  "storage": {"filesystem": {"rootdirectory": str(self.storage)}},
                  "http": {"addr": f"127.0.0.1:{PORTS[name]}"}}
        if name == "basic":
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(self.directory / "htpasswd")}}
        elif name == "token":
            config["auth"] = {"token": {"realm": f"http://127.0.0.1:{TOKEN_SERVER}/token", "service": SERVICE,
                                        "issuer": ISSUER, "rootcertbundle": str(self.certificate)}}
        elif name == "tls":
            config["http"]["tls"] = {"certificate": str(self.certificate), "key": str(self.key)}
        path = self.directory / f"registry-{name}.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        log = self.directory / f"registry-{name}.log"
        self.processes.append(self.namespace.start(["docker-registry", "serve", path], log))
        self.by_name[name] = self.processes[-1]

    def stop_one(self, name):
        processes.end(self.by_name[name])

    def start_one(self, name):
        self._start_registry(name)
        eventually(lambda: self.namespace.call(lambda: listens(PORTS[name])), f"the registry {name} listens")

    def _serve(self, make):
        server = self.namespace.call(make)
        server.registries = self
        self.servers.append(server)
        # Its connections to other ports are made in the namespace too.
        threading.Thread(target=lambda: self.namespace.call(lambda: server.serve_forever(0.05)), daemon=True).start()

    def _make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=berth-test",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.key, "-out", self.certificate],
                       check=True, capture_output=True, timeout=PATIENCE)

    # --- what they have

    def push(self, api, name):
        """Gives them an image that an engine has."""
        image, _, tag = name.rpartition(":")
        pushed = f"127.0.0.1:{PORTS['plain']}/{image}"
        api.tag(name, pushed, tag)
        api.push(pushed, tag)
        api.remove_image(f"{pushed}:{tag}")

    def add_architectures(self, name):
        """Tags of an image that they have for amd64: arm64, the same for another architecture; multi, a list with both;
        only-arm, a list with that one."""
        self.namespace.call(lambda: self._add_architectures(*name.rsplit(":", 1)))

    def _add_architectures(self, image, tag):
        manifest = self.get(image, f"manifests/{tag}")
        config = json.loads(self.get(image, "blobs/" + json.loads(manifest)["config"]["digest"]))
        arm = json.loads(manifest)
        arm["config"] = self._put_blob(image, json.dumps({**config, "architecture": "arm64"}).encode())
        entries = []
        for architecture, content in (("arm64", json.dumps(arm).encode()), ("amd64", manifest)):
            digest = self._put_manifest(image, architecture, content, _MANIFEST)
            entries.append({"mediaType": _MANIFEST, "digest": digest, "size": len(content),
                            "platform": {"os": "linux", "architecture": architecture}})
            self.digests[architecture] = digest
        for name, chosen in (("multi", entries), ("only-arm", entries[:1])):
            index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": chosen}
            self.digests[name] = self._put_manifest(image, name, json.dumps(index).encode(), _INDEX)

    # --- their interface, for threads in the namespace

    def request(self, method, path, body=None, headers=None):
        """(answer, body) of the registry that wants no credentials."""
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

    def get(self, image, what):
        return self.request("GET", f"/v2/{image}/{what}", headers={"Accept": _MANIFEST})[1]

    def _put_blob(self, image, content):
        answer, _ = self.request("POST", f"/v2/{image}/blobs/uploads/")
        place = urllib.parse.urlparse(answer.headers["Location"])
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.request("PUT", f"{place.path}?{place.query}&digest={digest}", content,
                     {"Content-Type": "application/octet-stream"})
        return {"mediaType": _CONFIG, "size": len(content), "digest": digest}

    def _put_manifest(self, image, tag, content, kind):
        self.request("PUT", f"/v2/{image}/manifests/{tag}", content, {"Content-Type": kind})
        return "sha256:" + hashlib.sha256(content).hexdigest()


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
