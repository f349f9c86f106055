"""Builds of environments run code that nobody trusts: it sees nothing of others, and nobody else runs what it wrote."""

import json
import os
import socket
from pathlib import Path

from builds import BuildsCase, make_sdist
from hostile import BUILD_UIDS, HostileTest, eventually, main
from pages import Page

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


class BuildsTest(BuildsCase):
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
        self.assertIn(found["uid"], BUILD_UIDS, found)
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
        self.index = Page(packages, "victim:SECRET-OF-VICTIM")
        self.index.open.set()
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


if __name__ == "__main__":
    main()
