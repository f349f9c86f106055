"""What builds of environments leave behind, nest without end, or never finish harms their own users alone."""

import os
import stat
import time
from pathlib import Path

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

# A file with many names, links that lead out of the cache, and names that are no names.
FILL = """
def payload(found):
    fat = os.path.join(os.environ['CACHE'], 'fat')
    os.makedirs(fat); os.chdir(fat)
    open('file', 'wb').write(os.urandom(1 << 20) * 32)
    for n in range(100): os.link('file', 'link%d' % n)
    os.symlink({outside!r}, 'outside'); os.symlink('/', 'root')
    open(b'\\xff\\n', 'w').close()
    for n in range(60): os.mkdir('d'); os.chdir('d')
    os.chmod('.', 0)
    os.chdir(os.environ['TMPDIR'])
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
        time.sleep(0.2)  # in which it might be written to, of which there is no other sign
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

    # --- what builds download

    def downloads_of(self, who):
        return Path(self.agent.state) / "environments/cache" / str(who.uid)

    def given_back(self, *arguments):
        """The items of `berth gc` that are downloads, in order."""
        report = self.agent.berth_json("gc", *arguments)
        return [item for item in report["items"] if item["kind"] == "downloads"]

    def kept_of_downloads(self):
        return self.agent.get("/v1/status")["disk"]["kept"]["downloads"]

    def own_package(self, name, code):
        """That the attacker alone points to, so that its build has his cache."""
        make_sdist(self.own, name, "1.0", code)
        return f"--find-links {self.own}", f"{name}==1.0"

    def test_what_builds_of_a_user_have_downloaded_counts_and_is_given_back_and_the_next_build_works(self):
        self.start("share_environments: false")
        kept = self.file_outside()
        fat = self.own_package("fat", FILL.format(outside=str(kept)))
        self.assertIsInstance(self.build(self.attacker, *fat), str)
        self.assertIsInstance(self.build(self.victim, "goodpkg==1.0"), str)
        eventually(lambda: self.kept_of_downloads() > 30 << 20, "they are counted")
        self.assertIn("downloads", self.agent.berth("status").out)
        self.assertIn("Created wheel for goodpkg", self.log_of_build(self.victim, "goodpkg==1.0"))

        slow = self.own_package("slow", "def payload(found):\n  while not os.path.exists(os.environ['CACHE'] + '/go'): time.sleep(0.05)")
        job = self.job_of(self.attacker, "true", environment=self.requirements(*slow))
        eventually(lambda: any(one["running"] for one in self.building(self.attacker)), "a build uses the attacker's", 60)
        items = self.given_back("--free", "100GiB", "--dry-run")
        self.assertEqual([item["what"] for item in items], [f"downloads of {self.victim.name}"])
        (self.downloads_of(self.attacker) / "go").touch()
        self.assertEqual(self.agent.wait(job, 120)["state"], "Completed")

        items = self.given_back("--dry-run")  # the least recently used first
        self.assertEqual([item["what"] for item in items], [f"downloads of {one.name}" for one in (self.victim, self.attacker)])
        self.assertGreater(items[1]["bytes"], 30 << 20)
        self.assertLess(items[1]["bytes"], 60 << 20)  # a file with a hundred names is one
        self.assertEqual(self.given_back(), items)
        self.assertFalse(self.downloads_of(self.attacker).exists() or self.downloads_of(self.victim).exists())
        self.assertEqual(list((Path(self.agent.state) / "environments/cache").iterdir()), [])
        self.assertEqual(kept.read_text(), "kept")
        eventually(lambda: self.kept_of_downloads() == 0, "nothing is kept")
        self.assertEqual(self.given_back("--free", "100GiB", "--dry-run"), [])
        self.assertEqual(self.module(self.attacker, "goodpkg", "goodpkg==1.0")[0], "the genuine goodpkg")
        self.assertEqual(self.module(self.victim, "goodpkg", "goodpkg==1.0", "--only-binary :none:")[0], "the genuine goodpkg")

    def file_outside(self):
        kept = self.directory("outside", kept="kept") / "kept"
        kept.chmod(0o666)
        return kept

    def log_of_build(self, who, *lines):
        digest = self.build(who, *lines)
        return self.agent.berth("env", "log", digest[:12]).out

    def test_downloads_go_before_environments_and_no_more_than_is_needed(self):
        self.start("share_environments: false")
        self.assertIsInstance(self.build(self.attacker, *self.own_package("fat", FILL.format(outside=str(self.place)))), str)
        self.assertIsInstance(self.build(self.victim, "goodpkg==1.0"), str)
        eventually(lambda: self.kept_of_downloads() > 30 << 20, "they are counted")
        budget = self.agent.get("/v1/status")["disk"]["kept_bytes"] - (5 << 20)
        self.agent.stop()
        self.agent.configure(f"group: {self.people.group}\n{self.config}\ndisk_budget: {budget}\nkeep_at_least: 0s")
        self.agent.start()
        self.assertEqual(self.agent.wait(self.script_of(self.victim, "true"), 60)["state"], "Completed")
        eventually(lambda: not self.downloads_of(self.attacker).exists(), "the disk manager has given them back", 60)
        self.assertTrue(self.downloads_of(self.victim).exists())
        self.assertEqual(len(self.agent.get("/v1/environments")["environments"]), 2)

    def test_downloads_of_who_is_gone_go(self):
        self.start("share_environments: false")
        self.assertIsInstance(self.build(self.attacker, "goodpkg==1.0"), str)
        self.agent.stop()
        gone = self.attacker._replace(uid=1_899_999_999)
        self.downloads_of(self.attacker).rename(self.downloads_of(gone))
        self.agent.start()
        items = self.given_back("--dry-run")
        self.assertEqual([(item["what"], item["why"]) for item in items],
                         [(f"downloads of {gone.uid}", "its user's account is gone")])
        self.given_back()
        self.assertFalse(self.downloads_of(gone).exists())
        self.assertEqual(self.module(self.attacker, "goodpkg", "goodpkg==1.0", "--only-binary :none:")[0], "the genuine goodpkg")

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
