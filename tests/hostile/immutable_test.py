"""What jobs share, no job changes: environments as they were built, checkouts, objects, the agent's own state, other jobs'
directories; tried as a user of a root agent, as root, as the user whose agent it is, and from a container.

What a job changes in its environment is its own: it works, it is on record, and the next job sees nothing of it."""

import hashlib
import json
import os
import shutil
import stat
import unittest
from pathlib import Path

from hostile import HostileTest, harness, main

from engine_case import EngineTest
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


class OfRootAgentTest(Shared, HostileTest):
    def setUp(self):
        super().setUp()
        self.who = self.attacker
        self.prepare_files(self.who)
        self.start(self.settings)

    def acting_run(self, *arguments, **options):
        return self.berth(self.who, *arguments, **options)

    def test_a_user_changes_nothing_that_is_shared_and_pip_what_is_his_jobs_own(self):
        self.nothing_shared_can_be_changed()
        self.what_pip_changes_is_the_jobs_own()
        code = self.files_of(self.victim, requirements_txt="needed==1.0\n")
        seen = self.berth(self.victim, "run", "--no-code", "--requirements", "requirements.txt", "--", "python", "-c", SHOWN, cwd=code)
        self.assertEqual(seen.out, "1.0 False\n")

    def test_while_a_job_has_it_changed_another_runs_in_it_as_it_was_built(self):
        self.built()
        script = f"{CHANGE.format(wheels=self.wheels)} echo ready; sleep 1000"
        job = self.berth(self.who, "submit", "--requirements", "requirements.txt", "--", "sh", "-c", script, cwd=self.code).out.strip()
        harness.eventually(lambda: b"ready" in self.agent.log_of(job), "it has changed its own")
        layer = self.agent.launch_directory(job) / "environment"
        for who in (self.victim, self.attacker):  # closed to all but the agent
            self.assertNotEqual(self.run_as(who, "ls", layer / "upper", expect=None).returncode, 0)
        self.assertEqual(self.in_environment("python", "-c", SHOWN).out, "1.0 False\n")
        self.agent.kill()  # the next agent finds what the job changed
        self.agent.start()
        self.agent.cancel(job)
        ended = self.agent.wait(job)
        self.assertEqual(ended["attempts"][-1]["environment_changes"]["added"], ["other-1.0"])


class OfRootTest(Shared, HostileTest):
    """Root's own jobs: for a real root nothing is a border, but a plain write fails."""

    def setUp(self):
        super().setUp()
        self.prepare_files()
        self.start(self.settings)

    def acting_run(self, *arguments, **options):
        return self.agent.berth(*arguments, **options)

    def test_roots_jobs_change_nothing_that_is_shared_and_pip_what_is_their_own(self):
        self.nothing_shared_can_be_changed(root=True)
        self.what_pip_changes_is_the_jobs_own()


class OwnAgent(Shared, HostileTest):
    """A user's own agent: it and the job are one user."""

    before = ()  # what goes before the agent's command line

    def setUp(self):
        super().setUp()
        self.who = self.attacker
        programs = self.place / "programs"  # the build may lie where others cannot look
        (programs / "lib").mkdir(parents=True)
        (programs / "bin").mkdir()
        for name in ("berthd", "berth-shim", "berth"):
            shutil.copy(harness.BIN / name, programs / "bin")
        if (harness.BIN.parent / "lib/berth").is_dir():
            shutil.copytree(harness.BIN.parent / "lib/berth", programs / "lib/berth")
        self.prepare_files(self.who)
        for name in (".", "home", "tmp", "work"):
            os.chown(self.place / name, self.who.uid, self.who.gid)
        prefix = [*self.before, "setpriv", f"--reuid={self.who.uid}", f"--regid={self.who.gid}", "--clear-groups"]
        self.agent = self.start_agent(config=f"cpus: 8\nmax_parallel: 8\n{self.settings}", cgroup=False,
                                      programs=programs / "bin", prefix=prefix)

    def acting_run(self, *arguments, **options):
        return self.agent.berth(*arguments, **options)


