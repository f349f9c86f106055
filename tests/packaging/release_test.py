"""packaging/release, in a clone of its own: what it refuses, what it makes, and what it says the package is made of.

In the clone packaging/build-deb packs one small program that was linked with a static library of this machine."""

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD_DEB = r"""#!/bin/sh
# A program with a part of libz, as packaging/build-deb would make it.
set -eu
cd "$(dirname "$0")/.."
[ "$1" = --out ]
mkdir -p build/deb/maps build/deb/package/DEBIAN build/deb/package/usr/bin
cat >build/deb/a.c <<'END'
#include <zlib.h>
int main(void) { return zlibVersion()[0] == 0; }
END
cat >build/deb/build.ninja <<END
rule cc
  command = cc -MD -MF a.d -c a.c -o a.o
  depfile = a.d
  deps = gcc
rule link
  command = cc a.o -o package/usr/bin/a -l:libz.a -Wl,-Map=maps/a.map
build a.o: cc a.c
build package/usr/bin/a: link a.o
END
ninja -C build/deb >&2
cat >build/deb/package/DEBIAN/control <<END
Package: berth
Version: ${VERSION_OF_PACKAGE:-9.8.7}-1
Architecture: amd64
Maintainer: nobody <nobody@example.org>
Depends: libc6 (>= 2.34), first | second
Description: small
END
dpkg-deb --root-owner-group -b build/deb/package "$2/berth_9.8.7-1_amd64.deb" >&2
echo "$2/berth_9.8.7-1_amd64.deb"
"""
NOTES = "- **New**: it sails.\n- More of it.\n"
PROGRAMS = ("packaging/release", "packaging/sbom.py")


def has_static_zlib():
    return subprocess.run(["dpkg", "-S", "zlib.h"], capture_output=True).returncode == 0


@unittest.skipIf(shutil.which("dpkg-deb") is None or shutil.which("ninja") is None or not has_static_zlib(),
                 "needs dpkg-deb, ninja and zlib1g-dev")
