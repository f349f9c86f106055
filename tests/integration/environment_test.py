"""Environments that the agent makes: shared, kept, told about, rebuilt from locks, and never half made.

Real pip from an index page and wheels of the test's own; real conda packages where the fixture of the conda tests is."""

import json
import os
import shutil
import unittest
from pathlib import Path

import harness
from harness import BerthTest, eventually
from pages import Page
from wheels import make_wheel

INDEX = os.environ.get("BERTH_TEST_PACKAGE_INDEX")
DIGITS = harness.ROOT / "packaging/examples/digits"
# How this machine reaches the index, where it takes more than its address.
ROUTE = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_CERT", "SSL_CERT_FILE")
CONDA = Path(os.environ.get("BERTH_CONDA_FIXTURE", harness.ROOT / "build/dev/conda"))
SHOW = "import sys, {0}; print(sys.prefix, {0}.version)"


class Environments(BerthTest):
    def setUp(self):
        super().setUp()
        self.wheels = self.directory("wheels")
        for version in ("1.0", "2.0"):
            make_wheel(self.wheels, "needed", version)
            make_wheel(self.wheels, "needs", version, ["needed<2"] if version == "1.0" else ["needed"])
        self.code = self.directory("code")
        self.page = None

    def dismantle(self):
        if self.page:
            self.page.close()

    def agent_with(self, source, more=""):
        return self.start_agent(config=f"cpus: 8\nmax_parallel: 8\nuv: ''\nfind_links: [{source}]\noffline: true\n{more}")

    def agent_behind_page(self):
        self.page = Page(self.wheels)
        return self.agent_with(self.page.url)

    def file(self, text, name="requirements.txt"):
        path = self.code / name
        path.write_text(text)
        return name

    def start(self, agent, option, file, *command, more=()):
        return agent.berth("submit", "--no-code", option, file, *more, "--", *command, cwd=self.code).out.strip()

    def python(self, agent, file, package, more=()):
        return self.start(agent, "--requirements", file, "python", "-c", SHOW.format(package), more=more)

    def environments(self, agent):
        return agent.get("/v1/environments")["environments"]


