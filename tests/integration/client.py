"""HTTP/1.1 to an agent's unix socket, and the same as another user."""

import http.client
import json
import os
import pickle
import socket
import urllib.parse
from contextlib import contextmanager


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Refused(Exception):
    """The agent answered with an error."""

    def __init__(self, answer):
        super().__init__(answer)
        self.answer = answer
        self.status = answer.status


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("berth", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """One connection per request, so that an agent that is killed meanwhile costs one request."""

    def __init__(self, socket_path, timeout=60):
        self.socket_path = socket_path
        self.timeout = timeout

    def request(self, method, path, body=None, headers=None, **query):
        """The answer, whatever its status."""
        connection = UnixConnection(self.socket_path, self.timeout)
        try:
            headers = dict(headers or {})
            if body is not None and not isinstance(body, (bytes, bytearray)):
                body = json.dumps(body).encode()
                headers.setdefault("Content-Type", "application/json")
            try:
                connection.request(method, with_query(path, query), body, headers)
            except BrokenPipeError:
                pass  # refused before all of it was sent: the answer is there
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path, **query):
        """The body of a successful answer, as JSON where it is JSON."""
        return self._checked(self.request("GET", path, **query))

    def post(self, path, body=None, **query):
        return self._checked(self.request("POST", path, {} if body is None else body, **query))

    @contextmanager
    def stream(self, path, headers=None, **query):
        """The response of a body that may go on for long; closing it ends the request."""
        connection = UnixConnection(self.socket_path, self.timeout)
        try:
            connection.request("GET", with_query(path, query), headers=headers or {})
            response = connection.getresponse()
            if response.status >= 400:
                raise Refused(Answer(response.status, response.headers, response.read()))
            yield response
        finally:
            connection.close()

    @staticmethod
    def _checked(answer):
        if answer.status >= 400:
            raise Refused(answer)
        if answer.headers.get("Content-Type", "").startswith("application/json"):
            return answer.json
        return answer.body


def with_query(path, query):
    wanted = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
    return path + ("?" + urllib.parse.urlencode(wanted) if wanted else "")


def raw(socket_path, sent, timeout=30, read=True):
    """Sends the bytes as they are; what comes back until the peer closes or nothing comes for `timeout`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(timeout)
        peer.connect(socket_path)
        try:
            peer.sendall(sent)
        except OSError:  # it answered and closed before it had read all
            pass
        return receive(peer) if read else b""


def receive(peer):
    received = b""
    try:
        while chunk := peer.recv(65536):
            received += chunk
    except OSError:
        pass
    return received


def as_user(family, identity, function, *arguments):
    """What function(*arguments) gives or throws in a child that runs as `identity`: its uid, gid and, where it has
    them, `groups`."""
    reader, writer = os.pipe()
    with family.lock:
        pid = os.fork()
        if pid:
            family.own[pid] = None
    if pid == 0:
        os.close(reader)
        outcome = _in_child(identity, function, arguments)
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(outcome)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        content = pipe.read()
    os.waitpid(pid, 0)
    with family.lock:
        del family.own[pid]
    succeeded, result = pickle.loads(content)
    if not succeeded:
        raise result
    return result


def _in_child(identity, function, arguments):
    try:
        os.setgroups(getattr(identity, "groups", []))
        os.setgid(identity.gid)
        os.setuid(identity.uid)
        return pickle.dumps((True, function(*arguments)))
    except BaseException as failure:  # the parent raises it
        try:
            return pickle.dumps((False, failure))
        except Exception:
            return pickle.dumps((False, AssertionError(repr(failure))))
