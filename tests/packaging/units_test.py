"""systemd reads the units, the users and the directories that are installed without a remark."""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import harness
from harness import BIN, ROOT

UNITS = ("berthd.service", "berthd.socket", "berth.slice")


def said_by(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    return done.returncode, done.stdout


@unittest.skipIf(shutil.which("systemd-analyze") is None, "systemd is not installed: `packaging/setup test` does it")
class UnitsTest(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)

    def test_the_units_have_no_mistake(self):
        for name in UNITS:  # with the program under test where the installed one will be
            text = (ROOT / "systemd" / name).read_text().replace("/usr/bin/berthd", str(BIN / "berthd"))
            (self.place / name).write_text(text)
        paths = [str(self.place / name) for name in UNITS]
        self.assertEqual(said_by("systemd-analyze", "verify", "--man=no", *paths), (0, ""))

    def test_a_burst_of_failures_stops_nothing(self):
        service = (ROOT / "systemd/berthd.service").read_text()
        unit, _, rest = service.partition("[Service]")
        self.assertIn("\nStartLimitIntervalSec=0\n", unit)  # ignored in any other section
        self.assertNotIn("StartLimit", rest)

    def test_the_user_and_the_group_are_made(self):
        (self.place / "etc").mkdir()
        code, said = said_by("systemd-sysusers", f"--root={self.place}", str(ROOT / "systemd/sysusers.d/berth.conf"))
        self.assertEqual(code, 0, said)
        users = (self.place / "etc/passwd").read_text()
        self.assertRegex(users, r"berth:x:\d+:\d+:Berth:/var/lib/berth:/usr/sbin/nologin")
        self.assertRegex((self.place / "etc/group").read_text(), r"berth:x:\d+:")


if __name__ == "__main__":
    harness.main()
