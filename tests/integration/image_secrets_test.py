"""Secrets of jobs in containers of a real engine: the job has them, and nothing that the engine keeps or tells does."""

import harness
from engine_case import EngineTest
from harness import contents_below

FILE, VARIABLE, NAMED, ARGUMENT = "file-secret-4711", "variable-secret-4712", "named-secret-4713", "argument-secret-4714"
ALL = [secret.encode() for secret in (FILE, VARIABLE, NAMED, ARGUMENT)]


class ImageSecretsTest(EngineTest):
    def assert_none_in(self, content, where):
        self.assertEqual([secret for secret in ALL if secret in content], [], where)

    def test_a_containers_secrets_are_in_memory_and_in_no_answer_of_the_engine(self):
        agent = self.image_agent()
        (self.place / "file").write_text(FILE + "\n")
        (self.place / "variable").write_text(VARIABLE + "\n")
        script = ('cat $BERTH_SECRETS/FILE; echo "$TOO|$(cat $BERTH_SECRETS/TOO)|$HF_TOKEN|$WANDB_API_KEY"; ls -l $BERTH_SECRETS; '
                  'grep " $BERTH_SECRETS " /proc/mounts; echo up; while [ ! -e go ]; do sleep 0.1; done')
        job = self.submit(agent, script, "--secret", f"FILE={self.place / 'file'}", "--secret-env",
                          f"TOO={self.place / 'variable'}", "--env", f"HF_TOKEN={NAMED}",
                          "--docker-args", f"-e 'WANDB_API_KEY={ARGUMENT}' --ipc=host")
        self.await_log(agent, job, "up")
        [container] = self.containers(agent)
        api = self.engine.api
        self.assert_none_in(api.must("GET", f"/containers/{container['Id']}/json"), "docker inspect")
        self.assert_none_in(api.must("GET", f"/containers/{container['Id']}/export"), "the container's files")
        for path, content in contents_below(agent.state):
            if path.name != "log":
                self.assert_none_in(content, path)
        log = agent.log_of(job, masked=0).decode()
        self.assertEqual(log.splitlines()[:2], [FILE, f"{VARIABLE}|{VARIABLE}|{NAMED}|{ARGUMENT}"])
        self.assertIn("-r--------", log)
        self.assertRegex(log, "(?m)^tmpfs .*/secrets tmpfs")
        self.assert_none_in(agent.log_of(job), "its log's view")
        record = agent.get(f"/v1/jobs/{job}")
        self.assertEqual(sorted(record["secrets"]), ["FILE", "HF_TOKEN", "TOO"])
        self.assertEqual(record["resources"]["docker_args"], "-e 'WANDB_API_KEY=***' --ipc=host")
        agent.cancel(job)
        agent.wait(job, 60)


if __name__ == "__main__":
    harness.main()
