"""Builds of environments run code that nobody trusts: it sees nothing of others, and nobody else runs what it wrote.

Real pip and real sdists, whose build backends attack and put what they found into the module that they build."""

import base64
import http.server
import io
import json
import os
import socket
import stat
import tarfile
import threading
import time
from pathlib import Path

from hostile import HostileTest, eventually, main

FIRST_UID, LAST_UID = 1900000000, 1900004095

BACKEND = """
import json, os, subprocess, sys, time, zipfile
{code}
def build_wheel(d, config_settings=None, metadata_directory=None):
    found = {{}}
    try: payload(found)
    except BaseException as e: found['failed'] = repr(e)
    n = '{name}-{version}-py3-none-any.whl'
    with zipfile.ZipFile(d + '/' + n, 'w') as z:
        z.writestr('{name}.py', 'import json\\nWHO = "the genuine {name}"\\nFOUND = json.loads(%r)\\n' % json.dumps(found))
        z.writestr('{name}-{version}.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n')
        z.writestr('{name}-{version}.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
        z.writestr('{name}-{version}.dist-info/RECORD', '')
    return n
"""

# What is within reach of a build.
LOOK_AROUND = """
def reachable(path):
    try: return sorted(os.listdir(path))
    except OSError: return []
def tells(action):
    try: action(); return True
    except OSError: return False
def connects(address):
    import socket
    with socket.socket(socket.AF_UNIX) as s: s.connect(address)
def payload(found):
    p = {places!r}
    found['uid'] = os.getuid()
    found['files'] = {{path: reachable(path) for path in p['directories']}}
    found['read'] = [path for path in p['files'] if tells(lambda: open(path).read())]
    found['sockets'] = [a for a in p['sockets'] if tells(lambda: connects(a))]
    found['processes'] = [pid for pid in os.listdir('/proc') if pid.isdigit()]
    found['killed'] = tells(lambda: os.kill({pid}, 0))
    found['caps'] = [l.split()[1] for l in open('/proc/self/status') if l.startswith(('CapEff', 'CapPrm', 'CapBnd')) and int(l.split()[1], 16)]
    found['privileges'] = [l.split()[1] for l in open('/proc/self/status') if l.startswith('NoNewPrivs')]
    found['state'] = reachable({state!r} + '/environments')
    found['wrote'] = [d for d in ('/usr', '/etc', '/opt', {state!r}, {state!r} + '/environments', '/') if tells(lambda: open(d + '/evil', 'w'))]
    open('/dev/shm/berth-evil', 'w').write('x'); open('/tmp/berth-evil', 'w').write('x')
"""

# Puts a wheel in the place of another package's, wherever pip would look for what it has built.
POISON = """
def payload(found):
    import hashlib
    url = 'file://' + {source!r}
    for version in ('310', '311', '312', '313'):
        key = {{"url": url, "interpreter_name": "cp", "interpreter_version": version}}
        h = hashlib.sha224(json.dumps(key, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")).hexdigest()
        d = os.path.join(os.environ['PIP_CACHE_DIR'], 'wheels', h[:2], h[2:4], h[4:6], h[6:])
        os.makedirs(d, exist_ok=True)
        with zipfile.ZipFile(d + '/goodpkg-1.0-py3-none-any.whl', 'w') as z:
            z.writestr('goodpkg.py', 'WHO = "POISONED"\\n')
            z.writestr('goodpkg-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: goodpkg\\nVersion: 1.0\\n')
            z.writestr('goodpkg-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
            z.writestr('goodpkg-1.0.dist-info/RECORD', '')
    found['wrote'] = os.environ['PIP_CACHE_DIR']
"""

