"""What a job's record says about its code is what was sent, by content, whatever git was told to look away from."""

import json
import os
import subprocess
import unittest
from pathlib import Path

from harness import BerthTest, main

HAS_GIT = subprocess.run(["git", "--version"], capture_output=True).returncode == 0


@unittest.skipUnless(HAS_GIT, "there is no git")
class ProvenanceTest(BerthTest):
    def setUp(self):
        super().setUp()
        self.home = self.place / "home"
        self.home.mkdir(exist_ok=True)
        (self.home / ".gitconfig").write_text("[user]\nname = Ann\nemail = ann@example.org\n[init]\ndefaultBranch = main\n"
                                              "[protocol \"file\"]\nallow = always\n")
        self.agent = self.start_agent()

    def git(self, where, *arguments):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8"}
        subprocess.run(["git", *arguments], cwd=where, env=environment, check=True, capture_output=True, timeout=60)

    def repository(self, name="code", **files):
        where = self.place / name
        where.mkdir()
        self.git(where, "init", "-q")
        for path, content in (files or {"train_py": "print('train')\n"}).items():
            (where / path.replace("_", ".", 1)).write_text(content)
        self.git(where, "add", "-A")
        self.git(where, "commit", "-qm", "first")
        return where

    def record_of(self, where):
        """The properties and the page of a job from this directory."""
        # No entry of the machine's own configuration may trust what is another user's.
        environment = {"HOME": str(self.home), "GIT_CONFIG_NOSYSTEM": "1"}
        self.agent.berth("run", "--", "true", cwd=where, environment=environment)
        job = self.agent.job("@last")
        return job["properties"], self.agent.berth("show", job["id"]).out, job

    def test_code_from_a_directory_that_git_does_not_track(self):
        where = self.repository()
        deep = where / "sub" / "deep"
        deep.mkdir(parents=True)
        (deep / "v.py").write_text("print('never committed')\n")
        properties, page, _ = self.record_of(deep)
        self.assertEqual(properties["azureml.git.dirty"], "True")
        self.assertEqual(json.loads(properties["berth.git.untracked"]), ["sub/deep/v.py"])
        self.assertIn("with changes", page)
        self.assertEqual(self.record_of(where)[0]["azureml.git.dirty"], "True")

    def test_a_sparse_checkout_is_clean_and_tells_what_it_lacks(self):
        where = self.repository()
        for name in ("d", "e"):
            (where / name).mkdir()
            (where / name / "x").write_text(name)
        self.git(where, "add", "-A")
        self.git(where, "commit", "-qm", "more")
        self.git(where, "sparse-checkout", "set", "d")
        properties, page, job = self.record_of(where)
        self.assertEqual(properties["berth.git.state"], "clean")
        self.assertEqual(properties["berth.git.not_checked_out"], "1")
        self.assertIn(", clean", page)
        self.assertIn("not checked out: 1", page)
        self.assertFalse(job.get("diff"))

    @unittest.skipUnless(os.geteuid() == 0, "only root can give files to another user")
    def test_a_repository_that_is_another_users_is_unknown_for_a_reason(self):
        where = self.repository()
        subprocess.run(["chown", "-R", "65534", where], check=True)
        properties, page, _ = self.record_of(where)
        self.assertIn("unknown, because the repository belongs to another user", properties["berth.git.state"])
        self.assertEqual(properties["azureml.git.dirty"], "Unknown")
        self.assertIn("unknown, because the repository belongs to another user", page)
        self.assertIn("safe.directory", page)

    def test_a_repository_without_a_commit_says_so(self):
        where = self.place / "fresh"
        where.mkdir()
        (where / "a.py").write_text("print(1)\n")
        self.git(where, "init", "-q")
        properties, page, _ = self.record_of(where)
        self.assertEqual(properties["berth.git.state"], "no commit yet")
        self.assertRegex(page, r"Commit +no commit yet\n")

    def test_a_clean_work_tree_stays_clean_and_a_change_of_its_submodule_is_in_the_diff(self):
        inner = self.repository("inner", lib_py="one\n")
        where = self.repository()
        self.git(where, "submodule", "--quiet", "add", str(inner), "third")
        self.git(where, "commit", "-qm", "submodule")
        self.assertEqual(self.record_of(where)[0]["berth.git.state"], "clean")
        (where / "third" / "lib.py").write_text("two\n")
        properties, _, job = self.record_of(where)
        self.assertEqual(properties["berth.git.state"], "changed")
        self.agent.berth("download", job["id"], "--diff", "-o", self.place / "out")
        diff = "".join(each.read_text() for each in Path(self.place / "out").iterdir())
        self.assertIn("+++ b/third/lib.py", diff)
        self.assertIn("+two", diff)

    def test_a_change_that_git_was_told_to_look_away_from_is_told(self):
        where = self.repository()
        self.git(where, "update-index", "--assume-unchanged", "train.py")
        (where / "train.py").write_text("print('other')\n")
        properties, page, _ = self.record_of(where)
        self.assertEqual(properties["berth.git.state"], "changed")
        self.assertIn("with changes", page)


if __name__ == "__main__":
    main()
