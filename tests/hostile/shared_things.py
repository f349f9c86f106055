"""What the attacks on shared things have in common: environments as they were built, checkouts, objects, the agent's own
state, other jobs' directories, of which no job changes anything, and pip, whose changes are the job's own."""

import hashlib
import json
import os
import stat
from pathlib import Path

from hostile import harness

from wheels import make_wheel

# Prints what it got done. Every way to write that a plain program has, and what user namespaces offer beyond.
ATTACK = r"""
import json, os, subprocess, sys
given = json.loads(sys.argv[1])
tmp, state = os.environ["TMPDIR"], given["state"]
done = []

def attempt(what, *arguments):
    try:
        what(*arguments)
        done.append(f"{what.__name__} {arguments[0]}")
    except OSError:
        pass

def append(path):
    with open(path, "ab") as file:
        file.write(b"x")
def rewrite(path):
    with open(path, "r+b") as file:
        file.write(b"#")
def truncate(path): os.truncate(path, 0)
def remove(path): os.unlink(path)
def rename(path): os.rename(path, path + ".moved")
def take(path): os.rename(path, os.path.join(tmp, "taken"))
def replace(path):
    with open(os.path.join(tmp, "other"), "w"): pass
    os.rename(os.path.join(tmp, "other"), path)
def change_mode(path): os.chmod(path, 0o777)
def change_time(path): os.utime(path, (1, 1))
def change_attribute(path): os.setxattr(path, "user.berth", b"x")
def by_hard_link(path):
    link = os.path.join(tmp, "link")
    os.link(path, link)
    append(link)
def by_hard_link_at_home(path):
    link = os.path.join(os.getcwd(), "link")
    os.link(path, link)
    append(link)
def by_descriptor(path):
    fd = os.open(path, os.O_RDONLY)
    append(f"/proc/self/fd/{fd}")
def by_working_directory(path):
    os.chdir(os.path.dirname(path))
    append("/proc/self/cwd/" + os.path.basename(path))
def by_own_root(path): append("/proc/self/root" + path)
def by_parents_root(path): append(f"/proc/{os.getppid()}/root{path}")
def by_agents_root(path): append(f"/proc/{given['agent']}/root{path}")
def by_symbolic_link(path):
    link = os.path.join(tmp, "symbolic")
    os.symlink(path, link)
    try:
        append(link)
    finally:
        os.unlink(link)
def put_in(path):
    with open(os.path.join(path, "planted"), "w"): pass
def make_in(path): os.mkdir(os.path.join(path, "made"))
def remove_directory(path): os.rmdir(path)

FILES = [append, rewrite, truncate, change_mode, change_time, change_attribute, by_hard_link, by_hard_link_at_home,
         by_descriptor, by_working_directory, by_own_root, by_symbolic_link, replace, take, rename, remove]
DIRECTORIES = [put_in, make_in, change_mode, change_time, remove_directory, rename]
if not given["root"]:
    FILES = [by_parents_root, by_agents_root, *FILES]
home = os.getcwd()
for path in given["files"]:
    for way in FILES:
        attempt(way, path)
        os.chdir(home)
for path in given["directories"]:
    for way in DIRECTORIES:
        attempt(way, path)

MOUNTS = '''
for place in "$1" "$(dirname "$2")" "$(dirname "$1")"; do
  mount -o remount,rw,bind "$place"; mount -o remount,rw "$place"
  mkdir -p "$TMPDIR/b"
  for how in --bind --rbind; do
    mount $how "$place" "$TMPDIR/b" && { mount -o remount,rw,bind "$TMPDIR/b"; touch "$TMPDIR/b/planted" && echo "bound $place"; }
    umount -l "$TMPDIR/b"
  done
  umount -l "$place"
done
( echo x >> "$2" ) && echo "written $2"
touch "$(dirname "$2")/planted" && echo "planted by $2"
'''
for path in given["files"]:
    out = subprocess.run(["unshare", "-Urm", "sh", "-c", MOUNTS, "sh", state, path], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True).stdout
    done += [f"in a user namespace: {line}" for line in out.splitlines()
             if not line.startswith("bound") or line == f"bound {state}"]
print("DONE " + json.dumps(done))
"""
CHANGE = """set -e
cd "$VIRTUAL_ENV"
python -m pip -q uninstall -y needed
python -m pip -q install --no-index --find-links {wheels} other
python -c 'import other; print(other.version)'
! python -c 'import needed' 2>/dev/null
echo changed >> pyvenv.cfg
echo mine > lib/mine
find . -name wheel-0 -o -name planted
chmod -R go-w .
"""
SHOWN = "import needed, os; print(needed.version, os.path.exists(os.environ['VIRTUAL_ENV'] + '/lib/mine'))"


def fingerprint(*places):
    """Path → mode, owner and content, of all there is."""
    all = {}
    for place in places:
        for directory, directories, files in os.walk(place):
            directories.sort()
            for name in sorted(directories + files):
                path = os.path.join(directory, name)
                info = os.lstat(path)
                content = (hashlib.sha256(Path(path).read_bytes()).hexdigest() if stat.S_ISREG(info.st_mode)
                           else os.readlink(path) if stat.S_ISLNK(info.st_mode) else "")
                all[path] = f"{info.st_mode:o} {info.st_uid} {info.st_gid} {content}"
    return all


