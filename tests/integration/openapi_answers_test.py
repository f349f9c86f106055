"""What a real agent is asked and answers, held against openapi.yaml: every route, what is not described fails."""

import json
import unittest

import schemas
from gpu_test import GpuTest as _Gpus, h100
from harness import eventually, main

API = schemas.load()


class Checked:
    """An agent's client that holds each request and answer against the document."""

    def __init__(self, agent):
        self.agent = agent
        self.asked = set()

    def __call__(self, method, path, body=None, status=None, **query):
        pattern, _ = API.operation(method, path)
        self.asked.add((method, pattern))
        schema = API.request_schema(method, path)
        if isinstance(body, dict):
            assert schema is not None, f"{method} {pattern} describes no body"
            assert not API.mistakes(body, schema), API.mistakes(body, schema)
        answer = self.agent.request(method, path, body, **query)
        assert status is None or answer.status == status, answer
        assert status is not None or answer.status < 300, answer
        self.check(method, path, answer)
        kind = (answer.headers.get("Content-Type") or "").partition(";")[0]
        return answer.json if kind == "application/json" else answer.body

    def check(self, method, path, answer):
        content = API.answer(method, path, answer.status)
        kind = (answer.headers.get("Content-Type") or "").partition(";")[0]
        if answer.status == 204:
            return
        assert kind in content, f"{method} {path} answers {kind}, which is not among {list(content)}"
        schema = content[kind].get("schema", {})
        bodies = [answer.json] if kind == "application/json" else []
        if kind == "application/x-ndjson":
            bodies = [json.loads(line) for line in answer.body.splitlines()]
        for body in bodies:
            mistakes = API.mistakes(body, schema)
            assert not mistakes, f"{method} {path}:\n  " + "\n  ".join(mistakes)


class ValidatorTest(unittest.TestCase):
    def test_what_is_wrong_is_found(self):
        job = {"command": ["true"]}
        reference = {"$ref": "#/components/schemas/JobRequest"}
        self.assertEqual(API.mistakes(job, reference), [])
        for wrong in ({}, {"command": "true"}, {"command": [1]}, {**job, "comand": []}, {**job, "priority": 5000},
                      {**job, "stop": {"signal": 0}}, {**job, "snapshot": "12"}, {**job, "held": 1},
                      {**job, "environment": {"kind": "podman"}}, {**job, "secrets": {"A": {"mode": 1}}}):
            with self.subTest(wrong):
                self.assertEqual(len(API.mistakes(wrong, reference)), 1)
        ending = {"$ref": "#/components/schemas/Ending"}
        self.assertEqual(API.mistakes({"kind": "exited", "code": 3}, ending), [])
        self.assertTrue(API.mistakes({"kind": "exited", "signal": 3}, ending))


