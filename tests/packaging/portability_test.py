"""packaging/portability.py finds what would keep the package from a release: tried on packages of small programs."""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import harness
from harness import ROOT

HOLDS = "libc6 (>= 2.35), libssl3 (>= 3.0.0) | libssl3t64 (>= 3.0.0), default-dbus-system-bus | dbus-system-bus"


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, **options)


@unittest.skipIf(shutil.which("cc") is None or shutil.which("dpkg-deb") is None, "needs cc and dpkg-deb")
class PortabilityTest(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)
        self.package = self.place / "package"
        (self.package / "DEBIAN").mkdir(parents=True)
        (self.package / "usr/bin").mkdir(parents=True)

    def compile(self, name, text, *options):
        source = self.place / "source.c"
        source.write_text(text)
        done = run("cc", source, "-o", name, *options)
        self.assertEqual(done.returncode, 0, done.stderr)

    def program(self, library="", version=""):
        """A program in the package that needs `version` of a library of that name."""
        options = []
        if library:
            script = self.place / "version"
            script.write_text(f"{version} {{ global: f; }};\n" if version else "{ global: f; };\n")
            stub = self.place / "libstub.so"
            self.compile(stub, "int f(void) { return 0; }", "-shared", "-fPIC", f"-Wl,-soname,{library}",
                         f"-Wl,--version-script={script}")
            options = [stub]
        text = "int f(void); int g(void) { return f(); }" if library else "int g(void) { return 0; }"
        self.compile(self.package / "usr/bin/program", text, "-shared", "-fPIC", "-nostdlib", *options)

    def wrong(self, depends=HOLDS):
        """What the checker says about the package."""
        (self.package / "DEBIAN/control").write_text(
            "Package: small\nVersion: 1\nArchitecture: amd64\nMaintainer: nobody <nobody@example.org>\n"
            f"Depends: {depends}\nDescription: small\n")
        deb = self.place / "small.deb"
        built = run("dpkg-deb", "--root-owner-group", "-b", self.package, deb)
        self.assertEqual(built.returncode, 0, built.stderr)
        done = run(sys.executable, "-B", ROOT / "packaging/portability.py", deb)
        self.assertEqual(done.stderr, "")
        if done.returncode == 0:
            return ""
        self.assertEqual(done.returncode, 1)
        return done.stdout

    def test_a_package_that_every_release_can_have(self):
        self.program()
        self.assertEqual(self.wrong(), "")
        self.program("libsystemd.so.0", "LIBSYSTEMD_249")
        self.assertEqual(self.wrong(), "")

    def test_a_symbol_of_a_later_library(self):
        for library, version in (("libc.so.6", "GLIBC_2.36"), ("libsystemd.so.0", "LIBSYSTEMD_250"),
                                 ("libstdc++.so.6", "GLIBCXX_3.4.31"), ("libcrypto.so.3", "OPENSSL_3.0.1")):
            with self.subTest(version):
                self.program(library, version)
                self.assertIn(f"/usr/bin/program needs {version}; the oldest release has", self.wrong())

    def test_a_symbol_of_no_release(self):
        self.program("libc.so.6", "GLIBC_PRIVATE")
        self.assertIn("/usr/bin/program needs GLIBC_PRIVATE, which other builds of the library lack", self.wrong())

    def test_a_library_that_has_another_name_elsewhere(self):
        self.program("libgit2.so.1.5")
        self.assertIn("/usr/bin/program loads libgit2.so.1.5, which is not on every release", self.wrong())

    def test_a_dependency_that_a_release_cannot_give(self):
        self.program()
        for depends, releases in (("libc6 (>= 2.36)", "Ubuntu 22.04"), ("libssl3 (>= 3.0.0)", "Ubuntu 24.04, Debian 13"),
                                  ("libgit2-1.5", "Ubuntu 22.04, Ubuntu 24.04, Debian 12, Debian 13"),
                                  ("libssl3 (>= 3.0.0) | libssl3t64 (>= 3.1)", "Ubuntu 24.04")):
            with self.subTest(depends):
                self.assertIn(f"depends on {depends}, which {releases} cannot give", self.wrong(depends))

    def test_a_package_without_programs(self):
        self.assertIn("has no programs", self.wrong())


if __name__ == "__main__":
    harness.main()
