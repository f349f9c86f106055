"""README, taken at its word on fresh machines of each release: its lines that install the package, by an ordinary user with
sudo, and its tour, by him and by root. What pip fetches comes from an index of the machine's own: it has no network."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "packaging"))

import images
import packages
import page_commands
from container import Container
from harness import ContainerTest, eventually, main
from releases import ReleaseTest, for_each_release
from terminal import Terminal
from tools import Skip, run

README = (packages.ROOT / "README.md").read_text()
_NEEDS = ("adduser", "git", "sudo")
_INDEX = "http://127.0.0.1:8081"
_STARTED = "until [ -S ~/.local/state/berth/berth.sock ]; do sleep 0.02; done"  # until then the machine's agent is asked


def install_commands():
    """What the section Install types as root, without its remarks."""
    section = re.split(r"^## Install$", README, flags=re.M)[1].split("\n## ")[0]
    return [row.split("#")[0].strip() for row in re.findall(r"^    (sudo .*)$", section, re.M)]


def fetch_wheels(python, into):
    """scikit-learn for that Python, as an index that any web server serves."""
    with tempfile.TemporaryDirectory() as fetched:
        try:
            run(sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version", python, "-d",
                fetched, "scikit-learn", timeout=300)
        except RuntimeError as failure:
            raise Skip(f"scikit-learn for Python {python} cannot be had: {str(failure)[-300:]}") from None
        for wheel in Path(fetched).glob("*.whl"):
            name = re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower()
            (into / "simple" / name).mkdir(parents=True, exist_ok=True)
            shutil.move(wheel, into / "simple" / name / wheel.name)


class ReadmeTest(ReleaseTest):
    def setUp(self):
        self.machine = Container([self.base(*_NEEDS)], [packages.current()])
        self.addCleanup(self.machine.destroy)
        self.addCleanup(self.report)
        self.machine.boot()
        self.machine.sh("useradd --create-home --shell /bin/bash alice; echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/a; "
                        "mkdir -p /home/alice/build/deb; cp /opt/packages/$1 /home/alice/build/deb/", packages.current().name)

    def serve_packages(self):
        python = self.machine.sh("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'").strip()
        index = self.machine.path("/var/index")
        index.mkdir()
        self.unless_missing(fetch_wheels, python, index)
        self.machine.write("/etc/pip.conf", f"[global]\nindex-url = {_INDEX}/simple/\n")
        server = subprocess.Popen([*self.machine.entering(), "python3", "-m", "http.server", "--directory", "/var/index", "8081"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        ask = f"import urllib.request; urllib.request.urlopen('{_INDEX}/simple/')"
        eventually(lambda: self.machine.run("python3", "-c", ask, expect=None).code == 0, "the index answers")

    def terminal(self, user):
        home = "/root" if user == "root" else f"/home/{user}"
        enter = [*self.machine.entering(), "env", "-i", f"--chdir={home}", "TERM=xterm", "LANG=C.UTF-8", f"HOME={home}",
                 "PATH=/usr/local/bin:/usr/bin:/bin" + (":/usr/sbin:/sbin" if user == "root" else ""),
                 "setsid", "-c", "setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        terminal = Terminal(enter, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, "/")
        self.addCleanup(terminal.close)
        return terminal

    def test_it_does_what_it_says(self):
        terminal = self.terminal("alice")
        commands = install_commands()
        self.assertEqual(len(commands), 2, commands)
        for command in commands:
            shown = terminal.run(f"{command}; echo code $?", 120)
            self.assertEqual(shown.splitlines()[-1], "code 0", shown)
        terminal = self.terminal("alice")  # her next login
        self.assertEqual(terminal.run("mkdir code; cd code; berth run -- echo well", 60).splitlines()[-1], "well")
        self.serve_packages()
        for user in ("alice", "root"):
            with self.subTest(user=user):
                problems = page_commands.walk(README, "Two minutes", self.terminal(user), user, started=_STARTED)
                self.assertEqual("\n".join(problems), "")


for_each_release(ReadmeTest, ContainerTest)

if __name__ == "__main__":
    main(images.require_containers)
