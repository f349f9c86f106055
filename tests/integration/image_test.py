"""Jobs in containers of a real Docker engine: the same as any other job, but for where they run."""

import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.parse
from pathlib import Path

import engine as docker
import harness
from harness import BerthTest, eventually

IMAGE = "berth-test/base:1"
WHY_NOT = docker.missing()


@unittest.skipIf(WHY_NOT, WHY_NOT)
class ImageTest(BerthTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine_place = Path(tempfile.mkdtemp(prefix="be-"))
        cls.engine = harness.family.popen(
            [harness.PYTHON, docker.__file__, str(cls.engine_place), "--no-registries"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        harness.family.apart.add(cls.engine.pid)
        cls.socket = harness.json.loads(cls.engine.stdout.readline())["socket"]

    @classmethod
    def tearDownClass(cls):
        cls.engine.stdin.close()
        cls.engine.wait(60)
        cls.engine.stdout.close()
        harness.family.apart.discard(cls.engine.pid)
        shutil.rmtree(cls.engine_place, ignore_errors=True)
        super().tearDownClass()

    def image_agent(self, more=""):
        return self.start_agent(config=f"cpus: 8\nmax_parallel: 8\ndocker_socket: {self.socket}\n{more}")

    def submit(self, agent, script, *options, code=None, image=IMAGE):
        code = code or self.directory("code")
        return agent.berth("submit", "--image", image, *options, "--", "sh", "-c", script, cwd=code).out.strip()

    def containers(self, agent):
        return self.containers_labelled(f"io.berth.state={agent.state}")

    def containers_labelled(self, label):
        filters = '{"label":["%s"]}' % label
        connection = docker.UnixConnection(self.socket)
        connection.request("GET", f"/containers/json?all=1&filters={urllib.parse.quote(filters)}")
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        self.assertEqual(answer.status, 200, body)
        return harness.json.loads(body)

    def restart_engine(self, how):
        self.engine.stdin.write(f"restart {how}\n")
        self.engine.stdin.flush()
        self.engine.stdout.readline()

    def test_a_job_in_an_image_is_like_any_other(self):
        agent = self.image_agent()
        code = self.directory("code", data_txt="hello")
        job = self.submit(agent, "cat data.txt; pwd; echo $HOME $BERTH_JOB_ID; mkdir outputs; echo 42 > outputs/x; exit 3",
                          code=code)
        ended = agent.wait(job, 60)
        self.assertEqual((ended["state"], ended["exit_code"]), ("Failed", 3), ended)
        log = agent.log_of(job).decode()
        self.assertTrue(log.startswith("hello"), log)
        self.assertIn(job, log)
        self.assertIsNotNone(ended["attempts"][-1]["outputs"])
        agent.berth("download", job, cwd=self.place)
        self.assertEqual((self.place / job / "outputs/x").read_text(), "42\n")
        self.assertEqual(ended["environment_record"]["kind"], "image")
        eventually(lambda: self.containers(agent) == [], "its container is gone")

    def test_it_sees_nothing_of_the_machine(self):
        agent = self.image_agent()
        job = self.submit(agent, f"ls {harness.ROOT} 2>&1; ls /proc | grep -c '^[0-9]'; id -u; grep NoNewPrivs /proc/self/status")
        agent.wait(job, 60)
        log = agent.log_of(job).decode()
        self.assertIn("No such file", log)
        self.assertIn("NoNewPrivs:\t1", log)

    def test_cancelling_and_time_limits(self):
        agent = self.image_agent()
        jobs = [self.submit(agent, "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done"),
                self.submit(agent, "sleep 1000", "--timeout", "2s", "--grace", "1s")]
        eventually(lambda: b"up" in agent.log_of(jobs[0]), "it runs", 60)
        agent.cancel(jobs[0])
        self.assertEqual(agent.wait(jobs[0], 60)["state"], "Canceled")
        self.assertEqual(agent.wait(jobs[1], 60)["ending"]["kind"], "timed_out")
        eventually(lambda: self.containers(agent) == [], "nothing is left")

    def test_an_agent_that_dies_finds_its_containers_again(self):
        agent = self.image_agent()
        code = self.directory("code")
        job = self.submit(agent, "echo up; while [ ! -e go ]; do sleep 0.1; done; echo done; exit 7", code=code)
        eventually(lambda: b"up" in agent.log_of(job), "it runs", 60)
        other = self.submit(agent, "echo up; sleep 1")
        eventually(lambda: b"up" in agent.log_of(other), "it runs", 60)
        agent.kill()
        time.sleep(1.5)  # the other one ends meanwhile
        agent.start()
        self.assertEqual(agent.wait(other, 60)["state"], "Completed")
        self.assertEqual(agent.job(job)["state"], "Running")
        (agent.launch_directory(job) / "upper/go").touch()
        agent.cancel(job)
        self.assertIn(agent.wait(job, 60)["state"], ("Canceled", "Failed"))
        eventually(lambda: self.containers(agent) == [], "nothing is left")

    def test_memory(self):
        agent = self.image_agent()
        job = self.submit(agent, "tail /dev/zero", "--memory", "32M")
        ended = agent.wait(job, 60)
        self.assertEqual(ended["state"], "Failed")
        self.assertIn(ended["ending"]["kind"], ("out_of_memory", "exited"))

    def test_an_engine_that_goes_away_is_told_truthfully(self):
        agent = self.image_agent()
        job = self.submit(agent, "echo up; sleep 1000")
        eventually(lambda: b"up" in agent.log_of(job), "it runs", 60)
        self.restart_engine("SIGTERM")
        ended = agent.wait(job, 60)
        self.assertEqual((ended["state"], ended["ending"]["kind"]), ("Failed", "lost"), ended)
        self.assertIn("container", ended["ending_words"])

    def test_mistakes_are_told(self):
        agent = self.image_agent("image_pull: never")
        job = agent.wait(self.submit(agent, "true", image="nowhere.example/none:1"), 60)
        self.assertEqual(job["ending"]["kind"], "image_failed")
        self.assertIn("nowhere.example/none", job["ending_words"])
        job = agent.wait(self.submit(agent, "true", image="gpu"), 60)
        self.assertIn("gpu", job["ending_words"])

    def test_without_an_engine(self):
        agent = self.start_agent(config="docker_socket: /nonexistent/docker.sock")
        job = agent.wait(self.submit(agent, "true"), 60)
        self.assertEqual(job["ending"]["kind"], "image_failed")
        self.assertIn("/nonexistent/docker.sock", job["ending_words"])

    def test_a_dockerfile_is_built_once(self):
        agent = self.image_agent()
        context = self.directory("docker")
        (context / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY note /note\nRUN echo built > /built\n")
        (context / "note").write_text("from the context\n")
        code = self.directory("code")
        start = lambda: agent.berth("submit", "--dockerfile", str(context), "--", "cat", "/note", "/built",
                                    cwd=code).out.strip()
        first = agent.wait(start(), 120)
        self.assertEqual(first["state"], "Completed", first)
        self.assertEqual(agent.log_of(first["id"]), b"from the context\nbuilt\n")
        self.assertIn("Step", agent.berth("logs", "--build", first["id"]).out)
        second = agent.wait(start(), 60)
        self.assertEqual(second["environment_digest"], first["environment_digest"])
        (context / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo no; exit 9\n")
        failed = agent.wait(start(), 120)
        self.assertEqual(failed["ending"]["kind"], "image_failed")
        self.assertIn("exit 9", failed["ending_words"])
        agent.berth("env", "rm", first["environment_digest"][:12])


if __name__ == "__main__":
    harness.main()