# Leaves in its prefix what it shall not leave there, and somebody to go on.
LEAVE_BEHIND = """
def payload(found):
    site = os.path.join(os.environ['PREFIX'], 'left')
    os.makedirs(site)
    subprocess.run(['cp', '/bin/sh', site + '/shell'], check=True); os.chmod(site + '/shell', 0o6755)
    open(site + '/linked', 'w').write('first'); os.chmod(site + '/linked', 0o666)
    for n, place in enumerate((os.environ['CACHE'], os.environ['HOME'], os.environ['TMPDIR'])):
        try: os.link(site + '/linked', place + '/link%d' % n)
        except OSError: open(place + '/kept%d' % n, 'w').close(); 
        try: os.link(place + '/kept%d' % n, site + '/kept%d' % n)
        except OSError: pass
    os.mkdir(site + '/open'); os.chmod(site + '/open', 0o7777)
    os.mkfifo(site + '/pipe')
    import socket
    s = socket.socket(socket.AF_UNIX); os.chdir(site); s.bind('socket')
    os.symlink('/etc/shadow', site + '/symlink')
    if os.fork() == 0:
        os.setsid()
        for fd in range(64):
            try: os.close(fd)
            except OSError: pass
        if os.fork() == 0:
            import signal
            for n in range(1, 32):
                try: signal.signal(n, signal.SIG_IGN)
                except (OSError, ValueError): pass
            end = time.time() + 60
            while time.time() < end:
                try: open(site + '/linked', 'a').write('EVIL')
                except OSError: pass
                time.sleep(0.01)
        os._exit(0)
"""

DEEP = """
def payload(found):
    os.chdir(os.environ['PREFIX'])
    for n in range(30000): os.mkdir('d'); os.chdir('d')
"""

SPY = """
def payload(found):
    import glob
    end = time.time() + 4
    found['read'] = []
    while time.time() < end:
        for f in glob.glob({state!r} + '/environments/*/work/*') + glob.glob({state!r} + '/environments/*/work/.netrc') + \\
                 glob.glob('/proc/*/environ') + glob.glob({state!r} + '/environments/*/made/prefix/lib/python3*/site-packages/*'):
            if f.startswith(os.environ['HOME']) or f.startswith(os.environ['PREFIX']): continue
            try: text = open(f).read()
            except OSError: continue
            if 'SECRET-OF-VICTIM' in text or 'site-packages' in f: found['read'].append(f)
        time.sleep(0.02)
"""


