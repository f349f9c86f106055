"""Tests of what is the same on every release that Berth is for: a class of each for each."""

import sys

import images

RELEASES = ("jammy", "noble", "bookworm", "trixie")


class ReleaseTest:
    """Beside a SystemTest; `codename` is the release, and for_each_release() makes the classes that have one."""

    codename = None

    def base(self, *more):
        """The release's root file system, with more packages."""
        return self.unless_missing(images.base_of, self.codename, *more)


def for_each_release(test, *bases):
    """Puts a class for each release where the test's is: JammyX, NobleX, … of X."""
    module = sys.modules[test.__module__]
    for codename in RELEASES:
        name = codename.capitalize() + test.__name__
        setattr(module, name, type(name, (test, *bases), {"codename": codename, "__module__": test.__module__}))
