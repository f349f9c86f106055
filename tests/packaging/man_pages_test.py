"""The man pages, made with the programs under test, are complete and without a mistake that mandoc would find."""

import gzip
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import harness
from harness import BIN, ROOT

SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"]


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


class ManPagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as directory:
            output_of(sys.executable, "-B", str(ROOT / "packaging/make_documents.py"), "--out", directory, "--version",
                      "1.2", "--maintainer", "Nobody <nobody@example.org>", "--berth", str(BIN / "berth"), "--berthd",
                      str(BIN / "berthd"))
            cls.pages = {path.stem: gzip.decompress(path.read_bytes()).decode()
                         for path in Path(directory).glob("man/*/*.gz")}
            cls.changelog = gzip.decompress((Path(directory) / "changelog.Debian.gz").read_bytes()).decode()

    def verbs(self):
        listed = re.search(r"^Verbs:\n(.*?)\n\n", output_of(str(BIN / "berth"), "--help"), re.M | re.S).group(1)
        return re.findall(r"^  (\S+)", listed, re.M)

    def test_every_program_and_verb_has_a_page(self):
        wanted = {"berth.1", "berthd.8", "berth-shim.8", "berthd.yaml.5", *(f"berth-{verb}.1" for verb in self.verbs())}
        self.assertEqual(set(self.pages), wanted)

    def test_every_page_of_a_verb_tells_all_its_options(self):
        for verb in self.verbs():
            with self.subTest(verb):
                page = self.pages[f"berth-{verb}.1"].replace("\\-", "-")
                headings = [heading for heading in re.findall(r'^\.SH "?(.*?)"?$', page, re.M) if heading in SECTIONS]
                self.assertEqual(headings, SECTIONS)
                told = output_of(str(BIN / "berth"), verb, "--help")
                for option in re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", told, re.M):
                    self.assertIn(f"\\fB{option}\\fR", page)

    def test_the_page_of_the_configuration_has_every_key(self):
        for key in re.findall(r"^#([a-z_]+): ", (ROOT / "packaging/etc/berthd.yaml").read_text(), re.M):
            self.assertIn(f".TP\n\\fB{key}\\fR\n", self.pages["berthd.yaml.5"])

    @unittest.skipIf(shutil.which("mandoc") is None, "mandoc is not installed: `packaging/setup test` does it")
    def test_mandoc_finds_no_mistake(self):
        for name, page in self.pages.items():
            with self.subTest(name):
                said = subprocess.run(["mandoc", "-T", "lint", "-W", "warning"], input=page, capture_output=True,
                                      text=True, timeout=60)
                self.assertEqual(said.stdout + said.stderr, "")

    def test_nothing_of_the_templates_is_left(self):
        for name, page in self.pages.items():
            self.assertNotRegex(page, r"@[A-Z]+@", name)

    def test_the_changelog_is_debians(self):
        parsed = subprocess.run(["dpkg-parsechangelog", "-l-"], input=self.changelog, capture_output=True, text=True,
                                timeout=60, check=True)
        self.assertEqual(parsed.stderr, "")
        self.assertIn("Version: 1.2-1\n", parsed.stdout)


if __name__ == "__main__":
    harness.main()
