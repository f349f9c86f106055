"""Jobs in containers of a real Docker engine: the same as any other job, but for where they run."""

import base64
import json

import harness
import machine_agent_test as users
from engine_case import EngineTest
from engine_images import BASE as IMAGE
from harness import contents_below, eventually


class ImageTest(EngineTest):
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
        self.await_log(agent, jobs[0], "up")
        agent.cancel(jobs[0])
        self.assertEqual(agent.wait(jobs[0], 60)["state"], "Canceled")
        self.assertEqual(agent.wait(jobs[1], 60)["ending"]["kind"], "timed_out")
        eventually(lambda: self.containers(agent) == [], "nothing is left")

    def test_an_agent_that_dies_finds_its_containers_again(self):
        agent = self.image_agent()
        code = self.directory("code")
        job = self.submit(agent, "echo up; while [ ! -e go ]; do sleep 0.1; done; echo done; exit 7", code=code)
        self.await_log(agent, job, "up")
        other = self.submit(agent, "echo up; while [ ! -e $HOME/go ]; do sleep 0.1; done")
        self.await_log(agent, other, "up")
        agent.kill()
        (agent.launch_directory(other) / "tmp/go").touch()
        eventually((agent.launch_directory(other) / "ending.json").exists, "the other one ends meanwhile")
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
        self.await_log(agent, job, "up")
        self.engine.restart("SIGTERM")
        ended = agent.wait(job, 60)
        self.assertEqual((ended["state"], ended["ending"]["kind"]), ("Failed", "lost"), ended)
        self.assertIn("container", ended["ending_words"])

    def test_its_end_is_told_before_its_container_is_gone(self):
        agent = self.image_agent()
        job = self.submit(agent, "echo up; while [ ! -e $HOME/go ]; do sleep 0.05; done; echo done")
        self.await_log(agent, job, "up")
        eventually(lambda: agent.job(job)["started"], "the agent knows")
        with self.engine.hanging():
            (agent.launch_directory(job) / "tmp/go").touch()
            self.assertEqual(agent.wait(job)["state"], "Completed")
            self.assertTrue(agent.log_of(job).endswith(b"done\n"))
        eventually(lambda: self.containers(agent) == [], "its container is gone")

    def test_mistakes_are_told(self):
        agent = self.image_agent("image_pull: never")
        job = agent.wait(self.submit(agent, "true", image="nowhere.example/none:1"), 60)
        self.assertEqual(job["ending"]["kind"], "image_failed")
        self.assertIn("nowhere.example/none", job["ending_words"])
        job = agent.wait(self.submit(agent, "true", image="gpu"), 60)
        self.assertIn("gpu", job["ending_words"])

    def test_without_an_engine(self):
        agent = self.start_agent(config="docker_socket: /nonexistent/docker.sock\noutage_patience: 1s")
        job = agent.wait(self.submit(agent, "true"), 60)
        self.assertEqual(job["ending"]["kind"], "image_failed")
        self.assertIn("/nonexistent/docker.sock", job["ending_words"])

    def test_a_dockerfile_is_built_once(self):
        agent = self.image_agent()
        context = self.dockerfile(f"FROM {IMAGE}\nCOPY note /note\nRUN echo built > /built\n",
                                  note="from the context\n")
        start = lambda: self.submit(agent, "cat /note /built", "--dockerfile", context)
        first = self.completed(agent, start())
        self.assertEqual(agent.log_of(first["id"]), b"from the context\nbuilt\n")
        self.assertIn("Step", agent.berth("logs", "--build", first["id"]).out)
        second = self.completed(agent, start())
        self.assertEqual(second["environment_digest"], first["environment_digest"])
        self.dockerfile(f"FROM {IMAGE}\nRUN echo no; exit 9\n")
        failed = agent.wait(start(), 120)
        self.assertEqual(failed["ending"]["kind"], "image_failed")
        self.assertIn("exit 9", failed["ending_words"])
        self.remove_environment(agent, first["environment_digest"])

    def test_shared_memory(self):
        agent = self.image_agent("shm_size: 96MiB")
        for options, kib, size in (((), 98304, 96 << 20), (("--shm-size", "64m"), 65536, 64 << 20),
                                   (("--shm-size", "64m", "--docker-args", "--shm-size=80m"), 81920, 80 << 20)):
            job = agent.wait(self.submit(agent, "df -k /dev/shm", *options), 60)
            self.assertIn(f" {kib} ", agent.log_of(job["id"]).decode(), options)
            self.assertEqual(job["resources"]["shm_size_bytes"], size)
        self.assertIn("/dev/shm of 80 MiB", agent.berth("show", job["id"]).out)

    def test_docker_args(self):
        agent = self.image_agent()
        job = self.submit(agent, "cat /proc/sys/kernel/hostname; echo $COLOUR $OTHER; ulimit -n; ls /proc/sys/net/ipv4/conf",
                          "--docker-args", "--hostname trainer -e COLOUR='light blue' -e OTHER=no --ulimit nofile=321:321 "
                          "--network=none", "--env", "OTHER=yes")
        ended = agent.wait(job, 60)
        self.assertEqual(ended["state"], "Completed", ended)
        lines = agent.log_of(job).decode().splitlines()
        self.assertEqual(lines[:3], ["trainer", "light blue yes", "321"])
        self.assertNotIn("eth0", lines)
        self.assertIn("--hostname trainer", agent.berth("show", job).out)

    def test_gpus_are_not_had_by_asking_nvidias_runtime_for_them(self):
        agent = self.image_agent()
        job = self.submit(agent, "sleep 2; cat /proc/1/environ", "--docker-args", "-e NVIDIA_VISIBLE_DEVICES=all -e SECRET=x")
        container, = eventually(lambda: self.containers(agent), "it is there", 60)
        variables = json.loads(self.engine.api.must("GET", f"/containers/{container['Id']}/json"))["Config"]["Env"]
        self.assertIn("NVIDIA_VISIBLE_DEVICES=void", variables)
        self.assertNotIn("SECRET=x", variables)
        agent.wait(job, 60)
        self.assertNotIn(b"NVIDIA", agent.log_of(job))  # the supervisor's own are not for the job, root or not

    def test_a_job_without_network_has_none_whatever_its_docker_args_say(self):
        agent = self.image_agent()
        job = self.submit(agent, "ls /sys/class/net", "--no-network", "--docker-args", "--network=host")
        agent.wait(job, 60)
        self.assertEqual(agent.log_of(job).split(), [b"lo"])

    def test_what_docker_args_may_not_say_is_refused_at_once(self):
        agent = self.image_agent()
        before = len(agent.jobs())
        for arguments, words in (("--privileged", "--privileged is not allowed"), ("-v /:/host", "--volume is not allowed"),
                                 ("--init --cap-add=ALL", "--cap-add is not allowed"), ("-e 'A=1", "quotation does not end")):
            refused = agent.berth("submit", "--image", IMAGE, "--docker-args", arguments, "--", "true", expect=None,
                                  cwd=self.directory("code"))
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn(words, refused.err)
        self.assertIn("allowed: --add-host", agent.berth(
            "submit", "--image", IMAGE, "--docker-args", "--privileged", "--", "true", expect=None).err)
        error = self.refuses(400, "invalid", agent.submit, "true", resources={"shm_size_bytes": 1 << 30})
        self.assertIn("this job runs in none", error["message"])
        self.assertEqual(len(agent.jobs()), before)

    def test_without_code_it_runs_in_the_images_directory_or_one_of_its_own(self):
        agent = self.image_agent()

        def ended(*arguments):
            return agent.wait(agent.berth("submit", "--no-code", *arguments).out.strip(), 120)
        context = self.dockerfile(f"FROM {IMAGE}\nWORKDIR /opt/app\nRUN echo hi > note\n")
        job = ended("--dockerfile", context, "--", "sh", "-c", "pwd; cat note")
        self.assertEqual(agent.log_of(job["id"]), b"/opt/app\nhi\n")
        job = ended("--image", IMAGE, "--", "sh", "-c", "pwd; echo x > file && cat file")
        where, written = agent.log_of(job["id"]).decode().splitlines()
        self.assertEqual((where, written), (str(agent.launch_directory(job["id"]) / "scratch"), "x"))
        job = ended("--image", IMAGE, "--workdir", "/bin", "--", "sh", "-c", "pwd")
        self.assertEqual(agent.log_of(job["id"]), b"/bin\n")
        job = ended("--dockerfile", context, "--output", "models", "--", "sh", "-c", "mkdir models; echo w > models/net")
        self.assertEqual(job["state"], "Completed", job)
        agent.berth("download", job["id"], cwd=self.place)
        self.assertEqual((self.place / job["id"] / "models/net").read_text(), "w\n")


