"""Tests of Berth as an administrator has it: the package, installed on a machine with systemd.

    class SomethingTest(ContainerTest):
        def test_it(self):
            job = self.machine.submit("true")
            self.assertEqual(self.machine.wait(job)["state"], "Completed")

Needs root, and the programs that `packaging/setup system` installs; skipped, loudly, without. BERTH_SYSTEM_VERBOSE=1 shows
the journal of passing tests as well."""

import os
import sys
import time
import unittest

import images
import packages
from container import Container
from machine import PATIENCE, eventually  # noqa: F401: for the tests
from tools import Skip
from virtual_machine import VirtualMachine



class SystemTest(unittest.TestCase):
    maxDiff = None
    machine = None

    def run(self, result=None):
        wrong = len(result.failures) + len(result.errors)
        begin = time.monotonic()
        super().run(result)
        passed = len(result.failures) + len(result.errors) == wrong
        print(f"{'ok  ' if passed else 'FAIL'} {time.monotonic() - begin:6.1f} s  {self.id().removeprefix('__main__.')}",
              flush=True)
        return result

    def report(self):
        """Shows what the machine said, where the test has failed."""
        failed = any(error for _, error in self._outcome.errors) if hasattr(self._outcome, "errors") else \
            any(test is self for test, _ in self._outcome.result.failures + self._outcome.result.errors)
        if failed or os.environ.get("BERTH_SYSTEM_VERBOSE"):
            print(f"--- {self.id()}:\n{self.machine.told()}\n---", file=sys.stderr, flush=True)

    def unless_missing(self, make, *arguments):
        """What make() returns; the test is skipped, and tells so, where what it needs cannot be had."""
        try:
            return make(*arguments)
        except Skip as skip:
            print(f"SKIPPED: {skip}", flush=True)
            return self.skipTest(str(skip))

    def assertAlive(self, process):
        self.assertTrue(self.machine.runs_on(process), f"{process} has ended")

    def assertGone(self, process):
        self.assertFalse(self.machine.runs_on(process), f"{process} runs on")

    def succeeded(self, job):
        """The record of the job, which must have ended well."""
        record = self.machine.wait(job)
        self.assertEqual(record["state"], "Completed", record.get("ending_words"))
        return record


class ContainerTest(SystemTest):
    """Each test has a container of its own."""

    installed = True  # with Berth and its users in the group `berth`
    settings = {"cpus": 8, "max_parallel": 8}

    def layers(self):
        """What it boots from: directories, the uppermost first."""
        return images.installed() if self.installed else [images.base()]

    def setUp(self):
        self.machine = Container(self.layers(), [packages.current(), packages.older()])
        self.addCleanup(self.machine.destroy)
        self.addCleanup(self.report)
        self.prepare()
        self.machine.boot()

    def install(self, *options):
        """The current package, by apt as an administrator does; the members join its group."""
        self.machine.sh("DEBIAN_FRONTEND=noninteractive apt-get install -q -y $*", *options,
                        f"/opt/packages/{packages.current().name}", timeout=120)
        for name in images.MEMBERS:
            self.machine.run("usermod", "-aG", "berth", name)

    def prepare(self):
        """What is done to the machine's files before it boots."""
        if self.installed:
            configuration = self.machine.path("/etc/berth/berthd.yaml")
            text = "".join(f"{name}: {value}\n" for name, value in self.settings.items())
            configuration.write_text(configuration.read_text() + text)


class VirtualMachineTest(SystemTest):
    """The tests of a class share one machine; `keeps_disk` for those that reboot it."""

    keeps_disk = False
    disk = staticmethod(images.disk)  # makes the one that it boots from

    @classmethod
    def setUpClass(cls):
        cls.machine = VirtualMachine(cls.keeps_disk, cls.disk)
        cls.addClassCleanup(cls.machine.destroy)
        cls.machine.boot()

    def setUp(self):
        self.addCleanup(self.report)


def main(needs, package=True):
    """Runs the tests of the calling module; `needs` skips by raising Skip. `package`: whether they want the current one."""
    try:
        needs()
        images.sweep()
        if package:
            packages.current()
    except Skip as skip:
        print(f"SKIPPED: {skip}", flush=True)
        sys.exit(images.SKIPPED)
    begin = time.monotonic()
    program = unittest.main(exit=False, verbosity=0)
    print(f"{time.monotonic() - begin:.1f} s in all", flush=True)
    sys.exit(not program.result.wasSuccessful())
