"""What tests ask of a container engine, over its own interface: HTTP on a unix socket."""

import io
import json
import tarfile
import urllib.parse

from client import UnixConnection

PATIENCE = 120
_TAR = {"Content-Type": "application/x-tar"}


class EngineApi:
    def __init__(self, socket):
        self.socket = socket

    def ask(self, method, path, body=None, headers=None):
        """(status, body), whatever they are."""
        connection = UnixConnection(self.socket, PATIENCE)
        try:
            try:
                connection.request(method, path, body=body, headers=headers or {"Content-Type": "application/json"})
            except BrokenPipeError:
                pass  # refused before all of it was sent: the answer is there
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def must(self, method, path, body=None, headers=None):
        """The body of a successful answer; a stream that ends with an error is none."""
        status, answer = self.ask(method, path, body, headers)
        if status >= 300 or b'"errorDetail"' in answer:
            raise RuntimeError(f"{method} {path}: {status} {answer[-1000:]!r}")
        return answer

    # --- what there is; with a label ("name=value"), what carries it

    def containers(self, label=None):
        """Running or not."""
        return self._listed("/containers/json", label, all=1)

    def images(self, label=None):
        """Those in between, of which others were built, too."""
        return self._listed("/images/json", label, all=1)

    def volumes(self, label=None):
        return self._listed("/volumes", label)["Volumes"] or []

    def _listed(self, path, label, **query):
        filters = json.dumps({"label": [label]} if label else {})
        return json.loads(self.must("GET", f"{path}?{urllib.parse.urlencode({**query, 'filters': filters})}"))

    def has_image(self, name):
        return self.ask("GET", f"/images/{name}/json")[0] == 200

    # --- images

    def import_image(self, name, tree, path="/bin"):
        """Makes one of a tar archive; `path` is its PATH."""
        repository, _, tag = name.rpartition(":")
        query = urllib.parse.urlencode({"fromSrc": "-", "repo": repository, "tag": tag, "changes": f"ENV PATH={path}"})
        self.must("POST", f"/images/create?{query}", tree, _TAR)

    def build(self, tag, dockerfile, files):
        """Builds one of a context with these files, by name, and the Dockerfile."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            for name, data in {"Dockerfile": dockerfile.encode(), **files}.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        self.must("POST", f"/build?t={tag}", content.getvalue(), _TAR)

    def tag(self, image, repository, tag):
        self.must("POST", f"/images/{image}/tag?repo={repository}&tag={tag}")

    def push(self, repository, tag):
        """To a registry that wants no credentials."""
        self.must("POST", f"/images/{repository}/push?tag={tag}", headers={"X-Registry-Auth": "e30="})

    def remove_image(self, name):
        """Takes the name away, and the image with its last one."""
        self.must("DELETE", f"/images/{name}?force=1")
