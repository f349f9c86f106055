#!/usr/bin/env python3
"""That a case which cannot be tried is told as such, by C++ programs and by Python's: the first argument is
test_skipping_sample (skipping_sample.cpp)."""

import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAMPLE = sys.argv.pop(1)

PYTHON_SAMPLE = f"""
import sys, unittest
sys.path.insert(0, {str(HERE)!r})
import skips

class Here(unittest.TestCase):
    def test_tried(self):
        self.assertTrue(True)
    @unittest.skip("no moon")
    def test_moon(self):
        pass
    def test_moon_too(self):
        self.skipTest("no moon")

@unittest.skip("no sun")
class Nowhere(unittest.TestCase):
    def test_sun(self):
        pass

class Broken(unittest.TestCase):
    def test_broken(self):
        self.fail()
skips.main()
"""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, [line for line in done.stderr.splitlines() if line.startswith("SKIPPED: ")]


class CppTest(unittest.TestCase):
    def test_some_cases_skipped_is_a_pass_that_tells_them(self):
        code, told = run(SAMPLE, "-tce=broken*")
        self.assertEqual(code, 0)
        self.assertEqual(told, ["SKIPPED: test_skipping_sample: 3 of 5 cases need the moon",
                                "SKIPPED: test_skipping_sample: 1 of 5 cases need the sun"])

    def test_a_program_of_which_nothing_could_be_tried_is_skipped(self):
        code, told = run(SAMPLE, "-tc=needs*")
        self.assertEqual(code, 77)
        self.assertEqual(told, ["SKIPPED: test_skipping_sample: 2 of 3 cases need the moon",
                                "SKIPPED: test_skipping_sample: 1 of 3 cases need the sun"])

    def test_what_is_tried_in_part_is_tried(self):
        code, told = run(SAMPLE, "-tc=in part*")
        self.assertEqual(code, 0)
        self.assertEqual(told, ["SKIPPED: test_skipping_sample: 1 of 1 cases need the moon"])

    def test_a_failure_is_one_beside_skips(self):
        self.assertNotIn(run(SAMPLE)[0], (0, 77))

    def test_without_skips_nothing_is_told(self):
        self.assertEqual(run(SAMPLE, "-tc=tried"), (0, []))


class PythonTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        cls.sample = Path(cls.directory.name) / "sample_test.py"
        cls.sample.write_text(textwrap.dedent(PYTHON_SAMPLE))

    def python(self, *names):
        return run(sys.executable, "-B", str(self.sample), *names)

    def test_some_cases_skipped_is_a_pass_that_tells_them(self):
        self.assertEqual(self.python("Here"), (0, ["SKIPPED: sample_test: 2 of 3 cases: no moon"]))

    def test_a_program_of_which_nothing_could_be_tried_is_skipped(self):
        self.assertEqual(self.python("Nowhere", "Here.test_moon"),
                         (77, ["SKIPPED: sample_test: 1 of 2 cases: no moon", "SKIPPED: sample_test: 1 of 2 cases: no sun"]))

    def test_a_failure_is_one_beside_skips(self):
        self.assertEqual(self.python("Nowhere", "Broken")[0], 1)


if __name__ == "__main__":
    unittest.main()
