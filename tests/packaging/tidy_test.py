"""packaging/tidy: what it finds in sources that are read together, and what it does not read again. On a tree of its own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = "#pragma once\n#include <string>\n#include <utility>\nnamespace tree { void take(std::string text); }\n"
# `own` is in each of them, and so is not in one unit with another.
WELL = '#include "agent/header.hpp"\nnamespace {{\nint own() {{ return 1; }}\n}}\nint {name}() {{ return own(); }}\n'
MOVED_TWICE = """#include "agent/header.hpp"
void twice(std::string text) {
  tree::take(std::move(text));
  tree::take(text);
}
"""


@unittest.skipIf(shutil.which("clang-tidy-16") is None, "needs clang-tidy-16")
class TidyTest(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.tree = Path(place.name).resolve() / "tree"
        for folder in ("packaging", "agent", "build"):
            (self.tree / folder).mkdir(parents=True)
        shutil.copy(ROOT / "packaging/tidy", self.tree / "packaging")
        shutil.copy(ROOT / ".clang-tidy", self.tree)
        self.write("agent/header.hpp", HEADER)
        for name in ("a", "b"):
            self.write(f"agent/{name}.cpp", WELL.format(name=name))

    def write(self, name, text):
        (self.tree / name).write_text(text)

    def run_tidy(self):
        return subprocess.run([sys.executable, "-B", self.tree / "packaging/tidy", "--build", self.tree / "build"], timeout=120,
                              capture_output=True, text=True, env={**os.environ, "XDG_CACHE_HOME": str(self.tree / "cache")})

    def tidy(self):
        """(exit code, what it said), of all sources that there are."""
        commands = [{"directory": str(self.tree), "file": str(path), "command": f"c++ -I{self.tree} -std=c++20 -Wall -c {path}"}
                    for path in self.tree.glob("agent/*.cpp")]
        self.write("build/compile_commands.json", json.dumps(commands))
        done = self.run_tidy()
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def test_nothing_is_found_and_nothing_read_again(self):
        self.assertEqual(self.tidy(), (0, "tidy: 0 findings in 2 sources, 0 of which had none before\n"))
        self.assertEqual(self.tidy(), (0, "tidy: 0 findings in 2 sources, 2 of which had none before\n"))
        self.write("agent/b.cpp", WELL.format(name="c"))
        self.assertIn(" 1 of which had none before", self.tidy()[1])
        self.write("agent/header.hpp", HEADER + "// Changed.\n")
        self.assertIn(" 0 of which had none before", self.tidy()[1])

    def test_a_finding_stays_one(self):
        self.write("agent/twice.cpp", MOVED_TWICE)
        for _ in range(2):
            code, told = self.tidy()
            self.assertEqual(code, 1)
            self.assertIn("agent/twice.cpp:4:14: error: 'text' used after it was moved [bugprone-use-after-move", told)
            self.assertIn("tidy: 1 findings in 3 sources", told)

    def test_a_finding_in_a_header(self):
        self.write("agent/header.hpp", HEADER + MOVED_TWICE.replace("void", "inline void").partition("\n")[2])
        code, told = self.tidy()
        self.assertEqual(code, 1)
        self.assertIn("agent/header.hpp:7:14: error: 'text' used after it was moved", told)
        self.assertIn("tidy: 1 findings", told)  # once, though two sources have it

    def test_names_that_mind_each_other_unforeseen(self):
        """What is alike in two sources without being defined there: together they do not compile, alone they do."""
        for name in ("d", "e"):
            self.write(f"agent/{name}.cpp", f"#define MAKE(x) namespace {{ int x() {{ return 2; }} }}\nMAKE(unforeseen)\n"
                                            f"int {name}() {{ return unforeseen(); }}\n#undef MAKE\n")
        self.assertEqual(self.tidy(), (0, "tidy: 0 findings in 4 sources, 0 of which had none before\n"))

    def test_a_source_that_does_not_compile(self):
        self.write("agent/d.cpp", "int d() { return nowhere; }\n")
        code, told = self.tidy()
        self.assertEqual(code, 1)
        self.assertIn("agent/d.cpp:1:18: error: use of undeclared identifier 'nowhere'", told)

    def test_a_build_of_other_sources_is_told_and_nothing_is_read(self):
        self.tidy()
        build = self.tree / "build"
        commands = (build / "compile_commands.json").read_text()
        for change, expected in (
                (lambda: (self.tree / "agent/a.cpp").unlink(), f"{build} is stale: it compiles agent/a.cpp, which is not there\n"),
                (lambda: self.write("build/compile_commands.json", commands.replace(str(self.tree), "/elsewhere")),
                 f"{build} is of another tree: it compiles nothing of {self.tree}\n"),
                (lambda: (build / "compile_commands.json").unlink(), f"{build} is no build folder: there is no compile_commands.json\n")):
            change()
            done = self.run_tidy()
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertEqual(done.stderr, f"tidy: {expected}  build it again: cmake -S . -B {build} … && cmake --build {build}\n")


if __name__ == "__main__":
    unittest.main(verbosity=0)