def make_sdist(directory, name, version, code="def payload(found): pass"):
    """Of a package whose backend runs payload(found) before it builds."""
    path = directory / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        def add(file, text):
            info = tarfile.TarInfo(f"{name}-{version}/{file}")
            info.size, info.mode = len(text.encode()), 0o644
            archive.addfile(info, io.BytesIO(text.encode()))
        add("PKG-INFO", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        add("pyproject.toml", '[build-system]\nrequires=[]\nbuild-backend="be"\nbackend-path=["."]\n')
        add("be.py", BACKEND.format(name=name, version=version, code=code))
    path.chmod(0o644)
    return path


class Index:
    """A simple index that wants a login; what it has is served while `open` is set."""

    def __init__(self, directory, login):
        self.open, self.asked, self.closing = threading.Event(), threading.Event(), False
        self.open.set()
        wanted = "Basic " + base64.b64encode(login.encode()).decode()
        index = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(directory))

            def do_GET(self):
                if self.headers.get("Authorization") != wanted:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="x"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                index.asked.set()
                while not index.open.wait(0.05):
                    if index.closing:
                        return
                super().do_GET()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that has gone
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.host = f"127.0.0.1:{self.server.server_port}"

    def close(self):
        self.closing = True
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class BuildsTest(HostileTest):
    def setUp(self):
        super().setUp()
        self.place.chmod(0o755)
        self.packages = self.directory("packages")  # everybody's, as an index is
        self.own = self.directory("own")            # what the attacker alone points to
        for path in (self.packages, self.own):
            path.chmod(0o755)
        self.good = make_sdist(self.packages, "goodpkg", "1.0")
        self.index = None
        self.threads = []

    def dismantle(self):
        if self.index:
            self.index.close()
        for thread in self.threads:
            thread.join(60)

    def start(self, config="", **options):
        return super().start(f"uv: ''\nfind_links: [{self.packages}]\noffline: true\n{config}", **options)

    # --- environments

    def requirements(self, *lines):
        return {"kind": "venv", "file": "requirements.txt", "files": {"requirements.txt": "".join(f"{line}\n" for line in lines)}}

    def build(self, who, *lines):
        """The digest of an environment that is built for `who`, or the error."""
        last = self.request(who, "POST", "/v1/environments", self.requirements(*lines), timeout=120).body.splitlines()[-1]
        answer = json.loads(last)
        return answer["environment"]["digest"] if "environment" in answer else answer["error"]

    def background(self, who, *lines):
        results = []
        thread = threading.Thread(target=lambda: results.append(self.build(who, *lines)))
        thread.start()
        self.threads.append(thread)
        return results

    def module(self, who, package, *lines, expect="Completed"):
        """WHO and FOUND of a package, as a job of `who` in that environment sees them."""
        job = self.job_of(who, "python", "-c", f"import json, {package} as p; print(json.dumps([p.WHO, getattr(p, 'FOUND', None)]))",
                          environment=self.requirements(*lines))
        ended = self.agent.wait(job, 120)
        self.assertEqual(ended["state"], expect, ended.get("ending_words"))
        return json.loads(self.ask(who, "GET", f"/v1/jobs/{job}/log"))

    def prefix(self, digest):
        return Path(self.agent.state) / "environments" / digest / "made/prefix"

    def digests(self, who):
        return {one["digest"] for one in self.ask(who, "GET", "/v1/environments")["environments"]}

    def building(self, who):
        """The builds that are shown to `who`."""
        return self.ask(who, "GET", "/v1/environments")["building"]

    def processes_of_builds(self):
        return [entry for entry in os.listdir("/proc") if entry.isdigit() and self.is_builds(entry)]

    def is_builds(self, pid):
        try:
            return FIRST_UID <= os.stat(f"/proc/{pid}").st_uid <= LAST_UID
        except OSError:
            return False

    # --- what a build sees

    def test_a_build_sees_its_own_directory_and_nothing_else(self):
        self.start()
        secret = Path(self.victim.home) / "secret"
        secret.write_text("x")
        (self.drop / "mark").write_text("x")
        outside = socket.socket(socket.AF_UNIX)
        outside.bind(str(self.drop / "socket"))
        os.chmod(self.drop / "socket", 0o777)
        outside.listen()
        self.addCleanup(outside.close)
        places = {"directories": ["/home", "/root", "/run", "/var/lib", str(self.drop), str(self.place / "work"), "/var/run"],
                  "files": [str(secret), str(self.drop / "mark"), "/etc/shadow", f"/proc/{os.getpid()}/environ"],
                  "sockets": [self.agent.socket_path, str(self.drop / "socket"), "/run/docker.sock", "/run/dbus/system_bus_socket"]}
        make_sdist(self.packages, "looks", "1.0", LOOK_AROUND.format(places=places, pid=os.getpid(), state=str(self.agent.state)))
        found = self.module(self.attacker, "looks", "looks==1.0", f"--find-links {self.own}")[1]
        self.assertNotIn("failed", found)
        self.assertTrue(FIRST_UID <= found["uid"] <= LAST_UID, found)
        self.assertEqual({path: names for path, names in found["files"].items() if names}, {}, found)
        self.assertEqual((found["read"], found["sockets"], found["killed"], found["caps"], found["wrote"]), ([], [], False, [], []))
        self.assertEqual(found["privileges"], ["1"])
        self.assertLess(len(found["processes"]), 12)
        self.assertLessEqual(len(found["state"]), 2)  # its own, and its cache
        self.assertFalse(os.path.exists("/dev/shm/berth-evil") or os.path.exists("/tmp/berth-evil"))

    def test_a_users_own_agent_hides_the_user_from_builds_too(self):
        (self.drop / "mark").write_text("x")
        self.agent = self.start_agent(config=f"uv: ''\nfind_links: [{self.packages}]\noffline: true")
        places = {"directories": ["/home", "/root", "/run", str(self.drop)], "files": [str(self.drop / "mark"), f"/proc/{os.getpid()}/environ"],
                  "sockets": [self.agent.socket_path]}
        make_sdist(self.packages, "looks", "1.0", LOOK_AROUND.format(places=places, pid=os.getpid(), state=str(self.agent.state)))
        job = self.agent.submit("python", "-c", "import json, looks; print(json.dumps(looks.FOUND))",
                                environment=self.requirements("looks==1.0"))
        ended = self.agent.wait(job, 120)
        self.assertEqual(ended["state"], "Completed", ended.get("ending_words"))
        found = json.loads(self.agent.log_of(job))
        self.assertNotIn("failed", found)
        self.assertEqual({path: names for path, names in found["files"].items() if names}, {}, found)
        self.assertEqual((found["read"], found["sockets"], found["killed"], found["caps"]), ([], [], False, []))

    def test_a_password_and_a_half_made_environment_are_not_within_reach_of_other_builds(self):
        packages = self.directory("private")
        make_sdist(packages, "ours", "1.0")
        simple = packages / "simple/ours"
        simple.mkdir(parents=True)
        (packages / "ours-1.0.tar.gz").rename(simple / "ours-1.0.tar.gz")
        self.index = Index(packages, "victim:SECRET-OF-VICTIM")
        HostileTest.start(self, "uv: ''")  # its own index, and nothing else
        make_sdist(self.packages, "spy", "1.0", SPY.format(state=str(self.agent.state)))
        private = [f"--index-url http://victim:SECRET-OF-VICTIM@{self.index.host}/simple/", "ours==1.0"]
        self.index.open.clear()
        built = self.background(self.victim, *private)
        self.assertTrue(self.index.asked.wait(60))
        self.assertEqual(len(self.building(self.victim)), 1)
        self.assertEqual(self.agent.building(), self.building(self.victim))
        self.assertEqual((self.building(self.attacker), self.building(self.third)), ([], []))
        found = self.module(self.attacker, "spy", "spy==1.0", f"--find-links {self.packages}", f"--find-links {self.own}", "--no-index")[1]
        self.assertEqual(found, {"read": []})
        self.index.open.set()
        eventually(lambda: built, "the victim's is built", 60)
        digest = built[0]
        self.assertIsInstance(digest, str, built)
        # It is the victim's alone, over the API and in the file system.
        self.assertIn(digest, self.digests(self.victim))
        for who in (self.attacker, self.third):
            self.assertNotIn(digest, self.digests(who))
            self.refused(404, who, "GET", f"/v1/environments/{digest}")
            self.refused(404, who, "GET", f"/v1/environments/{digest}/log")
            for path in ("", "made/prefix/bin", "ready.json", "build/log"):
                done = self.run_as(who, "ls", f"{self.agent.state}/environments/{digest}/{path}", expect=None)
                self.assertNotEqual(done.returncode, 0, path)
            self.assertNotEqual(self.run_as(who, "ls", f"{self.agent.state}/environments", expect=None).returncode, 0)
        self.run_as(self.victim, "ls", f"{self.agent.state}/environments/{digest}/made/prefix/bin")
        self.assertEqual(self.module(self.victim, "ours", *private)[0], "the genuine ours")
        log = self.ask(self.victim, "GET", f"/v1/environments/{digest}/log")
        self.assertNotIn(b"SECRET-OF-VICTIM", log)
        # The index is asked again for who asks.
        self.index.asked.clear()
        refused = self.build(self.attacker, f"--index-url http://victim:guess@{self.index.host}/simple/", "ours==1.0")
        self.assertIsInstance(refused, dict, refused)
        self.assertFalse(self.index.asked.is_set())
        other = self.build(self.third, *private)
        self.assertNotEqual(other, digest)
        self.assertTrue(self.index.asked.is_set())

    # --- what others run

    def test_a_planted_wheel_reaches_nobody_else(self):
        self.start()
        evil = POISON.format(source=str(self.good))
        make_sdist(self.packages, "evil", "1.0", evil)
        make_sdist(self.own, "evilown", "1.0", evil)
        self.assertIn("wrote", self.module(self.attacker, "evil", "evil==1.0")[1])
        self.assertIn("wrote", self.module(self.attacker, "evilown", "evilown==1.0", f"--find-links {self.own}")[1])
        # Also not by way of an environment for all that the attacker is the first to ask for.
        shared = self.build(self.attacker, "goodpkg==1.0")
        self.assertEqual(self.module(self.victim, "goodpkg", "goodpkg==1.0")[0], "the genuine goodpkg")
        self.assertEqual(self.build(self.victim, "goodpkg==1.0"), shared)
        own = self.module(self.victim, "goodpkg", "goodpkg==1.0", f"--find-links {self.own}")
        self.assertEqual(own[0], "the genuine goodpkg")
        self.assertNotEqual(self.run_as(self.attacker, "ls", f"{self.agent.state}/environments/cache", expect=None).returncode, 0)

    def test_what_somebody_points_to_is_made_for_each_who_asks(self):
        self.start()
        make_sdist(self.own, "local", "1.0")
        lines = ["local==1.0", f"--find-links {self.own}"]
        digests = {self.build(who, *lines) for who in (self.attacker, self.victim)}
        self.assertEqual(len(digests), 2)
        self.assertEqual(len(digests & self.digests(self.victim)), 1)
        self.assertEqual(len(digests & self.digests(self.third)), 0)
        everything = {one["digest"] for one in self.agent.get("/v1/environments")["environments"]}
        self.assertLessEqual(digests, everything)

    def test_what_a_build_leaves_behind_is_harmless(self):
        self.start()
        make_sdist(self.packages, "leaves", "1.0", LEAVE_BEHIND)
        digest = self.build(self.attacker, "leaves==1.0")
        self.assertIsInstance(digest, str, digest)
        self.assertEqual(self.processes_of_builds(), [])
        left = self.prefix(digest) / "left"
        self.assertEqual(self.owners_and_rights(self.prefix(digest)), [])
        self.assertTrue((left / "symlink").is_symlink())
        self.assertFalse((left / "pipe").exists() or (left / "socket").exists())
        before = (left / "linked").read_bytes()
        time.sleep(0.2)
        self.assertEqual((left / "linked").read_bytes(), before)
        self.assertIn("the genuine leaves", self.module(self.victim, "leaves", "leaves==1.0")[0])

    @staticmethod
    def owners_and_rights(tree):
        """What is not root's alone to change."""
        wrong = []
        names = {}
        for directory, folders, files in os.walk(tree):
            for path in [directory, *(os.path.join(directory, name) for name in folders + files)]:
                info = os.lstat(path)
                if info.st_uid != 0 or (not stat.S_ISLNK(info.st_mode) and info.st_mode & 0o7022):
                    wrong.append((path, info.st_uid, oct(info.st_mode)))
                if stat.S_ISREG(info.st_mode):
                    names.setdefault((info.st_dev, info.st_ino), [info.st_nlink, set()])[1].add(path)
        return wrong + [paths for links, paths in names.values() if links != len(paths)]

    def test_directories_without_end_fail_their_own_build(self):
        self.start()
        make_sdist(self.packages, "deep", "1.0", DEEP)
        error = self.build(self.attacker, "deep==1.0")
        self.assertIsInstance(error, dict, error)
        self.assertIn("nested", error["message"])
        eventually(lambda: self.agent.building() == [], "it is over")
        self.assertEqual(self.module(self.victim, "goodpkg", "goodpkg==1.0")[0], "the genuine goodpkg")

    # --- turns

    def test_builds_that_hang_keep_nobody_out(self):
        self.start()
        for number in range(4):
            make_sdist(self.packages, f"hangs{number}", "1.0", "def payload(found): time.sleep(300)")
        jobs = [self.job_of(self.attacker, "true", environment=self.requirements(f"hangs{number}==1.0")) for number in range(4)]
        eventually(lambda: sum(one["running"] for one in self.building(self.attacker)) == 2, "two of them run", 60)
        # What others wait for is nobody else's business, even where it will be for all.
        self.assertEqual(len(self.agent.building()), 4)
        self.assertEqual(self.building(self.victim), [])
        self.assertEqual(self.module(self.victim, "goodpkg", "goodpkg==1.0")[0], "the genuine goodpkg")
        same = [self.background(self.third, "goodpkg==1.0", "--only-binary :none:") for _ in range(3)]
        eventually(lambda: all(same), "the third has it too", 60)
        self.assertEqual(len({one[0] for one in same}), 1)
        for job in jobs:
            self.ask(self.attacker, "POST", f"/v1/jobs/{job}/cancel", {})
        eventually(lambda: self.building(self.attacker) == [], "nobody waits for them")
        eventually(lambda: self.agent.building() == [], "they are over", 60)
        self.assertEqual(self.processes_of_builds(), [])


if __name__ == "__main__":
    main()
