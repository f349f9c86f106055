"""packaging/format finds what is not in the tree's form: tried on small trees of its own."""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONG = "x" * 130


class FormatTest(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.tree = Path(place.name)
        (self.tree / "packaging").mkdir()
        shutil.copy(ROOT / "packaging/format", self.tree / "packaging")
        shutil.copy(ROOT / ".clang-format", self.tree)
        subprocess.run(["git", "init", "-q", self.tree], check=True, timeout=60)

    def said(self, text, *options, path=None):
        """What it says about a tree with this one source; nothing where all is well."""
        (self.tree / "a.cpp").write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, "-B", self.tree / "packaging/format", *options], capture_output=True,
                              text=True, timeout=60, env={"PATH": path} if path else None)
        self.assertIn(done.returncode, (0, 1))
        if done.returncode == 0 and not path:
            self.assertIn("format: 1 files", done.stdout)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def test_what_is_in_form(self):
        self.assertEqual(self.said("int a = 1;\n// " + "ä" * 117 + "\n"), "")

    def test_comments_are_counted(self):
        self.assertIn("a.cpp:2: 121 columns", self.said("int a = 1;\n// " + "ä" * 118 + "\n"))
        self.assertIn("a.cpp:1: ", self.said(f"/* {LONG} */\n"))

    def test_raw_strings_are_data(self):
        self.assertEqual(self.said(f'const char* a = R"(first\n{LONG}\n)";\n'), "")
        self.assertEqual(self.said(f'const char* a =\n    R"x({LONG})" )x";\n'), "")
        # One in a comment, or in a string, is none.
        self.assertIn("a.cpp:2: ", self.said(f'// R"(\n// {LONG}\n// )"\n'))
        self.assertIn("a.cpp:2: ", self.said(f'const char* a = "R\\"(";\n// {LONG}\n// )"\n'))

    def test_columns_are_counted_without_the_tool(self):
        tools = self.tree / "tools"
        tools.mkdir()
        (tools / "git").symlink_to(shutil.which("git"))
        self.assertIn("a.cpp:1: ", self.said(f"// {LONG}\n", path=str(tools)))

    @unittest.skipIf(shutil.which("clang-format-16") is None, "needs clang-format-16")
    def test_the_tool_is_asked_and_mends(self):
        self.assertIn("a.cpp:1:", self.said("int  a=1;\n"))
        self.assertEqual(self.said("int  a=1;\n", "--fix"), "")
        self.assertEqual((self.tree / "a.cpp").read_text(), "int a = 1;\n")


if __name__ == "__main__":
    unittest.main(verbosity=0)
