"""README and guide, taken at their word: the commands as they stand, in the order of the page, by an ordinary user in a
fresh environment, print what the page shows. page_commands.py has the rules of the comparison."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import processes
from harness import BIN, ROOT, copy_programs
import page_commands as pages
from terminal import Terminal

README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "packaging/doc/guide.md").read_text()
NOBODY = 65534
INDEX = os.environ.get("BERTH_TEST_PACKAGE_INDEX")


class TourTest(unittest.TestCase):
    """As after an installation: programs on the PATH, the example below /usr/share/berth."""

    def setUp(self):
        self.place = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        os.chmod(self.place, 0o755)
        programs = copy_programs(self.place)
        self.home = self.place / "home"
        self.home.mkdir()
        os.chown(self.home, NOBODY, NOBODY)
        shutil.copytree(ROOT / "packaging/examples", self.place / "share/berth/examples")
        self.environment = {"HOME": str(self.home), "PATH": f"{programs}:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}
        if INDEX:
            self.environment["PIP_INDEX_URL"] = self.environment["UV_INDEX_URL"] = INDEX

    def terminal(self):
        # A file system of the test's own, in which the example is where the package puts it.
        script = ('mount -t overlay -o "lowerdir=$0/share:/usr/share" berth-test /usr/share && '
                  f'exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "$@"')
        terminal = Terminal(["unshare", "--mount", "sh", "-c", script, str(self.place)], self.environment, self.home)
        self.addCleanup(self.clear, terminal)
        return terminal

    def clear(self, terminal):
        for pid in processes.about(f"{self.place}/"):
            processes.kill(pid)
        terminal.close()

    @unittest.skipUnless(os.geteuid() == 0, "SKIPPED: to be another user needs root")
    @unittest.skipUnless(INDEX, "SKIPPED: no package index, BERTH_TEST_PACKAGE_INDEX")
    @unittest.skipUnless(shutil.which("git"), "SKIPPED: git is not installed")
    def test_the_tour_prints_what_the_page_shows(self):
        commands = pages.commands_of(README, "Two minutes")
        self.assertGreater(len(commands), 10, "the page has a tour")
        terminal = self.terminal()
        self.assertEqual("\n".join(pages.walk(README, "Two minutes", terminal, "nobody")), "")
        self.ask_as_the_page_does(terminal)
        self.compare_events(terminal)

    def ask_as_the_page_does(self, terminal):
        """What README says about curl, and where it says that the log is."""
        if shutil.which("curl"):
            for command in re.findall(r"^    (curl .*?)(?: +#.*)?$", README, re.M):
                answer = terminal.run(f"{command} --silent --fail; echo; echo code $?", 30)
                self.assertIn("code 0", answer)
                self.assertRegex(answer, r'"version"|berth_')
        self.assertIn("agent ready", terminal.run("cat ~/.local/state/berth/berthd.log", 30))
        self.assertIn("(your own agent", terminal.run("berth status", 30))

    def compare_events(self, terminal):
        """The guide shows the whole life of a job."""
        shown = re.search(r"((?:^    \d{4}-\d\d-\d\d .*\n)+)", GUIDE, re.M)[1]
        shown = "".join(row.removeprefix("    ") + "\n" for row in shown.splitlines())
        printed = terminal.run("berth events | grep $(berth ps -a --json | grep -o '\"id\": *\"[^\"]*\"' | tail -n 1 | cut -d '\"' -f 4)", 30)
        printed = pages.normalised(printed, "nobody")
        rows = iter(printed.splitlines())
        missing = [row for row in pages.normalised(shown, "ada").splitlines() if row not in rows]
        self.assertEqual(missing, [], printed)


class CommandsTest(unittest.TestCase):
    """Every command line of the pages is one that the program takes."""

    @classmethod
    def setUpClass(cls):
        told = subprocess.run([BIN / "berth", "__describe"], capture_output=True, text=True, check=True, timeout=30).stdout
        cls.verbs = {verb["name"]: set(re.findall(r"--?[a-z][a-z-]*", json.dumps(verb)))
                     for verb in json.loads(told)["verbs"]}

    def lines(self):
        for name, page in (("README.md", README), ("guide.md", GUIDE)):
            for line in re.findall(r"^    (?:\$ )?(berth [a-z].*)$", page, re.M) + re.findall(r"`(berth [a-z][^`]*)`", page):
                for command in line.split("#")[0].split(";"):
                    if command.strip().startswith("berth "):
                        yield name, command.strip()

    def test_verbs_and_options_exist(self):
        seen = 0
        for name, command in self.lines():
            verbs, *rest = command.removeprefix("berth ").split(" -- ")[0].split(None, 1)
            options = re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", rest[0] if rest else "")
            for verb in verbs.split("|"):
                seen += 1
                with self.subTest(page=name, command=command):
                    self.assertIn(verb, self.verbs)
                    self.assertEqual([option for option in options if option not in self.verbs[verb]], [])
        self.assertGreater(seen, 20)


class RulesTest(unittest.TestCase):
    """The comparison sees what is wrong."""

    def test_only_what_changes_from_run_to_run_is_overlooked(self):
        told = pages.normalised("brave-heron-7k2m  Running  ada  1 second\n", "ada")
        self.assertEqual(told, pages.normalised("calm-otter-2xyz   Running   bob   12 seconds\n[1]+  Killed   x\n", "bob"))
        self.assertNotEqual(told, pages.normalised("calm-otter-2xyz  Queued  bob  12 seconds\n", "bob"))
        self.assertNotEqual(pages.normalised("loss 1.9194", "ada"), pages.normalised("loss 1.9195", "ada"))

    def test_a_shortened_page_may_leave_out_and_nothing_else(self):
        printed = "a\nb\nc\n"
        self.assertEqual(pages.difference("berth show @last", "a\nc\n", printed), "")
        self.assertNotEqual(pages.difference("berth show @last", "c\na\n", printed), "")
        self.assertNotEqual(pages.difference("berth ps", "a\nc\n", printed), "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
