"""What a node lacks for a moment, besides its container engine (outage_test.py): disk space, a package index, its name,
the name service that users are known by.

Jobs wait, say so, and complete at their first attempt when it is back. Real pip; needs root for mounts."""

import http.server
import os
import threading
import unittest
from pathlib import Path

import harness
from harness import BerthTest, eventually
from small_disk import SmallDisk
from wheels import make_wheel

LONG = 90
NO_NAMES = Path(os.environ.get("BERTH_TEST_LIB", harness.BIN.parent / "lib")) / "no_names.so"
ONE = "import needed; print(needed.version)"


class Index:
    """A package index at a port of its own, that can be away."""

    def __init__(self, place):
        self.place = place
        server = self._server(0)
        self.port = server.server_port
        server.server_close()
        self.server = None
        self.silent = False

    def _server(self, port):
        index = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments, directory=str(self.place)):
                super().__init__(*arguments, directory=directory)

            def do_GET(self):
                if index.silent:
                    self.close_connection = True
                    return
                super().do_GET()

            def log_message(self, *_):
                pass
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)

    def open(self):
        self.server = self._server(self.port)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        if self.server:
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()


@unittest.skipUnless(os.geteuid() == 0, "mounts need root")
class NodeOutageTest(BerthTest):
    config = "cpus: 4\nmax_parallel: 4"
    disk = index = None

    def dismantle(self):
        if self.index:
            self.index.close()
        if self.disk:
            self.disk.unmount()

    def await_waiting(self, agent, job, words):
        eventually(lambda: words in (agent.job(job).get("waiting") or ""), f"{job} {words}", LONG)
        self.assertIn(words, agent.berth("show", job).out)
        self.assertRegex(agent.job(job)["waiting"], r"since 20\d\d-.*, for \d.* so far, and for \w+ \w+ at most")

    def completed_at_once(self, agent, *jobs):
        for job in jobs:
            ended = agent.wait(job, LONG)
            self.assertEqual(ended["state"], "Completed", ended.get("ending_words"))
            self.assertEqual(len(ended["attempts"]), 1)

    # --- the disk

    def fill(self, left=0):
        space = os.statvfs(self.place / "s")
        with open(self.place / "s/filler", "ab", buffering=0) as filler:
            size = space.f_bavail * space.f_frsize - left
            while size > 0:
                try:
                    size -= filler.write(b"x" * min(size, 1 << 20))
                except OSError:
                    return

    def submit_what_hardly_fits(self, more=""):
        """An agent, and a job whose code there is room for as it is sent and stored, but not as a tree."""
        self.disk = SmallDisk(self.place / "s", 64 << 20, "tmpfs")
        agent = self.start_agent(config=f"{self.config}\nreserved_space: 1MiB\n{more}")
        self.fill(left=16 << 20)
        code = self.directory("code")
        (code / "data").write_bytes(b"y\n" * (10 << 20))
        return agent, agent.berth("submit", "--retry", "disk_full=1", "--", "sh", "-c", "wc -c < data", cwd=code).out.strip()

    def free(self):
        (self.place / "s/filler").unlink()

    def test_jobs_wait_for_disk_space(self):
        agent, job = self.submit_what_hardly_fits()
        self.await_waiting(agent, job, "waits for disk space: ")
        self.assertEqual(agent.wait(agent.submit("true"))["state"], "Completed")  # nobody else waits
        agent.restart()  # and with the next agent it is the same
        self.await_waiting(agent, job, "waits for disk space: ")
        self.free()
        self.completed_at_once(agent, job)
        self.assertEqual(agent.log_of(job).strip(), b"%d" % (20 << 20))

    def test_patience_ends(self):
        agent, job = self.submit_what_hardly_fits("outage_patience: 1s")
        ended = agent.wait(job, LONG)
        self.free()
        self.assertEqual(ended["ending"]["kind"], "disk_full", ended)
        self.assertEqual(len(ended["attempts"]), 2)

    # --- the name service

    def test_jobs_wait_for_the_name_service_and_outputs_too(self):
        away = self.place / "names-away"
        agent = self.start_agent(environment={"LD_PRELOAD": str(NO_NAMES), "BERTH_NAMES_AWAY": str(away)})
        code = self.directory("code")
        (code / "main.sh").write_text("touch $RUNS; mkdir outputs; echo kept > outputs/file; until [ -e $GO ]; do sleep 0.05; done")
        runs = agent.berth("submit", "--env", f"GO={self.place / 'go'}", "--env", f"RUNS={self.place / 'runs'}", "--", "sh", "main.sh", cwd=code).out.strip()
        eventually((self.place / "runs").exists, "it runs")
        agent.kill()
        agent.start()  # which has not asked for anybody yet
        away.touch()
        waits = agent.submit("true")
        self.await_waiting(agent, waits, "waits for the name service: ")
        (self.place / "go").touch()
        agent.wait_state(runs, "Finalizing")
        away.unlink()
        self.completed_at_once(agent, runs, waits)
        self.assertEqual(agent.job(runs)["attempts"][0]["outputs_left_out"], None)
        self.assertIsNotNone(agent.job(runs)["attempts"][0]["outputs"])

    # --- a package index

    def make_index(self):
        place = self.directory("index")
        (place / "simple/needed").mkdir(parents=True)
        make_wheel(place / "simple/needed", "needed", "1.0")
        self.index = Index(place)
        return self.index

    def job_of_index(self, agent, host):
        code = self.directory(f"code-{host}")
        (code / "requirements.txt").write_text(f"--index-url http://{host}:{self.index.port}/simple/\n--trusted-host {host}\nneeded==1.0\n")
        return agent.berth("submit", "--no-code", "--requirements", "requirements.txt", "--retry", "environment_failed=1", "--",
                           "python", "-c", ONE, cwd=code).out.strip()

    def test_jobs_wait_for_a_package_index(self):
        self.make_index()
        agent = self.start_agent(config=f"{self.config}\nuv: ''")
        job = self.job_of_index(agent, "127.0.0.1")
        self.await_waiting(agent, job, "waits for the package index: ")
        self.assertEqual(agent.wait(agent.submit("true"))["state"], "Completed")  # nobody else waits
        self.index.open()
        self.completed_at_once(agent, job)
        self.assertEqual(agent.log_of(job), b"1.0\n")

    def test_jobs_wait_for_a_package_index_that_takes_requests_and_does_not_answer(self):
        self.make_index().open()
        self.index.silent = True
        agent = self.start_agent(config=f"{self.config}\nuv: ''")
        job = self.job_of_index(agent, "127.0.0.1")
        self.await_waiting(agent, job, "waits for the package index: ")
        self.index.silent = False
        self.completed_at_once(agent, job)

    def test_jobs_wait_for_the_name_of_a_package_index(self):
        self.make_index().open()
        hosts = self.place / "hosts"
        hosts.write_text("127.0.0.1 localhost\n")
        own_hosts = ("unshare", "--mount", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh")
        agent = self.start_agent(config=f"{self.config}\nuv: ''", prefix=own_hosts)
        job = self.job_of_index(agent, "packages.invalid")
        self.await_waiting(agent, job, "waits for the package index: ")
        self.assertRegex(agent.job(job)["waiting"], "name resolution|Name or service not known")
        with open(hosts, "a") as file:  # the same file, as it is mounted
            file.write("127.0.0.1 packages.invalid\n")
        self.completed_at_once(agent, job)


if __name__ == "__main__":
    harness.main()