class AnswersTest(_Gpus):
    config = "others_may_read: false"

    def setUp(self):
        super().setUp()
        self.set_machine(h100(0), h100(1))

    def everything_of_a_job(self, ask, agent):
        request = agent.request_for(
            "/bin/sh", "-c", "mkdir outputs; echo x > outputs/a; mkfifo outputs/pipe; echo done; exit 3", name="digits",
            experiment="mnist", tags={"lr": "0.1"}, environment_variables={"A": "1", "MY_TOKEN": "hush-hush"},
            resources={"cpu_milli": 500, "gpus": 1, "memory_bytes": 64 << 20}, retries={"lost": 1}, outputs=["outputs"],
            limits={"pids": 100, "cpus": True}, stop={"signal": 2, "grace_ms": 500}, timeout_ms=60_000,
            secrets={"KEY": {"value": "hush-hush-hush", "file": True, "variable": True}}, log_cap_bytes=1 << 20)
        job = ask("POST", "/v1/jobs", request, status=201)["jobs"][0]["id"]
        ended = ask("GET", f"/v1/jobs/{job}/wait", timeout_ms=60_000)
        self.assertEqual(ended["exit_code"], 3)
        for what in ("", "/log", "/log/index", "/outputs"):
            ask("GET", f"/v1/jobs/{job}{what}")
        for what in ("/diff", "/code"):
            ask("GET", f"/v1/jobs/{job}{what}", status=404)
        ask("POST", f"/v1/jobs/{job}/retry")
        agent.wait(job)

    def what_is_done_to_jobs(self, ask, agent):
        held = [agent.request_for("/bin/sleep", "1000", held=True) for _ in range(2)]
        jobs = [each["id"] for each in ask("POST", "/v1/jobs", {"jobs": held}, status=201)["jobs"]]
        self.assertIn("waiting", ask("GET", f"/v1/jobs/{jobs[0]}"))
        ask("POST", f"/v1/jobs/{jobs[0]}/priority", {"priority": 7})
        ask("POST", f"/v1/jobs/{jobs[0]}/hold")
        ask("POST", f"/v1/jobs/{jobs[0]}/release")
        agent.wait_state(jobs[0], "Running")
        eventually(lambda: ask("GET", "/v1/usage")["jobs"], "the running job is told of")
        ask("GET", "/v1/jobs", all=True, limit=2)
        ask("GET", "/v1/jobs", order="queue")
        for job in jobs:
            ask("POST", f"/v1/jobs/{job}/cancel")
            agent.wait(job)
        ask("GET", f"/v1/jobs/{jobs[0]}")
        ask("GET", "/v1/events", after=0, limit=1000)
        ask("GET", "/v1/events")

    def what_the_node_tells(self, ask, agent):
        status = ask("GET", "/v1/status")
        self.assertEqual(len(status["gpus"]), 2)
        for path in ("/v1/doctor", "/v1/gpus", "/v1/environments", "/metrics"):
            ask("GET", path)
        ask("POST", "/v1/gpus/0/drain", {"reason": "its fan is loud"})
        ask("POST", "/v1/gpus/0/resume")
        ask("POST", "/v1/gpus/1/withhold")
        ask("POST", "/v1/gpus/1/forgive")
        ask("POST", "/v1/drain", {"stop": True})
        ask("POST", "/v1/resume")
        ask("POST", "/v1/gc", {"dry_run": True, "free_bytes": 1 << 20})
        ask("POST", "/v1/gc", {"dry_run": False})

    def what_is_sent(self, ask, agent):
        code = self.directory("code", train_py="print('x')")
        job = agent.berth("submit", "--", "/bin/true", cwd=code).out.strip()
        snapshot = agent.wait(job)["snapshot"]
        ask("GET", f"/v1/snapshots/{snapshot}")
        pack = ask("GET", f"/v1/jobs/{job}/code")
        ask("POST", "/v1/snapshots", bytes(pack), status=201)
        ask("POST", "/v1/diffs", b"--- a\n+++ b\n", status=201)

    def failures(self, ask):
        for method, path in (("GET", "/v1/jobs/no-such-job"), ("GET", "/v1/environments/0123"),
                             ("GET", "/v1/environments/0123/log"), ("DELETE", "/v1/environments/0123")):
            ask(method, path, status=404)

    def an_environment(self, ask):
        lines = ask("POST", "/v1/environments", {"kind": "image", "image": "nowhere.invalid/x"})
        self.assertIn("error", json.loads(lines.splitlines()[-1]))

    def test_every_route_answers_as_it_is_described(self):
        agent = self.start_node()
        ask = Checked(agent)
        self.everything_of_a_job(ask, agent)
        self.what_is_done_to_jobs(ask, agent)
        self.what_the_node_tells(ask, agent)
        self.what_is_sent(ask, agent)
        self.an_environment(ask)
        self.failures(ask)
        described = {(method.upper(), path) for path, operations in API.document["paths"].items()
                     for method in operations if method != "parameters"}
        self.assertEqual(described - ask.asked, set(), "routes that nobody asked here")


del _Gpus  # its own tests are elsewhere

if __name__ == "__main__":
    main()