class VenvTest(Environments):
    # --- the same for all who ask for the same

    def test_one_build_for_all_who_ask_for_the_same(self):
        agent = self.agent_behind_page()
        files = [self.file("needs==1.0\n"), self.file("# why\nneeds == 1.0   # pinned\n\n", "other.txt")]
        jobs = [self.python(agent, files[i % 2], "needs") for i in range(10)]
        self.page.asked.wait(30)
        waiting = agent.job(jobs[-1])["waiting"]
        self.assertIn("waits for the", waiting)
        self.assertIn("building for", waiting)
        self.assertEqual(len(agent.building()), 1)
        self.page.open.set()
        ended = [agent.wait(job, 60) for job in jobs]
        self.assertEqual({job["state"] for job in ended}, {"Completed"})
        self.assertEqual(len({agent.log_of(job) for job in jobs}), 1)
        self.assertEqual(len({job["environment_digest"] for job in ended}), 1)
        self.assertEqual(len(self.environments(agent)), 1)
        for job in (jobs[0], jobs[-1]):
            self.assertIn("Successfully installed", agent.berth("logs", "--build", job).out)
        self.page.open.clear()  # what is there asks nobody
        again = agent.wait(self.python(agent, files[0], "needs"))
        self.assertEqual(again["state"], "Completed")
        self.assertIn("Successfully installed", agent.berth("logs", "--build", "@last").out)

    def test_what_is_written_differently_and_means_something_else(self):
        agent = self.agent_with(self.wheels)
        self.file("needed==1.0", "pins.txt")
        first = agent.wait(self.python(agent, self.file("-r pins.txt"), "needed"), 60)
        self.file("needed==2.0", "pins.txt")
        second = agent.wait(self.python(agent, "requirements.txt", "needed"), 60)
        self.assertNotEqual(first["environment_digest"], second["environment_digest"])
        self.assertTrue(agent.log_of(second["id"]).endswith(b" 2.0\n"))

    # --- failures

    def test_a_build_that_fails_says_why_and_is_not_used(self):
        agent = self.agent_with(self.wheels)
        job = agent.wait(self.python(agent, self.file("needs==7\n"), "needs"), 60)
        self.assertEqual((job["state"], job["ending"]["kind"]), ("Failed", "environment_failed"))
        self.assertIn("No matching distribution found for needs==7", job["ending_words"])
        self.assertIn("needs==7", agent.berth("logs", "--build", job["id"]).out)
        self.assertEqual(self.environments(agent), [])
        make_wheel(self.wheels, "needs", "7")
        agent.berth("retry", job["id"])
        self.assertEqual(agent.wait(job["id"], 60)["state"], "Completed")

    def test_mistakes_are_told_where_they_are_made(self):
        agent = self.agent_with(self.wheels)
        said = agent.berth("submit", "--requirements", "nope.txt", "--", "true", cwd=self.code, expect=2).err
        self.assertIn("nope.txt", said)
        self.file("-r gone.txt")
        said = agent.berth("submit", "--requirements", "requirements.txt", "--", "true", cwd=self.code, expect=2).err
        self.assertIn("requirements.txt' includes a file", said)
        job = agent.wait(self.python(agent, self.file("-e ."), "needs"), 60)
        self.assertEqual(job["ending"]["kind"], "environment_failed")
        job = agent.wait(self.python(agent, self.file("needs"), "needs", more=["--python", "2.3"]), 60)
        self.assertEqual(job["ending"]["kind"], "environment_failed")
        self.assertIn("2.3", job["ending_words"])

    def test_cancelling_the_last_who_waits_stops_the_build(self):
        agent = self.agent_behind_page()
        job = self.python(agent, self.file("needs"), "needs")
        self.page.asked.wait(30)
        agent.cancel(job)
        self.assertEqual(agent.wait(job)["state"], "Canceled")
        eventually(lambda: agent.building() == [], "the build is stopped")
        self.assertEqual(self.environments(agent), [])

    def test_an_agent_that_dies_leaves_nothing_half_made(self):
        agent = self.agent_behind_page()
        job = self.python(agent, self.file("needs"), "needs")
        for _ in range(3):
            self.page.asked.wait(30)
            agent.kill()
            agent.start()
            self.assertEqual(agent.job(job)["state"], "Preparing")
        self.page.open.set()
        self.assertEqual(agent.wait(job, 60)["state"], "Completed")
        self.assertEqual(len(self.environments(agent)), 1)

    # --- what people do with them

    def test_a_lock_builds_the_same_again(self):
        agent = self.agent_with(self.wheels)
        first = agent.wait(self.python(agent, self.file("needs==1.0"), "needed"), 60)
        name = first["environment_digest"][:12]
        lock = agent.berth("env", "lock", name).out
        self.assertIn("needed==1.0", json.loads(lock)["pip"])
        self.assertIn("needs==1.0\n", agent.berth("env", "export", name).out)
        self.file(lock, "lock.json")
        second = agent.wait(self.start(agent, "--env-lock", "lock.json", "python", "-c", SHOW.format("needed")), 60)
        self.assertEqual(second["state"], "Completed", second)
        self.assertTrue(agent.log_of(second["id"]).endswith(b" 1.0\n"))

    def test_they_are_listed_shown_and_removed(self):
        agent = self.agent_with(self.wheels)
        self.assertIn("no environments yet", agent.berth("env", "ls").out)
        self.file("needs==2.0")
        name = agent.berth("env", "build", "--requirements", "requirements.txt", cwd=self.code).out.strip()
        self.assertIn(name[:12], agent.berth("env", "ls").out)
        job = self.start(agent, "--requirements", "requirements.txt", "sleep", "300")
        agent.running_pid(job, "sleep 300")
        shown = agent.berth("env", "show", name[:6]).out
        self.assertIn("needed==2.0", shown)
        self.assertIn(job, shown)
        self.assertIn("Successfully installed", agent.berth("env", "log", name[:6]).out)
        self.assertIn("in use", agent.berth("env", "rm", name[:6], expect=None).err + agent.berth("env", "ls").out)
        self.assertEqual(len(self.environments(agent)), 1)
        agent.cancel(job)
        agent.wait(job)
        agent.berth("env", "rm", name)
        self.assertEqual(self.environments(agent), [])
        self.assertIn("there is no environment", agent.berth("env", "show", name, expect=2).err)

    def test_jobs_of_an_earlier_agent_keep_theirs(self):
        agent = self.agent_with(self.wheels)
        self.file("needs")
        job = self.start(agent, "--requirements", "requirements.txt", "sleep", "300")
        agent.running_pid(job, "sleep 300")
        agent.restart()
        self.assertTrue(self.environments(agent)[0]["in_use"])
        agent.cancel(job)
        agent.wait(job)
        eventually(lambda: not self.environments(agent)[0]["in_use"], "it is given back")

    def test_the_disk_manager_gives_their_space_back(self):
        agent = self.agent_with(self.wheels)
        agent.wait(self.python(agent, self.file("needs"), "needs"), 60)
        told = agent.berth_json("gc", "--free", "100GiB", "--dry-run")
        self.assertIn("environments", {item["kind"] for item in told["items"]})
        agent.berth("gc", "--free", "100GiB")
        self.assertEqual(self.environments(agent), [])