class ReleaseTest(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.tree = Path(place.name) / "berth"
        self.git(ROOT, "clone", "-q", "--shared", "--sparse", ROOT, self.tree)
        self.git(self.tree, "sparse-checkout", "set", "packaging")
        self.environment = {"VERSION_OF_PACKAGE": "9.8.7"}
        for program in PROGRAMS:  # as they are here, committed or not
            shutil.copy(ROOT / program, self.tree / program)
        self.write("packaging/build-deb", BUILD_DEB)
        self.write("packaging/check", "#!/bin/sh\n[ ! -e $(dirname $0)/../.git/red ]\n")
        self.set_version("9.8.7")
        self.write_changelog("## 9.8.7 — 2026-03-14")
        self.commit()

    def write(self, name, text):
        (self.tree / name).write_text(text, encoding="utf-8")

    def write_changelog(self, heading, before=""):
        self.write("CHANGELOG.md", f"# Changelog\n\n{before}{heading}\n\n{NOTES}\n## 0.0.1 — 2025-01-01\n\n- Old.\n")

    def set_version(self, version):
        file = self.tree / "CMakeLists.txt"
        file.write_text(re.sub(r"VERSION \d+\.\d+\.\d+", f"VERSION {version}", file.read_text(), count=1))

    def git(self, tree, *arguments):
        done = subprocess.run(["git", "-C", str(tree), "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def commit(self):
        self.git(self.tree, "add", "-A")
        self.git(self.tree, "commit", "-q", "--allow-empty", "-m", "As it is released")

    def release(self, *options):
        return subprocess.run(
            [self.tree / "packaging/release", *options], capture_output=True, text=True, timeout=120, env={
                **self.environment, "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "GIT_COMMITTER_NAME": "a",
                "GIT_COMMITTER_EMAIL": "a@example.org"})

    def tags(self):
        return self.git(self.tree, "tag").split()

    def assert_refused(self, expected, *options):
        done = self.release(*options)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(expected, done.stderr)
        self.assertNotIn("v9.8.7", self.tags())

    def test_what_is_made(self):
        done = self.release()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.git(self.tree, "cat-file", "-t", "v9.8.7").strip(), "tag")
        self.assertEqual(self.git(self.tree, "rev-parse", "v9.8.7^{commit}"), self.git(self.tree, "rev-parse", "HEAD"))
        self.assertIn("Berth 9.8.7\n\n- **New**: it sails.\n- More of it.\n", self.git(self.tree, "cat-file", "-p", "v9.8.7"))

        out = self.tree / "build/release-9.8.7"
        names = ["CHANGES.md", "berth_9.8.7-1_amd64.cdx.json", "berth_9.8.7-1_amd64.deb"]
        self.assertEqual(sorted(path.name for path in out.iterdir()), sorted([*names, "SHA256SUMS"]))
        self.assertEqual((out / "CHANGES.md").read_text(), NOTES)
        checked = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=out, capture_output=True, text=True)
        self.assertEqual(checked.stdout, "".join(f"{name}: OK\n" for name in names))

    def test_what_the_package_is_made_of(self):
        self.assertEqual(self.release("--unchecked").returncode, 0)
        out = self.tree / "build/release-9.8.7"
        bill = json.loads((out / "berth_9.8.7-1_amd64.cdx.json").read_text())
        self.assertEqual((bill["bomFormat"], bill["specVersion"]), ("CycloneDX", "1.5"))
        subject = bill["metadata"]["component"]
        self.assertEqual((subject["name"], subject["version"]), ("berth", "9.8.7-1"))
        package = (out / "berth_9.8.7-1_amd64.deb").read_bytes()
        self.assertEqual(subject["hashes"], [{"alg": "SHA-256", "content": hashlib.sha256(package).hexdigest()}])

        ways = {}
        for component in bill["components"]:
            if component["name"].startswith("gcc"):  # whose headers zlib's include
                continue
            ways[component["name"]] = [each["value"] for each in component["properties"]]
        asked = subprocess.run(["dpkg-query", "-W", "-f", "${source:Package} ${source:Version}", "zlib1g-dev"],
                               capture_output=True, text=True, check=True).stdout.split()
        zlib = next(component for component in bill["components"] if component["name"] == asked[0])
        self.assertEqual(zlib["version"], asked[1])
        self.assertEqual(ways.pop(asked[0]), ["headers", "static"])
        self.assertEqual(ways, {"libc6": ["shared", "libc6 (>= 2.34)"], "first": ["shared", "first | second"]})
        refs = [component["bom-ref"] for component in bill["components"]]
        self.assertEqual(bill["dependencies"], [{"ref": subject["bom-ref"], "dependsOn": refs}])
        self.assertEqual(len(set(refs)), len(refs))

    def test_a_dry_run_leaves_no_tag(self):
        (self.tree / ".git/red").touch()
        done = self.release("--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.tags(), [])
        self.assertTrue((self.tree / "build/release-9.8.7/SHA256SUMS").exists())

    def test_a_tree_with_changes(self):
        self.write("README.md", "changed")
        self.assert_refused("not committed: README.md", "--dry-run")
        self.git(self.tree, "checkout", "-q", "README.md")
        self.write("new.txt", "")
        self.assert_refused("not committed: new.txt")

    def test_a_version_that_is_released(self):
        self.git(self.tree, "tag", "-a", "-m", "before", "v9.8.7")
        before = self.git(self.tree, "rev-parse", "v9.8.7")
        done = self.release("--unchecked")
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is a tag v9.8.7", done.stderr)
        self.assertEqual(self.git(self.tree, "rev-parse", "v9.8.7"), before)

    def test_a_red_check(self):
        (self.tree / ".git/red").touch()
        self.assert_refused("packaging/check failed")
        self.assertFalse((self.tree / "build/release-9.8.7").exists())
        self.assertEqual(self.release("--unchecked").returncode, 0)
        self.assertEqual(self.tags(), ["v9.8.7"])

    def test_the_changelog(self):
        for heading, before, expected in (("## 9.8.6 — 2026-03-14", "", "no section 9.8.7"),
                                          ("## 9.8.7", "", "has no day"),
                                          ("## 9.8.7 — 2026-02-30", "", "has no day"),
                                          ("## 9.8.7 — 2026-03-14", "## Unreleased\n\n- Not yet.\n\n", 'under "Unreleased"'),
                                          ("## 9.8.7 — 2026-03-14\n\n## 9.8.6 — 2026-03-13", "", "says nothing about 9.8.7")):
            with self.subTest(heading + before):
                self.write_changelog(heading, before)
                self.commit()
                self.assert_refused(expected)
        self.write_changelog("## 9.8.7 — 2026-03-14", "## Unreleased\n\n")
        self.commit()
        self.assertEqual(self.release("--dry-run").returncode, 0)

    def test_a_package_of_another_version(self):
        self.environment["VERSION_OF_PACKAGE"] = "9.8.6"
        self.assert_refused("the package is of version 9.8.6-1, not 9.8.7")


if __name__ == "__main__":
    unittest.main(verbosity=0)
