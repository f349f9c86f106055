"""The sources are built on a newer release than the package is made on, without a warning, and pass their unit tests there."""

import os
import re

import builders
import images
from harness import SystemTest, main

# As the demo builds, so that one finds what the other has compiled. ccache tells the warnings of what it has, too.
BUILD = f"cmake --preset release && cmake --build build/release --parallel {os.cpu_count()}"
# `slow` are those that want an engine, or packages from an index.
TEST = f"ctest --test-dir build/release -LE 'integration|slow' -j{os.cpu_count()} --output-on-failure --no-tests=error"
# The compiler's and CMake's. The linker's are of what it leaves out of static programs again.
_WARNING = re.compile(r"^.*\[-W[a-z][\w+=-]*\]$|^CMake (?:Deprecation )?Warning.*$", re.M)
_HOUR = 3600


class SourcesTest(SystemTest):
    def test_debian_13(self):
        root = self.unless_missing(builders.with_tools, "trixie")
        with builders.building(root, "trixie") as builder:
            told = builder.run(BUILD, 4 * _HOUR)
            self.assertEqual(_WARNING.findall(told), [])
            told = builder.run(TEST, _HOUR)
            print(told[-400:], flush=True)
            self.assertIn("100% tests passed", told)


if __name__ == "__main__":
    main(images.require_containers, package=False)