@unittest.skipUnless(INDEX, "BERTH_TEST_PACKAGE_INDEX names no package index; packaging/check looks for one")
class IndexTest(Environments):
    def test_a_real_training_from_a_requirements_file(self):
        route = {name: os.environ[name] for name in ROUTE if name in os.environ}
        agent = self.start_agent(config=f"cpus: 8\nmax_parallel: 8\nuv: ''\npip_index: {json.dumps(INDEX)}\n"
                                        f"build_environment: {json.dumps(route)}")
        code = self.place / "digits"
        shutil.copytree(DIGITS, code)
        trained = [self.train(agent, code) for _ in range(2)]
        self.assertEqual(len({job["environment_digest"] for job in trained}), 1)
        self.assertEqual(len(self.environments(agent)), 1)
        lock = json.loads(agent.berth("env", "lock", trained[0]["environment_digest"][:12]).out)
        self.assertTrue(any(line.startswith("scikit-learn==") for line in lock["pip"]), lock)

    def train(self, agent, code):
        job = agent.berth("submit", "--requirements", "requirements.txt", "--", "python", "train.py", "--epochs", "5",
                          cwd=code).out.strip()
        eventually(lambda: agent.job(job)["state"] not in harness.LIVE, "it has been trained", 600, 0.2)
        record = agent.job(job)
        self.assertEqual(record["state"], "Completed", record.get("ending_words"))
        self.assertIn(b"epoch  5/5", agent.log_of(job))
        agent.berth("download", job, cwd=self.place)
        metrics = json.loads((self.place / job / "outputs/metrics.json").read_text())
        self.assertGreater(metrics["accuracy"], 0.9)
        return record


@unittest.skipUnless((CONDA / "bin/micromamba").exists(), "the conda tests' fixture is not made")
class CondaTest(Environments):
    def conda_agent(self):
        return self.start_agent(config=f"conda: {CONDA}/bin/micromamba\nconda_channels: ['file://{CONDA}/channel']\n"
                                       f"find_links: [{self.wheels}]\noffline: true")

    def test_a_conda_environment_with_its_activation_and_pip_part(self):
        agent = self.conda_agent()
        self.file("dependencies:\n  - python\n  - activated\n  - pip\n  - pip:\n    - needs==1.0\n", "environment.yml")
        script = "import os, sys, needs; print(needs.version, os.environ['GREETING'] == 'hello from ' + sys.prefix)"
        job = agent.wait(self.start(agent, "--conda", "environment.yml", "python", "-c", script), 120)
        self.assertEqual(job["state"], "Completed", job)
        self.assertEqual(agent.log_of(job["id"]), b"1.0 True\n")
        self.assertIn("@EXPLICIT", agent.berth("env", "export", job["environment_digest"][:12]).out)

    def test_a_spec_that_cannot_be_met(self):
        agent = self.conda_agent()
        self.file("dependencies: [python=3.1]\n", "environment.yml")
        job = agent.wait(self.start(agent, "--conda", "environment.yml", "true"), 120)
        self.assertEqual(job["ending"]["kind"], "environment_failed")
        self.assertIn("python", job["ending_words"])


if __name__ == "__main__":
    harness.main()
