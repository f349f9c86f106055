"""packaging/demo in the smallest root file system of each release, where nothing is installed: as root, and as an ordinary user
with sudo. Where the release is too old for the sources it says so."""

import builders
import images
from harness import SystemTest, main
from releases import ReleaseTest, for_each_release

_HOUR = 3600
_TOO_OLD = ("jammy",)


class DemoTest(ReleaseTest):
    def demo(self, user):
        root = self.unless_missing(builders.bare, self.codename)
        with builders.building(root, self.codename, user) as builder:
            return builder.run("./packaging/demo 2>&1", 4 * _HOUR)

    def assert_shown(self, user):
        if self.codename in _TOO_OLD:
            with self.assertRaisesRegex(RuntimeError, "this release has no .*; Debian 12 and Ubuntu 24.04 have"):
                self.demo(user)
        else:
            told = self.demo(user)
            self.assertRegex(told, r"epoch +20/20 .* accuracy 0\.9")
            self.assertRegex(told, r"(?m)^  State +Completed$")
            self.assertIn("demo: ok", told)

    def test_as_root(self):
        self.assert_shown("root")

    def test_with_sudo(self):
        self.assert_shown(builders.USER)


for_each_release(DemoTest, SystemTest)

if __name__ == "__main__":
    main(images.require_containers, package=False)
