"""How images come and go: made ahead, held by jobs, given back when disks are full, and never half made.

A real Docker engine, whose data is on a file system of its own, with a registry that only it reaches."""

import contextlib
import json
import os
import random
import time

import harness
from engine_case import LONG, EngineTest, label_of
from engine_images import BASE
from harness import eventually
from small_disk import SmallDisk, ext4_works

MIB = 1 << 20
DISK = 320 * MIB
ROUNDS = int(os.environ.get("BERTH_KILL_ROUNDS", "6"))


def disk_of(path):
    """(free, total)"""
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize


class ImageLifeTest(EngineTest):
    registries = True

    @classmethod
    def prepare_place(cls, place):
        cls.data = place / "data"
        cls.own_disk = ext4_works(place)
        if cls.own_disk:
            SmallDisk(cls.data, DISK)  # the engine unmounts what is below its directory

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.layers = cls.engine.name_of("plain", "layers:1")  # 24 MiB
        cls.api = cls.engine.api

    # --- the engine

    def images(self, agent):
        return self.api.images(label_of(agent))

    @contextlib.contextmanager
    def filled(self, leave):
        """The engine's disk, but for so many bytes, with what others have there."""
        filler = self.data / "filler"
        try:
            with open(filler, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, disk_of(self.data)[0] - leave)
            yield
        finally:
            filler.unlink(missing_ok=True)

    # --- the agent

    def configure(self, agent, more, socket=None):
        agent.configure(self.settings(more, socket))

    def context(self, name, size=MIB, steps=""):
        directory = self.dockerfile(f"FROM {BASE}\nCOPY data /data\n{steps}", name)
        (directory / "data").write_bytes(os.urandom(size))
        return directory

    def make(self, agent, *options):
        """Its digest, and what was printed meanwhile."""
        done = agent.berth("env", "build", *options, timeout=120)
        return done.out.strip(), done.err

    def environments(self, agent):
        return {each["digest"]: each for each in agent.berth_json("env", "ls")["environments"]}

    def submit(self, agent, script, *options, **more):
        return super().submit(agent, script, "--no-code", *options, **more)

    def gc(self, agent, *options):
        report = agent.berth_json("gc", *options)
        return report, next(kind for kind in report["kinds"] if kind["kind"] == "images")

    # --- made ahead, listed, removed

    def test_images_are_made_ahead_listed_and_removed(self):
        agent = self.image_agent()
        pulled, said = self.make(agent, "--image", self.layers)
        self.assertIn("pulling", said)
        self.assertEqual(self.make(agent, "--image", self.layers), (pulled, ""))
        context = self.context("docker")
        built, said = self.make(agent, "--dockerfile", context)
        self.assertIn("COPY data /data", said)
        self.assertEqual(self.make(agent, "--dockerfile", context), (built, ""))
        (context / "Dockerfile").rename(context / "Dockerfile.other")
        self.assertEqual(self.make(agent, "--dockerfile", context / "Dockerfile.other")[0] == built, False)
        eventually(lambda: not list((agent.state / "incoming").iterdir()), "contexts go")
        environments = self.environments(agent)
        self.assertEqual(len(environments), 3)
        self.assertGreater(environments[pulled]["bytes"], 24 * MIB)
        self.assertRegex(agent.berth("env", "ls").out, rf"{pulled[:12]} +image +2\d\.?\d* MiB +(just now|.* ago) +image 127")
        job = self.submit(agent, "sleep 1000", image=self.layers)
        agent.wait_state(job, "Running", patience=LONG)
        self.assertEqual(agent.job(job)["environment_digest"], pulled)
        self.assertIn("in use", agent.berth("env", "rm", pulled[:12], expect=None).err)
        self.assertTrue(self.environments(agent)[pulled]["in_use"])
        agent.cancel(job)
        agent.wait(job)
        self.assertIn(job, agent.berth("env", "show", pulled[:12]).out)
        self.remove_environment(agent, pulled)
        self.assertFalse(self.api.has_image(self.layers))
        for digest in set(environments) - {pulled}:
            agent.berth("env", "rm", digest[:12])
        self.assertEqual(self.environments(agent), {})
        self.assertEqual(self.images(agent), [])

    def test_somebodys_own_image_is_used_and_never_listed_nor_removed(self):
        agent = self.image_agent()
        own, _ = self.make(agent, "--image", BASE)
        self.completed(agent, self.submit(agent, "true"))
        self.assertEqual(self.environments(agent), {})
        self.assertIn("no environment", agent.berth("env", "rm", own[:12], expect=None).err)
        agent.berth("gc")
        self.assertTrue(self.api.has_image(BASE))
        # One that somebody else has given a name of his own stays with him.
        pulled, _ = self.make(agent, "--image", self.layers)
        self.api.tag(self.layers, "somebody/else", 1)
        agent.berth("env", "rm", pulled[:12])
        self.assertFalse(self.api.has_image(self.layers))
        self.assertTrue(self.api.has_image("somebody/else:1"))

    def test_a_build_that_goes_on_without_who_began_it_keeps_what_it_is_built_in(self):
        agent = self.image_agent("builds_at_once: 1")
        first = self.submit(agent, "true", "--dockerfile", str(self.context("slow", steps="RUN sleep 1000\n")))
        self.await_log(agent, first, "sleep 1000", stream="build")  # its output can be followed
        building = lambda: [build["running"] for build in agent.building()]
        eventually(lambda: building() == [True], "it is built", 60)
        context = str(self.context("shared"))
        gives_up, stays = (self.submit(agent, "test -e /data", "--dockerfile", context) for _ in range(2))
        eventually(lambda: sorted(building()) == [False, True], "the second waits for the first", 60)
        agent.cancel(gives_up)
        agent.wait(gives_up)
        agent.cancel(first)
        self.completed(agent, stays)

    # --- held and had again

    def test_what_a_waiting_job_was_prepared_with_stays(self):
        agent = self.image_agent("image_budget: 1KiB", parallel=1)
        blocker = agent.sh("sleep 1000")
        agent.wait_state(blocker, "Running")
        job = self.submit(agent, "test -s /one", image=self.layers)
        digest = agent.wait_state(job, "Queued", patience=LONG)["environment_digest"]
        self.assertIn("in use", agent.berth("env", "rm", digest[:12], expect=None).err)
        _, images = self.gc(agent)
        self.assertEqual((images["held"]["count"], images["going"]["count"]), (1, 0))
        self.assertIn("live jobs have them", images["staying"][0]["why"])
        agent.kill()  # the next agent holds it as well
        agent.start()
        self.assertIn("in use", agent.berth("env", "rm", digest[:12], expect=None).err)
        agent.cancel(blocker)
        self.completed(agent, job)
        eventually(lambda: self.gc(agent) and self.environments(agent) == {}, "the budget takes it after the job")

    def test_an_image_that_somebody_removed_is_had_again(self):
        agent = self.image_agent(parallel=1)
        self.completed(agent, self.submit(agent, "true", image=self.layers))
        self.remove_images()
        self.assertFalse(self.api.has_image(self.layers))
        again = self.submit(agent, "test -s /one", image=self.layers)
        self.completed(agent, again)
        self.assertIn("pulling", agent.berth("logs", "--build", again).out)
        # And between preparation and start.
        blocker = agent.sh("sleep 1000")
        agent.wait_state(blocker, "Running")
        job = self.submit(agent, "test -s /one", image=self.layers)
        agent.wait_state(job, "Queued", patience=LONG)
        self.remove_images()
        agent.cancel(blocker)
        self.completed(agent, job)
        # What is gone when an agent starts is forgotten.
        self.remove_images()
        agent.restart()
        eventually(lambda: self.environments(agent) == {}, "it is forgotten")

    # --- the disk manager

    def test_the_budget_of_images_takes_the_least_recently_used(self):
        agent = self.image_agent()
        made = [self.make(agent, "--dockerfile", self.context(f"docker{i}", 8 * MIB))[0] for i in range(3)]
        self.make(agent, "--dockerfile", self.place / "docker0")  # used again
        before = disk_of(self.data)[0]
        agent.stop()
        self.configure(agent, "image_budget: 26MiB")
        agent.start()
        eventually(lambda: set(self.environments(agent)) == {made[0], made[2]}, "the one least recently used is gone")
        if self.own_disk:
            eventually(lambda: disk_of(self.data)[0] > before + 7 * MIB, "its space is free again")
        _, images = self.gc(agent, "--dry-run")
        self.assertEqual((images["held"]["count"], images["going"]["count"]), (2, 0))
        self.assertTrue(self.api.has_image(BASE))

    def test_the_engines_disk_has_watermarks_of_its_own(self):
        if not self.own_disk:
            self.skipTest("no file system for the engine's own")
        agent = self.image_agent("disk_high: 85%\ndisk_low: 80%")
        old, kept = [self.make(agent, "--dockerfile", self.context(name, 40 * MIB))[0] for name in ("old", "kept")]
        disk = agent.get("/v1/status")["disk"]
        self.assertEqual((disk["image_disk"]["directory"], disk["image_disk"]["shared"]), (str(self.data), False))
        self.assertEqual(disk["kept"]["images"], 0)  # not on this disk
        self.assertGreater(disk["image_disk"]["kept_bytes"], 80 * MIB)
        self.assertRegex(agent.berth("status").out, rf"Images +up to \d+ MiB where {self.data} is")
        _, images = self.gc(agent, "--dry-run")
        self.assertEqual(images["going"]["count"], 0)
        self.assertIn("the container engine's disk is", images["staying"][0]["why"])
        with self.filled(DISK // 10):
            told, images = self.gc(agent, "--dry-run")
            self.assertEqual(images["going"]["count"], 1, told)
            self.assertIn(old[:8], told["items"][0]["what"])
            self.assertTrue(any(f"where {self.data} is, is" in remark for remark in told["remarks"]), told)
            # A job that ends makes the disk manager look.
            self.completed(agent, self.submit(agent, "true"))
            eventually(lambda: set(self.environments(agent)) == {kept}, "the old one goes by itself")
        self.assertIn(f"where {self.data} is, is", agent.log())

    def test_what_is_built_upon_goes_after_what_builds_upon_it(self):
        agent = self.image_agent()
        below, _ = self.make(agent, "--dockerfile", self.context("below", 8 * MIB))
        directory = self.dockerfile(f"FROM berth/env:{below[:32]}\nRUN echo above > /above\n", "above")
        above, _ = self.make(agent, "--dockerfile", directory)
        error = agent.berth("env", "rm", below[:12], expect=None).err
        self.assertIn("other images are built upon it", error)
        self.assertTrue(self.api.has_image(f"berth/env:{below[:32]}"))
        if self.own_disk:
            with self.filled(MIB):
                told, _ = self.gc(agent, "--dry-run")
            self.assertEqual([digest[:8] in item["what"] for digest, item in zip((above, below), told["items"])],
                             [True, True], told)
            self.assertLess(told["items"][0]["bytes"], MIB)  # without what is below it
        agent.stop()
        self.configure(agent, "image_budget: 1KiB")
        agent.start()
        eventually(lambda: self.environments(agent) == {}, "both are gone")
        eventually(lambda: self.images(agent) == [], "and so in the engine")

    def test_an_engine_that_hangs_holds_nobody_up(self):
        agent = self.image_agent()
        digest, _ = self.make(agent, "--dockerfile", self.context("docker"))

        def start_and_use():
            """How long it takes."""
            begin = time.monotonic()
            agent.start()
            self.assertIn(digest, self.environments(agent))
            agent.berth("env", "show", digest[:12])
            self.assertEqual(agent.wait(agent.sh("true"))["state"], "Completed")
            return time.monotonic() - begin
        agent.stop()
        usual = start_and_use()
        agent.stop()
        self.configure(agent, "image_budget: 1KiB")
        with self.engine.hanging():
            begin = time.monotonic()
            self.assertLess(start_and_use(), usual + 9)  # whoever waits for the engine does so for 10 seconds
            report, images = self.gc(agent)
            self.assertEqual((report["items"], images["held"]["count"]), ([], 1))
            _, images = self.gc(agent)
            self.assertIn("could not be removed", images["staying"][0]["why"])
            self.assertEqual(agent.wait(agent.sh("true"))["state"], "Completed")
            self.assertLess(time.monotonic() - begin, 19 + 4 * usual)  # the engine is waited for once
        eventually(lambda: self.environments(agent) == {}, "the engine goes on with what it was asked", 60)
        self.make(agent, "--dockerfile", self.place / "docker")
        with self.engine.hanging():
            begin = time.monotonic()
            self.assertEqual(agent.stop(), 0)
            self.assertLess(time.monotonic() - begin, 10)
        agent.start()

    def test_without_an_engine_the_disk_manager_works(self):
        agent = self.image_agent("image_budget: 1KiB")
        digest, _ = self.make(agent, "--dockerfile", self.context("docker"))
        agent.stop()
        self.configure(agent, "image_budget: 1KiB", socket="/nonexistent/docker.sock")
        agent.start()
        self.assertEqual(self.gc(agent)[0]["items"], [])
        report, images = self.gc(agent)
        self.assertEqual((report["items"], images["held"]["count"]), ([], 1))
        self.assertIn("/nonexistent/docker.sock", images["staying"][0]["why"])
        self.assertIn(digest, self.environments(agent))

    # --- full disks

    def test_a_full_disk_of_the_engine_is_told(self):
        if not self.own_disk:
            self.skipTest("no file system for the engine's own")
        agent = self.image_agent("outage_patience: 1s")
        with self.filled(6 * MIB):
            for job in (self.submit(agent, "true", image=self.layers),
                        self.submit(agent, "true", "--dockerfile", str(self.context("copy", 16 * MIB))),
                        self.submit(agent, "true", "--dockerfile",
                                    str(self.context("step", steps="RUN dd if=/dev/zero of=/big bs=1M count=64\n")))):
                ended = agent.wait(job, 120)
                self.assertEqual(ended["ending"]["kind"], "disk_full", ended)
                self.assertIn(f"keeps images in {self.data}", ended["ending_words"])
                self.assertIn("berth gc", ended["ending_words"])
        self.assertEqual(self.environments(agent), {})
        self.completed(agent, self.submit(agent, "test -s /one", image=self.layers))

    # --- kill -9

    def test_an_agent_killed_while_it_builds_leaves_nothing_half_made(self):
        agent = self.image_agent()
        steps = "RUN dd if=/dev/urandom of=/two bs=1M count=4\nRUN sleep 0.5\nRUN cp /two /three\n"
        jobs = []
        for number in range(ROUNDS):
            context = str(self.context(f"d{number}", MIB, steps))
            jobs.append(self.submit(agent, "test -s /three", "--dockerfile", context))
            self.kill_at_random(agent)
        self.assert_all_is_whole(agent, jobs)

    def test_an_agent_killed_while_it_pulls_leaves_nothing_half_made(self):
        agent = self.image_agent()
        for _ in range(ROUNDS):
            jobs = [self.submit(agent, "test -s /one", image=self.layers)]
            self.kill_at_random(agent)
            self.assert_all_is_whole(agent, jobs)
            self.assertFalse(self.api.has_image(self.layers))

    def kill_at_random(self, agent):
        time.sleep(random.uniform(0, 2.5))
        agent.kill()
        agent.start()
        self.assert_nothing_half_made(agent)

    def assert_all_is_whole(self, agent, jobs):
        for job in jobs:
            self.completed(agent, job)
        eventually(lambda: self.api.containers() == [], "no container is left")
        eventually(lambda: self.api.volumes(label_of(agent)) == [], "their volumes have gone after them")
        self.assert_nothing_half_made(agent)
        for digest in self.environments(agent):
            self.remove_environment(agent, digest)
        self.assertEqual(self.images(agent), [])

    def assert_nothing_half_made(self, agent):
        """Every image with Berth's label has its name, which it gets last, and every environment is in the engine."""
        for image in self.images(agent):
            self.assertTrue(image["RepoTags"], image)
        eventually(lambda: all(map(self.api.has_image, self.images_on_record(agent))),
                   "what is not in the engine is forgotten")

    def images_on_record(self, agent):
        ready = agent.state.glob("images/*/ready.json")
        return [json.loads(path.read_text())["image"] for path in ready]


if __name__ == "__main__":
    harness.main()