class Shared:
    """What the tests have in common; `self.acting_run` is berth as whoever attacks."""

    def prepare_files(self, owner=None):
        self.wheels = self.directory("wheels")
        for name in ("needed", "other"):
            make_wheel(self.wheels, name, "1.0")
        self.code = self.directory("code", requirements_txt="needed==1.0\n", attack_py=ATTACK, data_txt="data\n")
        if owner:
            for path in (self.code, *self.code.iterdir()):
                os.chown(path, owner.uid, owner.gid)

    @property
    def settings(self):
        return f"uv: ''\nfind_links: [{self.wheels}]\noffline: true"

    def shared(self):
        state = self.agent.state
        return [state / name for name in ("environments", "checkouts", "objects", "images") if (state / name).exists()]

    def fingerprint_now(self):
        return fingerprint(*self.shared())

    def assert_unchanged(self, before):
        now = fingerprint(*self.shared())
        self.assertEqual([f"{path}: {before.get(path)} -> {now.get(path)}" for path in sorted({*before, *now})
                          if before.get(path) != now.get(path)], [])

    def in_environment(self, *command, **options):
        return self.acting_run("run", "--requirements", "requirements.txt", "--", *command, cwd=self.code, **options)

    def built(self):
        """The environment's directory, once it is there."""
        self.assertEqual(self.in_environment("python", "-c", SHOWN).out, "1.0 False\n")
        [environment] = self.agent.get("/v1/environments")["environments"]
        place = self.agent.state / "environments" / environment["digest"]
        # It is on disk some time after it is there.
        harness.eventually(lambda: not json.loads((place / "ready.json").read_text())["only_in_boot"], "it is on disk")
        return place

    def changes_of_last(self):
        return json.loads(self.acting_run("--json", "show", "@last", cwd=self.code).out)["attempts"][-1]["environment_changes"]

    def nothing_shared_can_be_changed(self, root=False):
        environment = self.built()
        state = self.agent.state
        place = next(environment.glob("made/prefix/lib/python*/site-packages"))
        checkout = next(path for path in sorted((state / "checkouts").glob("*/*/tree")) if (path / "data.txt").exists())
        other = self.agent.sh("sleep 1000") if root else None
        files = [environment / "ready.json", environment / "uses", checkout / "data.txt", state / "berth.db", state / "lock",
                 *sorted((state / "objects").glob("*.objects")), *sorted((state / "environments/cache").glob("*"))[:3]]
        inside = [place / "needed.py", environment / "made/prefix/pyvenv.cfg"]
        directories = [state, environment, environment / "made", state / "environments", state / "environments/cache",
                       checkout, checkout.parent, state / "checkouts", state / "objects", state / "jobs",
                       *([self.agent.launch_directory(other)] if other else [])]
        before = fingerprint(*self.shared())
        given = {"state": str(state), "agent": self.agent.pid, "root": root, "files": [str(path) for path in files],
                 "directories": [str(path) for path in directories]}
        out = self.in_environment(harness.PYTHON, "attack.py", json.dumps(given)).out
        self.assertEqual(out, "DONE []\n")
        given.update(files=[str(path) for path in inside], directories=[str(place)])
        self.in_environment(harness.PYTHON, "attack.py", json.dumps(given))
        self.assertGreater(self.changes_of_last()["files"], 0)
        self.assert_unchanged(before)
        self.assertEqual(self.in_environment("python", "-c", SHOWN).out, "1.0 False\n")
        self.assertEqual((checkout / "data.txt").read_text(), "data\n")
        if other:
            self.agent.cancel(other)

    def what_pip_changes_is_the_jobs_own(self):
        environment = self.built()
        before = fingerprint(*self.shared())
        self.assertEqual(self.changes_of_last(), {"files": 0, "added": [], "removed": [], "shared": False, "unknown": None})
        self.assertEqual(self.in_environment("sh", "-c", CHANGE.format(wheels=self.wheels)).out, "1.0\n")
        changes = self.changes_of_last()
        self.assertEqual((changes["added"], changes["removed"], changes["unknown"]), (["other-1.0"], ["needed-1.0"], None))
        self.assertGreater(changes["files"], 5)
        page = self.acting_run("show", "@last", cwd=self.code).out
        self.assertIn("added other-1.0; removed needed-1.0 (in this job alone)", page)
        self.assertEqual(self.in_environment("python", "-c", SHOWN).out, "1.0 False\n")
        self.assertEqual(self.changes_of_last()["files"], 0)
        self.assert_unchanged(before)
        self.assertIn("needed", self.acting_run("env", "show", environment.name[:12], cwd=self.code).out)
        # Compiled again is not changed.
        self.in_environment("sh", "-c", 'python -m compileall -q -f "$VIRTUAL_ENV"/lib/*/site-packages/needed.py')
        self.assertEqual(self.changes_of_last()["files"], 0)
        self.assertEqual(self.agent.get("/v1/status")["environment_changes"], "own")
