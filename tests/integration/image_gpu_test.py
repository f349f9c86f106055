"""GPUs of jobs in containers: a real Docker engine, and scripted GPUs (tests/support/nvml).

An engine without NVIDIA's runtime refuses every request for a device. So a front stands before it, which takes these
requests out, and tells what they were."""

import http.server
import json
import os
import socketserver
import threading

import harness
from client import UnixConnection
from engine_case import EngineTest
from gpu_test import GIB, GpuTest, h100
from harness import eventually


class Front(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Hands requests on to the engine, containers without their devices."""
    daemon_threads = True

    def __init__(self, path, behind):
        super().__init__(path, FrontHandler)
        self.behind = behind
        self.created = []  # the bodies of POST /containers/create, as they came
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self.thread.start()

    def handle_error(self, *_):
        """Who asked has gone, as agents do that are stopped."""

    def close(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class FrontHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def hand_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "/containers/create" in self.path:
            asked = json.loads(body)
            self.server.created.append(json.loads(body))
            asked["HostConfig"].pop("DeviceRequests", None)
            body = json.dumps(asked).encode()
        connection = UnixConnection(self.server.behind, 120)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length")}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_HEAD = do_PUT = hand_on


class ImageGpuTest(EngineTest, GpuTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.front = Front(str(cls.engine.place / "front.sock"), cls.engine.socket)

    @classmethod
    def tearDownClass(cls):
        cls.front.close()
        super().tearDownClass()

    def start_image_node(self):
        del self.front.created[:]
        return self.start_node(f"docker_socket: {self.front.server_address}\n")

    def test_a_job_gets_its_mig_instance_and_nothing_else(self):
        parts = [{"uuid": f"MIG-{name}", "gi": number, "ci": 0, "slices": [1, 1], "memory_mib": 9856}
                 for number, name in enumerate("ab")]
        self.set_machine({**h100(0), "mig": parts})
        agent = self.start_image_node()
        for number, wanted in enumerate(("MIG-a", "MIG-b")):
            job = self.submit(agent, "echo $CUDA_VISIBLE_DEVICES; sleep 1000", "--gpus", "1")
            self.assertEqual(self.log_once_written(agent, job), wanted)
            created = self.front.created[number]
            self.assertEqual(created["HostConfig"]["DeviceRequests"],
                             [{"DeviceIDs": [wanted], "Capabilities": [["gpu"]]}])
            self.assertIn(f"NVIDIA_VISIBLE_DEVICES={wanted}", created["Env"])
            self.assertEqual(self.gpu(agent, wanted)["jobs"], [job])

    def test_a_job_without_gpus_gets_none_whatever_its_image_says(self):
        self.set_machine(h100(0))
        agent = self.start_image_node()
        job = self.submit(agent, 'echo "<$CUDA_VISIBLE_DEVICES> $NVIDIA_VISIBLE_DEVICES"')
        self.assertEqual(agent.wait(job, 60)["state"], "Completed")
        self.assertEqual(agent.log_of(job), b"<> void\n")
        created = self.front.created[0]
        self.assertNotIn("DeviceRequests", created["HostConfig"])
        self.assertIn("NVIDIA_VISIBLE_DEVICES=void", created["Env"])  # an nvidia/cuda image says "all"

    def test_a_cancellation_is_done_when_the_memory_is_back(self):
        self.set_machine(h100(0))
        agent = self.start_image_node()
        job = self.submit(agent, "echo up; exec sleep 1000", "--gpus", "1")
        self.log_once_written(agent, job)
        pid = agent.running_pid(job, "sleep")
        self.change(agent, processes=[{"pid": pid, "memory": 3 * GIB}])
        self.assertIsNone(self.gpu(agent, "GPU-0")["withheld"])  # the process is known to be the job's
        agent.cancel(job)
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), "the process has ended")
        self.change(agent)  # the driver takes its time
        self.assertEqual(agent.job(job)["state"], "CancelRequested")
        self.gpus[0]["processes"] = []
        self.write()
        ended = agent.wait(job, 60)
        self.assertEqual(ended["state"], "Canceled")
        self.assertEqual(ended["attempts"][-1]["gpu_peak_memory_bytes"], 3 * GIB)


if __name__ == "__main__":
    harness.main()
