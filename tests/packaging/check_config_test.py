"""`berthd --check-config`: what an administrator runs before a restart."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import harness
from harness import BIN, ROOT, BerthTest


class CheckConfigTest(BerthTest):
    def check(self, path, *mode):
        done = harness.family.run([str(BIN / "berthd"), *mode, "--check-config", str(path)], 30)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_the_installed_file_is_right(self):
        path = ROOT / "packaging/etc/berthd.yaml"
        self.assertEqual(self.check(path), (0, f"{path}: ok\n", ""))

    def test_a_mistake_is_told_with_file_and_line(self):
        path = self.place / "wrong.yaml"
        path.write_text("# a remark\nlog_cap: 1GiB\nlog_cpa: 2GiB\n")
        code, said, failure = self.check(path, "--user")
        self.assertEqual((code, said), (2, ""))
        self.assertIn(f"{path}:3: unknown key 'log_cpa'", failure)
        self.assertIn("log_cap", failure)

    def test_an_agent_with_a_mistake_ends_with_a_code_of_its_own(self):
        path = self.place / "wrong.yaml"
        path.write_text("log_cpa: 2GiB\n")
        done = harness.family.run([str(BIN / "berthd"), "--user", "--state", str(self.place / "s"), "--config", str(path)], 30)
        self.assertEqual(done.returncode, 78)  # systemd/berthd.service knows it
        self.assertIn(f"{path}:1: unknown key 'log_cpa'", done.stderr.decode())

    def test_a_missing_file_is_a_mistake(self):
        code, _, failure = self.check(self.place / "none.yaml")
        self.assertNotEqual(code, 0)
        self.assertIn(str(self.place / "none.yaml"), failure)

    def test_it_starts_nothing(self):
        self.check(ROOT / "packaging/etc/berthd.yaml", "--user", "--state", str(self.place / "untouched"))
        self.assertFalse((self.place / "untouched").exists())


if __name__ == "__main__":
    harness.main()
