"""What builds of environments leave behind, nest without end, or never finish harms their own users alone."""

import os
import stat
import time

from builds import BuildsCase, make_sdist
from hostile import eventually, main

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
    for n in range(5000): os.mkdir('d'); os.chdir('d')
"""


# Puts in place of the environment's interpreter what tells a result.json of its own, with `lock` in it.
TELL = """
def payload(found):
    programs = os.environ['PREFIX'] + '/bin/'
    python = os.path.realpath(programs + 'python')
    os.unlink(programs + 'python')
    with open(programs + 'python', 'w') as file: file.write('''#!/bin/sh
case "$*" in *describe.py*) exec %s - <<'EOF'
import os
prefix = os.environ['PREFIX']
with open('result.json', 'w') as file:
    file.write('{{"interpreter": "' + prefix + '/bin/python", "path_prefix": "' + prefix + '/bin", "variables": {{}}, ')
    file.write('"python_version": "3.11", "packages": [' + {packages} + '], "lock": ' + {lock} + '}}')
EOF
;; esac
exec %s "$@"
''' % (python, programs + 'python3'))
    os.chmod(programs + 'python', 0o755)
"""


class BuildsLeftoversTest(BuildsCase):
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

    def test_a_result_that_nobody_can_read_fails_its_own_build(self):
        """Deep, wide, huge, cut: whatever it is, the agent goes on, as does the next one."""
        self.start()
        pid = self.agent.pid
        text = "chr(34) + 'x' * 2000000 + chr(34)"
        results = {
            "deep": ("'[' * 2000000 + ']' * 2000000", "''", "nested too deeply"),
            "unended": ("'[' * 4000000", "''", "nested too deeply"),
            "wide": ("'[' + '[],' * 2000000 + '[]]'", "''", "more values"),
            "long": ("'[' + '[],' * 20000000 + '[]]'", "''", "larger than 8.0 MiB"),
            "text": (text, "''", "lock is larger than 1 MiB"),
            "packages": ("'[]'", text, "without its lock"),
            "cut": ("'[1'", "''", "malformed JSON"),
        }
        for name, (lock, packages, words) in results.items():
            with self.subTest(name):
                make_sdist(self.packages, f"told{name}", "1.0", TELL.format(lock=lock, packages=packages))
                error = self.build(self.attacker, f"told{name}==1.0")
                self.assertIsInstance(error, dict, error)
                self.assertIn(words, error["message"] + " ".join(error["context"]))
                self.assertTrue(self.agent.is_running())
        self.assertEqual(self.agent.pid, pid)
        self.agent.kill()
        self.agent.start()
        eventually(lambda: self.agent.building() == [], "nothing of it is left")
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
