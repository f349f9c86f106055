"""packaging/affected.py names the tests that a change may have broken: tried on a small build, made by hand."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = r"""add_test(a "{build}/bin/test_a")
add_test(b "{build}/bin/test_b")
add_test(patient "{build}/bin/test_patient")
set_tests_properties(patient PROPERTIES LABELS "threads;slow")
add_test(whole "{build}/bin/test_whole")
set_tests_properties(whole PROPERTIES LABELS "integration")
add_test(rules "/bin/true")
"""


class AffectedTest(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.tree, self.build = Path(place.name), Path(place.name) / "build"
        for folder in ("packaging", "tests/agent", "build/bin", "build/lib/berth"):
            (self.tree / folder).mkdir(parents=True)
        (self.tree / "packaging/affected.py").write_text((ROOT / "packaging/affected.py").read_text())
        subprocess.run(["git", "init", "-q", self.tree], check=True, timeout=60)
        (self.build / "CTestTestfile.cmake").write_text(TESTS.format(build=self.build))
        for name in ("a", "b", "patient", "whole"):
            self.write(f"build/bin/test_{name}", "#!/bin/sh\n", 0o755)
        self.write("build/lib/berth/berth-collect")
        self.write("tests/agent/data.json")
        self.write("tests/agent/a_test.cpp")

    def write(self, name, text="", mode=0o644):
        """As it was made a while ago."""
        (self.tree / name).write_text(text)
        (self.tree / name).chmod(mode)
        os.utime(self.tree / name, (1000, 1000))

    def ask(self, *arguments):
        done = subprocess.run([sys.executable, "-B", self.tree / "packaging/affected.py", self.build, self.tree / "passed",
                               *arguments], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.split()

    def run_tests(self):
        subprocess.run(["ctest", "--test-dir", self.build, "--output-junit", self.build / "report.xml"], capture_output=True,
                       timeout=60)
        self.ask("--ran", str(self.build / "report.xml"))

    def test_at_first_all_but_what_takes_long(self):
        self.assertEqual(self.ask(), ["a", "b", "rules"])

    def test_a_program_that_was_made_anew(self):
        self.run_tests()
        self.assertEqual(self.ask(), ["rules"])
        os.utime(self.build / "bin/test_b")
        self.assertEqual(self.ask(), ["b", "rules"])
        self.run_tests()
        self.assertEqual(self.ask(), ["rules"])

    def test_a_test_that_failed(self):
        self.write("build/bin/test_b", "#!/bin/sh\nexit 1\n", 0o755)
        self.run_tests()
        self.assertEqual(self.ask(), ["b", "rules"])

    def test_what_tests_start_and_read(self):
        for name in ("build/lib/berth/berth-collect", "tests/agent/data.json"):
            with self.subTest(name):
                self.run_tests()
                os.utime(self.tree / name)
                self.assertEqual(self.ask(), ["a", "b", "rules"])
        # A source is read by the compiler, and the program tells of it.
        self.run_tests()
        os.utime(self.tree / "tests/agent/a_test.cpp")
        self.assertEqual(self.ask(), ["rules"])


if __name__ == "__main__":
    unittest.main(verbosity=0)
