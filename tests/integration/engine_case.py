"""Test classes with a real Docker engine (engine.py) of their own; skipped where there can be none."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

import engine
import harness
from engine_api import EngineApi
from engine_images import BASE
from harness import BerthTest, eventually

LONG = 120  # seconds for what an engine does in a few
WHY_NOT = engine.missing()


class RunningEngine:
    """A process of engine.py, whose directory is `place`: dockerd's data is below it in `data`."""

    def __init__(self, place, registries):
        self.place = place
        options = [] if registries else ["--no-registries"]
        self.process = harness.family.popen([harness.PYTHON, engine.__file__, str(place), *options],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        harness.family.apart.add(self.process.pid)
        self.facts = json.loads(self.process.stdout.readline())
        self.socket = self.facts["socket"]
        self.api = EngineApi(self.socket)

    def name_of(self, registry, image):
        return f"{self.facts['registries'][registry]}/berth-test/{image}"

    def restart(self, how):
        self._do(f"restart {how}")

    def shut_down(self, how="SIGTERM"):
        self._do(f"stop {how}")

    def start_again(self):
        self._do("start")

    def stop_registry(self, name):
        self._do(f"stop-registry {name}")

    def start_registry(self, name):
        self._do(f"start-registry {name}")

    def _do(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    @contextlib.contextmanager
    def hanging(self):
        """It takes connections, and answers when this is over."""
        dockerd = int((self.place / "pid").read_text())
        os.kill(dockerd, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(dockerd, signal.SIGCONT)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()
        harness.family.apart.discard(self.process.pid)


@unittest.skipIf(WHY_NOT, WHY_NOT)
class EngineTest(BerthTest):
    """All its tests share the engine. One with registries has nothing but the base image when a test begins."""
    registries = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        place = Path(tempfile.mkdtemp(prefix="be-"))  # short, for sockets are below it
        cls.prepare_place(place)
        cls.engine = RunningEngine(place, cls.registries)
        cls.remove_images()  # so that those of the registries travel

    @classmethod
    def prepare_place(cls, place):
        """For what must be in the engine's directory before it starts."""

    @classmethod
    def tearDownClass(cls):
        cls.engine.stop()
        shutil.rmtree(cls.engine.place, ignore_errors=True)
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        if self.registries:
            self.addCleanup(self.remove_images)

    # --- the engine

    @classmethod
    def remove_images(cls):
        """All but the base. A job's container, which has one, goes after the job's end is told."""
        api = cls.engine.api
        eventually(lambda: not api.containers(), "no container is left", LONG)

        def all_gone():
            left = [image for image in api.images() if BASE not in (image["RepoTags"] or [])]
            for image in left:  # in the next round again what another one is built upon
                api.ask("DELETE", f"/images/{image['Id']}?force=1")
            return not left
        eventually(all_gone, "all images but the base are gone", LONG)

    def containers(self, agent):
        return self.engine.api.containers(label_of(agent))

    # --- the agent

    def settings(self, more="", socket=None, parallel=8):
        return f"cpus: 8\nmax_parallel: {parallel}\ndocker_socket: {socket or self.engine.socket}\n{more}"

    def image_agent(self, more="", parallel=8, **options):
        return self.start_agent(config=self.settings(more, parallel=parallel), **options)

    def dockerfile(self, text, name="docker", **files):
        """A directory with the Dockerfile, and with files as directory() makes them."""
        context = self.directory(name, **files)
        (context / "Dockerfile").write_text(text)
        return context

    def submit(self, agent, script, *options, code=None, image=BASE):
        """The id of a job in the image, or in what the option --dockerfile says; with an empty directory as its code,
        unless `code` or the option --no-code says otherwise."""
        where = [] if "--dockerfile" in options else ["--image", image]
        return agent.berth("submit", *where, *options, "--", "sh", "-c", script,
                           cwd=code or self.directory("code")).out.strip()

    def await_log(self, agent, job, words, **query):
        eventually(lambda: words in agent.log_of(job, **query).decode(), f"{job} has written {words!r}", LONG)

    def completed(self, agent, job):
        """The record of the job, which must end well."""
        ended = agent.wait(job, LONG)
        self.assertEqual(ended["state"], "Completed", ended)
        return ended

    def remove_environment(self, agent, digest):
        """As soon as nobody has it: the last job's container goes after the job's end is told."""
        eventually(lambda: agent.berth("env", "rm", digest[:12], expect=None).returncode == 0, f"{digest} goes", LONG)


def label_of(agent):
    """What containers, volumes and images of the agent carry."""
    return f"io.berth.state={agent.state}"