class PrivateImageTest(EngineTest):
    """A registry wants credentials; the agent reaches it as the engine does, or leaves it to the engine."""
    registries = True

    def setUp(self):
        super().setUp()
        self.facts = self.engine.facts
        self.registry = self.facts["registries"]["basic"]
        self.image = self.engine.name_of("basic", "layers:1")

    def inside(self):
        return ["nsenter", f"--net={self.facts['namespace']}"]

    def credentials(self, password=None):
        """A file as Azure ML names its parts."""
        file = self.place / "registry.json"
        file.write_text(json.dumps({"registry": self.registry, "username": self.facts["user"],
                                    "password": password or self.facts["password"]}))
        return "--registry-credentials", str(file)

    def run_private(self, agent, *options):
        return agent.wait(self.submit(agent, "ls /one", *options, image=self.image), 120)

    def assert_says_nothing_of_the_password(self, agent, job):
        secret = self.facts["password"].encode()
        for path, content in contents_below(agent.state):
            self.assertNotIn(secret, content, path)
        for text in (agent.log(), agent.berth("show", job).out, agent.berth("--json", "show", job).out,
                     agent.berth("logs", "--build", job).out):
            self.assertNotIn(secret.decode(), text)
            self.assertNotIn(self.facts["user"] + ":", text)

    def check_own_credentials(self, agent):
        job = self.run_private(agent, *self.credentials())
        self.assertEqual(job["state"], "Completed", job)
        self.assertEqual(job["registry_credentials"], [{"registry": self.registry}])
        self.assert_says_nothing_of_the_password(agent, job["id"])
        self.assertIn(f"credentials of its own for {self.registry}", agent.berth("show", job["id"]).out)
        # What is here for one who may have it is not here for everybody.
        for options in ((), self.credentials("wrong")):
            refused = self.run_private(agent, *options)
            self.assertEqual(refused["ending"]["kind"], "image_failed", refused)
            self.assertIn(self.registry, refused["ending_words"])
            self.assertIn("credentials", refused["ending_words"])
        again = self.run_private(agent, *self.credentials())
        self.assertEqual((again["state"], again["environment_digest"]), ("Completed", job["environment_digest"]), again)
        agent.act(job["id"], "retry")
        self.assertEqual(agent.wait(job["id"], 120)["state"], "Completed")

    def test_a_jobs_own_credentials(self):
        self.check_own_credentials(self.image_agent(prefix=self.inside()))

    def test_a_jobs_own_credentials_for_a_registry_that_only_the_engine_reaches(self):
        self.check_own_credentials(self.image_agent())

    def test_what_is_built_upon_a_private_image_is_private_too(self):
        agent = self.image_agent(prefix=self.inside())
        context = self.dockerfile(f"FROM {self.image}\nRUN echo built > /built\n")

        def build(*options):
            return agent.wait(agent.berth("submit", "--dockerfile", context, *options, "--no-code", "--", "cat",
                                          "/built").out.strip(), 120)
        job = build(*self.credentials())
        self.assertEqual(job["state"], "Completed", job)
        lock = self.place / "lock.json"
        lock.write_text(agent.berth("env", "lock", job["environment_digest"]).out)
        by_lock = agent.wait(agent.berth("submit", "--env-lock", lock, "--no-code", "--", "true").out.strip(), 60)
        for refused in (build(), by_lock, self.run_private(agent)):
            self.assertEqual(refused["ending"]["kind"], "image_failed", refused)
        self.assertEqual(build(*self.credentials())["environment_digest"], job["environment_digest"])

    def test_another_user_needs_credentials_of_his_own(self):
        agent = self.image_agent(f"group: {users.GROUP}", machine=True, prefix=self.inside())
        own = [{"registry": self.registry, "username": self.facts["user"], "password": self.facts["password"]}]

        def ended(who, **fields):
            request = agent.request_for("sh", "-c", "id -u; ls /one > file; cat file", working_directory="",
                                        environment={"kind": "image", "image": self.image}, **fields)
            submitted = users.as_user(harness.family, who, users.ask, agent.socket_path, "POST", "/v1/jobs", request)
            return agent.wait(submitted["jobs"][0]["id"], 120)
        one, other = users.identity("nobody"), users.identity("daemon")
        job = ended(one, registry_credentials=own)
        self.assertEqual(job["state"], "Completed", job)
        self.assertEqual(agent.log_of(job["id"]), b"%d\n/one\n" % one.uid)  # in a directory that is his
        self.assertEqual(ended(other)["ending"]["kind"], "image_failed")
        self.assertEqual(ended(other, registry_credentials=own)["state"], "Completed")

    def test_dockers_own_file_and_the_nodes(self):
        config = self.place / "config.json"
        auth = base64.b64encode(f"{self.facts['user']}:{self.facts['password']}".encode()).decode()
        config.write_text(json.dumps({"auths": {self.registry: {"auth": auth}, "other.example": {"auth": "eDp5"}}}))
        agent = self.image_agent(prefix=self.inside())
        job = self.run_private(agent, "--registry-credentials", str(config))
        self.assertEqual(job["state"], "Completed", job)
        self.assertEqual(job["registry_credentials"], [{"registry": self.registry}])
        self.assertEqual(agent.stop(), 0)
        agent.configure(self.settings(f"docker_config: {config}"))
        agent.start()
        self.assertEqual(self.run_private(agent)["state"], "Completed")  # the administrator's are for all

    def test_credentials_outlive_the_agent(self):
        agent = self.image_agent("builds_at_once: 1", prefix=self.inside())
        context = self.dockerfile(f"FROM {IMAGE}\nRUN sleep 1000\n")
        blocker = agent.berth("submit", "--dockerfile", context, "--no-code", "--", "true").out.strip()
        eventually(lambda: any(build["running"] for build in agent.building()), "it is built")
        job = self.submit(agent, "ls /one", *self.credentials(), image=self.image)
        self.assert_says_nothing_of_the_password(agent, job)
        agent.kill()
        agent.start()
        agent.cancel(blocker)
        self.assertEqual(agent.wait(job, 120)["state"], "Completed")
        self.assert_says_nothing_of_the_password(agent, job)

    def test_mistakes_with_credentials_are_told_at_once(self):
        agent = self.image_agent()
        code = self.directory("code")

        def refusal(*arguments):
            refused = agent.berth("submit", *arguments, "--", "true", expect=None, cwd=code)
            self.assertNotEqual(refused.returncode, 0)
            self.assertNotIn(self.facts["password"], refused.err)
            return refused.err
        self.assertIn("runs in no container", refusal(*self.credentials()))
        self.assertIn("has none for docker.io", refusal("--image", "debian:12", *self.credentials()))
        secret = [{"registry": self.registry, "username": "x", "password": self.facts["password"]}]
        error = self.refuses(400, "invalid", agent.submit, "true", registry_credentials=secret)
        self.assertIn("registry_credentials", error["message"])
        error = self.refuses(400, "invalid", agent.submit, "true", environment={"kind": "image", "image": "debian:12"},
                             registry_credentials=secret)
        self.assertIn("the image is of docker.io", error["message"])
        error = self.refuses(400, "invalid", agent.submit, "true", environment={"kind": "image", "image": self.image},
                             registry_credentials=[{"registry": self.registry, "username": "x"}])
        self.assertIn("password", error["message"])


if __name__ == "__main__":
    harness.main()