class OfOwnAgentTest(OwnAgent):
    def setUp(self):
        super().setUp()
        if self.agent.get("/v1/status")["environment_changes"] == "shared":
            self.skipTest("users cannot make namespaces here")

    def test_a_job_changes_nothing_that_it_shares_with_others_of_its_user_and_pip_what_is_its_own(self):
        self.nothing_shared_can_be_changed()
        self.what_pip_changes_is_the_jobs_own()

    def test_a_jobs_own_contract_files_are_out_of_its_reach(self):
        job = self.agent.sh("for name in ending.json started.json stop.json launch.json claim; do "
                            "( echo '{}' > $BERTH_LAUNCH/$name ) 2>/dev/null && echo $name; done; echo end")
        self.assertEqual(self.agent.wait(job)["ending"], {"kind": "exited", "code": 0})
        self.assertEqual(self.agent.log_of(job), b"end\n")


# As where users may make no namespaces: what the program is run in has everybody, and no further one to give.
WITHOUT_NAMESPACES = """
import ctypes, os, sys
told, tell = os.pipe()
here = os.getpid()
mapping = os.fork()
if mapping == 0:
    os.read(told, 1)
    for file in ("uid_map", "gid_map"):
        with open(f"/proc/{here}/{file}", "w") as opened:
            opened.write("0 0 4294967295")
    os._exit(0)
if ctypes.CDLL(None, use_errno=True).unshare(0x10000000) != 0:
    sys.exit("no user namespace: " + os.strerror(ctypes.get_errno()))
os.write(tell, b"x")
os.waitpid(mapping, 0)
with open("/proc/sys/user/max_user_namespaces", "w") as opened:
    opened.write("0")
os.execvp(sys.argv[1], sys.argv[1:])
"""


class WithoutNamespacesTest(OwnAgent):
    """Permissions are all there is, and looking whether they were enough."""

    before = (harness.PYTHON, "-c", WITHOUT_NAMESPACES)

    def test_an_environment_that_a_job_changed_is_told_and_made_again(self):
        status = self.agent.get("/v1/status")
        self.assertEqual(status["environment_changes"], "shared")
        self.assertIn("permissions alone", " ".join(status["remarks"]))
        self.built()
        pip = f"python -m pip -q install --no-index --find-links {self.wheels} other"
        self.assertNotEqual(self.in_environment("sh", "-c", pip, expect=None).returncode, 0)
        self.assertEqual(self.changes_of_last(), {"files": 0, "added": [], "removed": [], "shared": False, "unknown": None})
        self.in_environment("sh", "-c", f"chmod -R u+w $VIRTUAL_ENV; {pip}")
        self.assertTrue(self.changes_of_last()["shared"])
        self.assertIn("made again", self.acting_run("show", "@last", cwd=self.code).out)
        self.assertEqual(self.in_environment("python", "-c", SHOWN).out, "1.0 False\n")
        self.assertNotEqual(self.in_environment("python", "-c", "import other", expect=None).returncode, 0)
        self.assertFalse(self.changes_of_last()["shared"])


class InContainerTest(EngineTest):
    """What an engine binds into a container is the launch's own."""

    config = "cpus: 8\nmax_parallel: 8"

    def test_a_containers_root_changes_nothing_that_is_shared(self):
        agent = self.image_agent()
        code = self.directory("code", data_txt="data\n")
        self.completed(agent, self.submit(agent, "true", code=code))
        shared = [agent.state / name for name in ("environments", "checkouts", "objects", "images")]
        before = fingerprint(*shared)
        script = f"""
            for place in {agent.state} {agent.state}/*; do touch $place/planted; mkdir -p $place/made; done 2>/dev/null
            find {agent.state} / -xdev -name 'data.txt' 2>/dev/null | while read f; do echo x >> $f; chmod 777 $f; done
            mount -o remount,rw / 2>/dev/null; echo changed > data.txt; cat data.txt; rm -rf /bin/vi /usr/bin/vi
            echo mine > /etc/planted; echo mine > /bin/planted"""
        job = self.completed(agent, self.submit(agent, script, code=code))
        self.assertEqual(agent.log_of(job["id"]), b"changed\n")
        again = self.submit(agent, "cat data.txt; ls /etc/planted /bin/planted 2>/dev/null; test -e planted || echo clean", code=code)
        self.completed(agent, again)
        self.assertEqual(agent.log_of(again), b"data\nclean\n")
        now = fingerprint(*shared)
        self.assertEqual([path for path in sorted({*before, *now}) if before.get(path) != now.get(path)], [])


if __name__ == "__main__":
    main()
