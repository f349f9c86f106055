"""Code, git, Python environments and outputs: what a job runs with, and what it leaves."""

import json
import os
import shutil
import subprocess
import unittest

import harness
from harness import PYTHON, BerthTest, contents_below


class SnapshotTest(BerthTest):
    config = "cpus: 8\nmax_parallel: 8"

    def test_the_job_runs_in_a_tree_of_its_own(self):
        agent = self.start_agent()
        code = self.directory("code", train_py="print('hello')\n")
        (code / "pkg/deep").mkdir(parents=True)
        (code / "pkg/deep/data").write_bytes(bytes(range(256)) * 20)
        (code / "run.sh").write_text("#!/bin/sh\npwd; cat pkg/deep/data | sha256sum; readlink link; test -x run.sh\n")
        (code / "run.sh").chmod(0o755)
        (code / "link").symlink_to("pkg/deep/data")
        done = agent.berth("run", "--", "./run.sh", cwd=code)
        where, digest, link = done.out.splitlines()
        self.assertNotEqual(where, str(code))
        self.assertTrue(where.startswith(str(agent.state)), where)
        expected = subprocess.run(["sha256sum"], input=bytes(range(256)) * 20, capture_output=True).stdout.decode()
        self.assertEqual((digest, link), (expected.strip(), "pkg/deep/data"))

    def test_later_edits_never_reach_it(self):
        agent = self.start_agent()
        code = self.directory("code", train_py="print('before')\n", other_py="x")
        job = agent.berth("submit", "--hold", "--", "train.py", cwd=code).out.strip()
        (code / "train.py").write_text("print('after')\n")
        (code / "other.py").unlink()
        agent.berth("release", job)
        agent.wait(job)
        self.assertEqual(agent.log_of(job), b"before\n")
        self.assertEqual(agent.berth("run", "--", "train.py", cwd=code).out, "after\n")

    def test_what_a_job_writes_reaches_no_other_job(self):
        agent = self.start_agent()
        code = self.directory("code", data_txt="original\n", remove_txt="here\n")
        agent.berth("run", "--", "sh", "-c", "echo changed > data.txt; rm remove.txt; echo new > new.txt; chmod 600 data.txt",
                    cwd=code)
        done = agent.berth("run", "--", "sh", "-c", "cat data.txt remove.txt; ls", cwd=code)
        self.assertEqual(done.out, "original\nhere\ndata.txt\nremove.txt\n")
        self.assertEqual((code / "data.txt").read_text(), "original\n")
        first, second = (job["snapshot"] for job in agent.records()[-2:])
        self.assertEqual(first, second)

    def test_each_attempt_starts_from_the_snapshot(self):
        agent = self.start_agent()
        code = self.directory("code", counter="0\n")
        done = agent.berth("run", "--retry", "1", "--", "sh", "-c",
                           "cat counter; echo 1 > counter; [ $BERTH_ATTEMPT = 2 ]", cwd=code)
        self.assertEqual(done.out, "0\n0\n")

    def test_ignored_files_are_not_sent(self):
        agent = self.start_agent()
        code = self.directory("code", _gitignore="*.log\nbuild/\n!keep.log\n", a_py="", b_log="", keep_log="")
        (code / "build").mkdir()
        (code / "build/big").write_text("x")
        subprocess.run(["git", "init", "-q"], cwd=code, check=True, env={**os.environ, "HOME": str(self.place)})
        done = agent.berth("run", "--", "sh", "-c", "ls -A", cwd=code)
        self.assertEqual(done.out.split(), [".gitignore", "a.py", "keep.log"])
        (code / ".amlignore").write_text("a.py\n")
        done = agent.berth("run", "--", "sh", "-c", "ls -A", cwd=code)
        self.assertEqual(done.out.split(), [".amlignore", ".gitignore", "b.log", "build", "keep.log"])

    def test_code_and_workdir(self):
        agent = self.start_agent()
        code = self.directory("code", top_txt="top\n")
        (code / "sub").mkdir()
        (code / "sub/in.txt").write_text("in\n")
        self.assertEqual(agent.berth("run", "--code", code, "--", "cat", "top.txt").out, "top\n")
        self.assertEqual(agent.berth("run", "--code", code, "--workdir", "sub", "--", "cat", "in.txt", "../top.txt").out,
                         "in\ntop\n")
        self.assertEqual(agent.berth("run", "--", "ls", cwd=code / "sub").out, "in.txt\n")

    def test_no_code_runs_in_place(self):
        agent = self.start_agent()
        done = agent.berth("run", "--no-code", "--", "sh", "-c", "pwd; echo made > made.txt")
        self.assertEqual(done.out, f"{self.place}/work\n")
        self.assertEqual((self.place / "work/made.txt").read_text(), "made\n")
        self.assertIsNone(agent.job("@last")["snapshot"])
        other = self.directory("other")
        self.assertEqual(agent.berth("run", "--no-code", "--workdir", other, "--", "pwd").out, f"{other}\n")

    def test_an_empty_directory_is_code_too(self):
        agent = self.start_agent()
        self.assertEqual(agent.berth("run", "--", "ls", "-A", cwd=self.directory("empty")).out, "")

    def test_many_jobs_of_one_snapshot_run_side_by_side(self):
        agent = self.start_agent()
        code = self.directory("code", n_txt="0\n")
        job = agent.berth("submit", "--", "true", cwd=code).out.strip()
        snapshot = agent.wait(job)["snapshot"]
        jobs = [agent.sh(f"cat n.txt; echo {n} > n.txt; sleep 0.1; cat n.txt", snapshot=snapshot) for n in range(16)]
        for number, job in enumerate(jobs):
            agent.wait(job)
            self.assertEqual(agent.log_of(job), f"0\n{number}\n".encode())

    def test_another_agent_has_to_be_sent_it_again(self):
        first, second = self.start_agent(), self.start_agent("other")
        code = self.directory("code", train_py="print('hi')\n")
        for agent in (first, second, first):
            self.assertEqual(agent.berth("run", "--", "train.py", cwd=code).out, "hi\n")
        second.stop()
        shutil.rmtree(second.state)  # it lost everything, and the sender does not know
        second.start()
        (code / "more.py").write_text("")
        self.assertEqual(second.berth("run", "--", "train.py", cwd=code).out, "hi\n")

    def test_code_that_was_damaged_on_the_node_is_not_run(self):
        agent = self.start_agent()
        code = self.directory("code", train_py="print('hi')\n" * 100)
        (code / "noise.bin").write_bytes(os.urandom(200_000))
        for options in ((), ("--retry", "snapshot_failed=1")):
            agent.berth("submit", "--hold", *options, "--", "true", cwd=code)
        agent.stop()
        shutil.rmtree(agent.state / "checkouts")
        for container in (agent.state / "objects").glob("*.objects"):
            content = bytearray(container.read_bytes())
            for offset in range(len(content) // 4, len(content) * 3 // 4):
                content[offset] ^= 0x55
            container.write_bytes(content)
        agent.start()
        once, twice = [job["id"] for job in agent.jobs(all=False)]
        for job, attempts in ((once, 1), (twice, 2)):
            agent.act(job, "release")
            ended = agent.wait(job)
            self.assertEqual((ended["state"], ended["ending"]["kind"]), ("Failed", "snapshot_failed"))
            self.assertEqual(ended["exit_code"], 125)
            self.assertEqual([each["ending"]["kind"] for each in ended["attempts"]], ["snapshot_failed"] * attempts)
            self.assertEqual(agent.log_of(job), b"")
        self.assertEqual(agent.wait(agent.submit("true"))["state"], "Completed")

    def test_code_can_be_had_back(self):
        agent = self.start_agent()
        code = self.directory("code", train_py="print('hi')\n")
        (code / "sub").mkdir()
        (code / "sub/run.sh").write_text("#!/bin/sh\n")
        (code / "sub/run.sh").chmod(0o755)
        (code / "big.bin").write_bytes(os.urandom(3 << 20))
        job = agent.berth("submit", "--hold", "--", "train.py", cwd=code).out.strip()
        agent.berth("download", job, "--code")
        back = self.place / "work" / job / "code"
        self.assertEqual((back / "train.py").read_text(), "print('hi')\n")
        self.assertEqual((back / "big.bin").read_bytes(), (code / "big.bin").read_bytes())
        self.assertTrue(os.access(back / "sub/run.sh", os.X_OK))


class OutputTest(BerthTest):
    config = "cpus: 8\nmax_parallel: 8"

    def test_outputs_are_collected(self):
        agent = self.start_agent()
        code = self.directory("code", a_txt="a")
        agent.berth("run", "--", "sh", "-c", "mkdir -p outputs/deep; echo model > outputs/model.txt; "
                    "head -c 3000000 /dev/urandom > outputs/deep/weights; echo elsewhere > other.txt", cwd=code)
        job = agent.job("@last")
        self.assertTrue(job["attempts"][0]["outputs"])
        agent.berth("download", "@last")
        got = self.place / "work" / job["id"]
        self.assertEqual(sorted(str(path.relative_to(got)) for path in got.rglob("*") if path.is_file()),
                         ["outputs/deep/weights", "outputs/model.txt"])
        self.assertEqual((got / "outputs/deep/weights").stat().st_size, 3_000_000)
        said = agent.berth("download", "@last", expect=2).err  # it overwrites nothing
        self.assertIn("is there already", said)
        agent.berth("download", "@last", "--into", self.place / "elsewhere")
        self.assertTrue((self.place / "elsewhere/outputs/model.txt").exists())

    def test_other_directories_are_collected_where_asked(self):
        agent = self.start_agent()
        code = self.directory("code", a_txt="a")
        (code / "checkpoints").mkdir()
        (code / "checkpoints/old.pt").write_text("old")
        agent.berth("run", "--output", "checkpoints", "--output", "logs/tb", "--", "sh", "-c",
                    "echo new > checkpoints/new.pt; mkdir -p logs/tb; echo e > logs/tb/events; echo x > logs/not", cwd=code)
        agent.berth("download", "@last")
        got = self.place / "work" / agent.job("@last")["id"]
        self.assertEqual(sorted(str(path.relative_to(got)) for path in got.rglob("*") if path.is_file()),
                         ["checkpoints/new.pt", "logs/tb/events"])

    def test_outputs_are_relative_to_where_the_job_runs(self):
        agent = self.start_agent()
        code = self.directory("code", a_txt="a")
        (code / "sub").mkdir()
        (code / "sub/b.txt").write_text("b")
        agent.berth("run", "--workdir", "sub", "--", "sh", "-c", "mkdir outputs; echo m > outputs/m", cwd=code)
        agent.berth("download", "@last")
        self.assertEqual((self.place / "work" / agent.job("@last")["id"] / "outputs/m").read_text(), "m\n")

    def test_a_job_in_place_collects_what_was_asked(self):
        agent = self.start_agent()
        agent.berth("run", "--no-code", "--output", "results", "--", "sh", "-c", "mkdir results; echo r > results/r")
        agent.berth("download", "@last")
        self.assertEqual((self.place / "work" / agent.job("@last")["id"] / "results/r").read_text(), "r\n")

    def test_no_outputs(self):
        agent = self.start_agent()
        code = self.directory("code", a_txt="a")
        agent.berth("run", "--", "true", cwd=code)
        self.assertIsNone(agent.job("@last")["attempts"][0]["outputs"])
        self.assertIn("no outputs", agent.berth("download", "@last", expect=2).err)

    def test_a_failed_job_and_each_attempt_have_theirs(self):
        agent = self.start_agent()
        code = self.directory("code", a_txt="a")
        agent.berth("run", "--retry", "1", "--", "sh", "-c",
                    "mkdir outputs; echo $BERTH_ATTEMPT > outputs/n; exit 1", cwd=code, expect=1)
        agent.berth("download", "@last", "--into", "last")
        agent.berth("download", "@last", "--attempt", "1", "--into", "first")
        self.assertEqual((self.place / "work/last/outputs/n").read_text(), "2\n")
        self.assertEqual((self.place / "work/first/outputs/n").read_text(), "1\n")

    def test_strange_outputs(self):
        agent = self.start_agent()
        code = self.directory("code", a_txt="a")
        agent.berth("run", "--", PYTHON, "-ISEc", "import os, socket; os.mkdir('outputs'); os.chdir('outputs')\n"
                    "os.mkfifo('pipe'); os.symlink('/etc/passwd', 'out'); os.symlink('loop', 'loop')\n"
                    "open(b'caf\\xe9', 'w').close(); open('new\\nline', 'w').close(); open('good', 'w').write('g')\n"
                    "socket.socket(socket.AF_UNIX).bind('socket')", cwd=code)
        agent.berth("download", "@last")
        got = self.place / "work" / agent.job("@last")["id"] / "outputs"
        self.assertEqual((got / "good").read_text(), "g")
        self.assertEqual(os.readlink(got / "out"), "/etc/passwd")
        remarks = agent.berth("logs", "--agent", "@last").out
        for word in ("pipe", "socket", "new", "caf"):
            self.assertIn(word, remarks)
        self.assertEqual(agent.job("@last")["state"], "Completed")

    def test_an_output_directory_that_is_a_link_is_not_followed(self):
        agent = self.start_agent()
        code = self.directory("code", a_txt="a")
        private = self.directory("private", secret_txt="secret")
        agent.berth("run", "--", "ln", "-s", private, "outputs", cwd=code)
        self.assertIsNone(agent.job("@last")["attempts"][0]["outputs"])


@unittest.skipUnless(shutil.which("git"), "needs git")
class GitTest(BerthTest):
    config = "cpus: 8"

    def git(self, *arguments, cwd):
        done = subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@b.c", *arguments], cwd=cwd, check=True,
                              capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"], "HOME": str(self.place), "GIT_CONFIG_NOSYSTEM": "1"})
        return done.stdout.strip()

    def repository(self):
        code = self.directory("code", train_py="print('one')\n")
        self.git("init", "-q", "-b", "main", cwd=code)
        self.git("add", ".", cwd=code)
        self.git("commit", "-q", "-m", "first", cwd=code)
        self.git("remote", "add", "origin", "https://user:s3cret-token@example.com/team/project.git", cwd=code)
        return code

    def test_a_clean_tree(self):
        agent = self.start_agent()
        code = self.repository()
        job = agent.berth("submit", "--hold", "--", "train.py", cwd=code).out.strip()
        shown = agent.job(job)
        properties = shown["properties"]
        self.assertEqual(properties["azureml.git.commit"], self.git("rev-parse", "HEAD", cwd=code))
        self.assertEqual(properties["mlflow.source.git.commit"], properties["azureml.git.commit"])
        self.assertEqual(properties["azureml.git.branch"], "main")
        self.assertEqual(properties["azureml.git.dirty"], "False")
        self.assertEqual(properties["azureml.git.repository_uri"], "https://example.com/team/project.git")
        self.assertIsNone(shown["diff"])
        self.assertIn("no diff", agent.berth("download", job, "--diff", expect=2).err)

    def test_a_changed_tree_has_its_diff(self):
        agent = self.start_agent()
        code = self.repository()
        (code / "train.py").write_text("print('two')\n")
        job = agent.berth("submit", "--hold", "--", "train.py", cwd=code).out.strip()
        self.assertEqual(agent.job(job)["properties"]["azureml.git.dirty"], "True")
        agent.berth("download", job, "--diff")
        diff = (self.place / "work" / job / "code.diff").read_text()
        self.assertIn("-print('one')", diff)
        self.assertIn("+print('two')", diff)
        self.git("checkout", "-q", ".", cwd=code)
        self.git("apply", str(self.place / "work" / job / "code.diff"), cwd=code)
        self.assertEqual((code / "train.py").read_text(), "print('two')\n")
        self.assertIn("with changes", agent.berth("show", job).out)

    def test_credentials_are_nowhere(self):
        agent = self.start_agent()
        code = self.repository()
        (code / "train.py").write_text("print('two')\n")
        agent.berth("run", "--", "train.py", cwd=code)
        self.assertNotIn("s3cret", json.dumps(agent.jobs() + agent.records()) + agent.berth("show", "@last").out + agent.log())
        agent.stop()
        for directory in (agent.state, self.place / "home"):
            for path, content in contents_below(directory):
                self.assertNotIn(b"s3cret", content, path)

    def test_git_runs_nothing(self):
        """Hooks, filters and the like of a repository that somebody else wrote."""
        agent = self.start_agent()
        code = self.repository()
        mark = self.place / "executed"
        for name, value in (("core.fsmonitor", f"touch {mark}"), ("diff.external", f"touch {mark}"),
                            ("filter.x.clean", f"touch {mark}"), ("core.sshCommand", f"touch {mark}")):
            self.git("config", name, value, cwd=code)
        (code / ".gitattributes").write_text("* filter=x\n")
        (code / "train.py").write_text("print('two')\n")
        self.assertEqual(agent.berth("run", "--", "train.py", cwd=code).out, "two\n")
        self.assertFalse(mark.exists())

    def test_a_subdirectory_and_a_repository_without_commits(self):
        agent = self.start_agent()
        code = self.repository()
        (code / "sub").mkdir()
        (code / "sub/a.py").write_text("print('a')\n")
        self.git("add", ".", cwd=code)
        self.git("commit", "-q", "-m", "second", cwd=code)
        self.assertEqual(agent.berth("run", "--", "a.py", cwd=code / "sub").out, "a\n")
        self.assertEqual(agent.job("@last")["properties"]["berth.git.path"], "sub")
        fresh = self.directory("fresh", b_py="print('b')\n")
        self.git("init", "-q", cwd=fresh)
        self.assertEqual(agent.berth("run", "--", "b.py", cwd=fresh).out, "b\n")

    def test_what_only_looks_like_a_repository(self):
        agent = self.start_agent()
        for content in (None, "gitdir: /no/such/place\n"):
            code = self.directory(f"code-{content is None}", a_py="print('a')\n")
            if content is None:
                (code / ".git").mkdir()
            else:
                (code / ".git").write_text(content)
            self.assertEqual(agent.berth("run", "--", "a.py", cwd=code).out, "a\n")


class PythonTest(BerthTest):
    config = "cpus: 8"

    def test_a_script_runs_with_python3(self):
        agent = self.start_agent()
        code = self.directory("code", train_py="import sys\nprint(sys.argv[1:], flush=True)\nsys.exit(4)\n")
        done = agent.berth("run", "train.py", "--epochs", "3", cwd=code, expect=4)
        self.assertEqual(done.out, "['--epochs', '3']\n")
        record = agent.job("@last")["environment_record"]
        self.assertEqual(record["kind"], "user-managed")
        self.assertRegex(record["version"], r"\A3\.\d+\.\d+")

    def test_a_virtual_environment_is_used_and_recorded(self):
        agent = self.start_agent()
        subprocess.run([PYTHON, "-m", "venv", "--without-pip", str(self.place / "venv")], check=True)
        site = next((self.place / "venv").glob("lib/python3*/site-packages"))
        (site / "somepackage.py").write_text("value = 42\n")
        info = site / "somepackage-1.2.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somepackage\nVersion: 1.2.3\n")
        (info / "RECORD").write_text("")
        code = self.directory("code", train_py="import somepackage, sys\nprint(somepackage.value, sys.prefix)\n")
        done = agent.berth("run", "--python", self.place / "venv/bin/python", "--", "python", "train.py", cwd=code)
        self.assertEqual(done.out, f"42 {self.place}/venv\n")
        record = agent.job("@last")["environment_record"]
        self.assertIn("somepackage==1.2.3", record["packages"])
        self.assertEqual((record["venv"], record["prefix"]), (True, f"{self.place}/venv"))
        told = agent.berth("show", "@last").out
        self.assertIn(record["version"], told)


if __name__ == "__main__":
    harness.main()
