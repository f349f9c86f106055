"""Attacks from and on containers: by what an image brings along, by how a Dockerfile is spelled, by names and labels.

A real Docker engine with registries, which the agent reaches as the engine does."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

from hostile import HostileTest, eventually, main

from engine_case import LONG, EngineTest
from engine_images import BASE

# Tells its port. A path's first part says what is answered in place of JSON, the second of what form it is.
REGISTRY = """
import http.server
COUNT = 1500000
FORMS = {"deep": b"[" * COUNT + b"]" * COUNT, "wide": b"[" + b"[]," * COUNT + b"0]"}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_GET(self):
        parts = self.path.split("?")[0].strip("/").split("/")
        status, headers, body = 200, {}, b"{}"
        if parts[0] == "given": body = b'{"token":' + FORMS[parts[1]] + b"}"
        elif len(parts) > 2:
            kind, form = parts[1:3]
            if kind == "manifest": body = b'{"schemaVersion":2,"manifests":' + FORMS[form] + b"}"
            if kind == "failure": status, body = 404, b'{"errors":' + FORMS[form] + b"}"
            if kind == "token":
                status = 401
                headers["WWW-Authenticate"] = 'Bearer realm="http://%s/given/%s",service="x"' % (self.headers["Host"], form)
        self.send_response(status)
        for name, value in headers.items(): self.send_header(name, value)
        self.send_header("Content-Type", "application/vnd.oci.image.index.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""

SHADOW = Path("/etc/shadow")
CONTRACT = ("launch.json", "claim", "started.json", "stop.json", "ending.json", "ending.part", "log", "log.index")


class ContainersTest(EngineTest, HostileTest):
    registries = True

    def setUp(self):
        super().setUp()
        facts = self.engine.facts
        self.base = self.engine.name_of("plain", "base:1")
        self.secret = self.engine.name_of("basic", "layers:1")
        self.start(f"docker_socket: {self.engine.socket}", prefix=["nsenter", f"--net={facts['namespace']}"])
        self.credentials = {"registry": facts["registries"]["basic"], "username": facts["user"],
                            "password": facts["password"]}

    def submitted(self, who, *arguments, command=("true",)):
        return self.berth(who, "submit", "--no-code", *arguments, "--", *command).out.strip()

    def built(self, who, text, command=("true",), **files):
        """The id of a job in what a Dockerfile of that user makes."""
        return self.submitted(who, "--dockerfile", self.files_of(who, Dockerfile=text, **files), command=command)

    def ended(self, job):
        return self.agent.wait(job, LONG)

    def output(self, job):
        """What it printed; it must have ended well."""
        ended = self.ended(job)
        self.assertEqual(ended["state"], "Completed", (ended, self.agent.log_of(job)))
        return self.agent.log_of(job).decode()

    # --- what a registry answers

    def test_a_registrys_endless_answers_fail_their_own_pull(self):
        """A registry of the attacker's: manifests, failures and tokens, nested without end or of as many values."""
        server = subprocess.Popen(["nsenter", f"--net={self.engine.facts['namespace']}", sys.executable, "-c", REGISTRY],
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        port = server.stdout.readline().strip()
        pid = self.agent.pid
        jobs = {(kind, form): self.submitted(self.attacker, "--image", f"127.0.0.1:{port}/{kind}/{form}:1")
                for kind in ("manifest", "failure", "token") for form in ("deep", "wide")}
        for name, job in jobs.items():
            ended = self.ended(job)
            self.assertEqual(ended["ending"]["kind"], "image_failed", (name, ended))
        self.assertEqual(self.agent.pid, pid)
        self.assertTrue(self.agent.is_running())
        well = self.submitted(self.victim, "--image", self.base, command=("echo", "well"))
        self.assertEqual(self.output(well), "well\n")

    # --- what an image brings along

    def test_a_health_check_does_not_run(self):
        launch = f"$(ls -d {self.agent.state}/jobs/*/1 | head -1)"
        script = (f"D={launch}\nbusybox cp /bin/busybox $D/tmp/rootsh\nbusybox chmod 4755 $D/tmp/rootsh\n"
                  "busybox chmod 711 $D/tmp\nbusybox rm -f $D/log\nbusybox ln -s /etc/shadow $D/log\necho ran > /ran\n")
        job = self.built(self.attacker, f"FROM {self.base}\nCOPY hc.sh /hc.sh\n"
                         "HEALTHCHECK --interval=1s CMD [\"/bin/sh\",\"/hc.sh\"]\n",
                         ("sh", "-c", "sleep 4; ls /ran; ls -a $TMPDIR; echo end"), hc_sh=script)
        self.agent.wait_state(job, "Running", patience=LONG)
        container, = eventually(self.engine.api.containers, "it is there", LONG)
        health = json.loads(self.engine.api.must("GET", f"/containers/{container['Id']}/json"))
        self.assertEqual(health["Config"]["Healthcheck"]["Test"], ["NONE"])
        self.assertNotIn("Health", health["State"])
        words = self.output(job)
        self.assertNotIn("rootsh", words)
        self.assertIn("end\n", words)
        for directory, _, names in os.walk(self.agent.state):
            for name in names:
                mode = os.lstat(os.path.join(directory, name))
                self.assertFalse(mode.st_mode & stat.S_ISUID and mode.st_uid == 0, (directory, name))

    def test_the_contracts_files_are_out_of_a_jobs_reach(self):
        """Of a user who has a set-uid program in the image, and of root in the container."""
        self.berth_image = self.base
        text = (f"FROM {self.base}\nRUN busybox mkdir /su && busybox cp /bin/busybox /su/ && busybox chmod 4755 /su/busybox\n")
        attack = ["cd ${BERTH_STOP_REASON%/*} || exit 9"]
        for tool in ("", "/su/busybox "):
            shell = f"{tool}sh -c" if tool else "sh -c"
            for name in CONTRACT:
                attack.append(f"{shell} 'echo forged >> {name}' 2>/dev/null && echo WROTE {name}")
                attack.append(f"{shell} 'cat {name}' >/dev/null 2>&1 && echo READ {name}")
                attack.append(f"{shell} 'busybox rm {name}' 2>/dev/null && echo REMOVED {name}")
                attack.append(f"{shell} 'busybox chmod 777 {name}' 2>/dev/null && echo CHMOD {name}")
                attack.append(f"{shell} 'busybox chown 0 {name}' 2>/dev/null && echo CHOWN {name}")
            attack += [f"{shell} 'busybox ln -s /etc/shadow new' 2>/dev/null && echo MADE",
                       f"{shell} 'busybox mv tmp other' 2>/dev/null && echo MOVED",
                       f"{shell} 'busybox chmod 777 .' 2>/dev/null && echo OPENED",
                       f"{shell} 'busybox mknod $TMPDIR/disk b 8 0' 2>/dev/null && echo NODE",
                       f"{shell} 'for fd in 0 3 4 5 6 7 8 9; do cat < /proc/1/fd/$fd >/dev/null && echo DESCRIPTOR $fd; "
                       "echo forged >> /proc/1/fd/$fd && echo DESCRIPTOR $fd; done' 2>/dev/null",
                       f"{shell} 'ls /proc/1/root/ && echo ROOT; cd /proc/1/cwd && echo PLACE' 2>/dev/null | grep '[A-Z]'",
                       f"{shell} 'cat /proc/1/environ' >/dev/null 2>&1 && echo ENVIRONMENT",
                       f"{shell} 'busybox kill -9 1; busybox kill -STOP 1' 2>/dev/null"]
        attack += ["grep '/jobs/' /proc/self/mountinfo | grep -v nosuid,nodev && echo UNGUARDED", "grep Cap /proc/self/status", "/su/busybox id -u", "sleep 0.3; exit 3"]
        script = "\n".join(attack)
        for who in (self.attacker, None):
            if who:
                job = self.built(who, text, ("sh", "-c", script))
            else:
                context = self.dockerfile(text.replace(self.base, BASE))
                job = self.agent.berth("submit", "--no-code", "--dockerfile", context, "--", "sh", "-c", script).out.strip()
            ended = self.ended(job)
            words = self.agent.log_of(job).decode()
            self.assertEqual(ended["ending"], {"kind": "exited", "code": 3}, (ended, words))
            got = [line for line in words.splitlines() if line.split()[0].isupper()]
            self.assertEqual(got, [], words)
            for name in ("Inh", "Prm", "Eff", "Amb"):
                self.assertRegex(words, rf"Cap{name}:\s+0+\n")
            self.assertEqual(words.splitlines()[-1], str(who.uid if who else 0))  # set-uid programs do nothing

    def test_nobody_passes_from_the_host_into_what_an_image_wrote(self):
        job = self.submitted(self.attacker, "--image", self.base, command=(
            "sh", "-c", "busybox cp /bin/busybox $TMPDIR/shell; busybox chmod 6755 $TMPDIR/shell; busybox chmod 777 $TMPDIR; "
            "echo up; while [ ! -e $TMPDIR/go ]; do sleep 0.1; done"))
        self.await_log(self.agent, job, "up")
        place = self.agent.launch_directory(job) / "tmp"
        self.assertTrue(os.lstat(place / "shell").st_mode & stat.S_ISUID)
        for who in (self.victim, self.stranger, self.attacker):
            done = self.run_as(who, "/bin/sh", "-c", f"ls {place}; {place}/shell id -u; cat {place.parent}/log", expect=None)
            self.assertEqual(done.out, "")
            self.assertIn("Permission denied", done.err)
        (place / "go").touch()
        self.output(job)

    def test_a_link_where_a_log_should_be_is_not_followed(self):
        job = self.submitted(self.attacker, "--image", self.base, command=("echo", "mine"))
        self.assertEqual(self.output(job), "mine\n")
        log = self.agent.launch_directory(job) / "log"
        for replace in (lambda: log.symlink_to(SHADOW), lambda: os.mkfifo(log)):
            log.unlink()
            replace()
            for path in ("log", "log?tail=3", "log?since=2026-01-01T00:00:00Z"):
                answer = self.request(self.attacker, "GET", f"/v1/jobs/{job}/{path}", timeout=20)
                self.assertNotIn(b"root:", answer.body)
        log.unlink(missing_ok=True)
        log.write_text("mine\n")

    # --- images of others

    def test_a_private_image_comes_by_no_spelling(self):
        own = Path(self.victim.home) / "registry.json"
        own.write_text(json.dumps(self.credentials))
        os.chown(own, self.victim.uid, self.victim.gid)
        self.output(self.submitted(self.victim, "--registry-credentials", own, "--image", self.secret, command=("ls", "/one")))
        pinned = self.secret.rpartition(":")[0] + "@" + self.engine.facts["digests"]["amd64"]
        image = json.loads(self.engine.api.must("GET", f"/images/{self.secret}/json"))["Id"]
        texts = []
        for name in (self.secret, pinned, image, image[7:19]):
            texts += [f"FROM {name}\n",
                      f"ARG A={name[:9]}\nARG B={name[9:]}\nFROM ${{A}}${{B}}\n",
                      f"FROM {self.base}\nCOPY --fr\\\nom={name} /one /one\n",
                      f"FROM {self.base}\nCOPY --\\from={name} /one /one\n",
                      f"# hello\n# escape=`\nFROM {self.base}\nENV X=`\nCOPY --from={name} /one /one\n"]
        texts.append(f"\ufeffFROM {self.secret}\n")
        jobs = [self.built(self.attacker, text, ("ls", "/one")) for text in texts]
        for text, job in zip(texts, jobs):
            eventually(lambda job=job: "waits for the registry" in (self.agent.job(job).get("waiting") or "")
                       or self.agent.job(job)["state"] in ("Failed", "Completed"), "it comes to something", LONG)
            self.assertNotEqual(self.agent.job(job)["state"], "Completed", text)
            self.agent.cancel(job)
        for name in (self.secret, pinned, image):
            job = self.submitted(self.attacker, "--image", name, command=("ls", "/one"))
            self.assertEqual(self.ended(job)["ending"]["kind"], "image_failed", name)
        # An ONBUILD of his own is built; what it asks for then, it does not get.
        self.ended(self.built(self.attacker, f"FROM {self.base}\nONBUILD COPY --from={self.secret} /one /one\n"))

    def test_what_a_dockerfile_of_another_made_is_had_by_no_name(self):
        job = self.built(self.victim, f"FROM {self.base}\nRUN echo treasure > /secret\n", ("cat", "/secret"))
        self.assertEqual(self.output(job), "treasure\n")
        record = self.agent.job(job)["environment"]
        image = self.agent.berth_json("env", "show", self.agent.job(job)["environment_digest"])["lock"]["image"]
        tags = json.loads(self.engine.api.must("GET", f"/images/{image}/json"))["RepoTags"]
        self.assertTrue(tags, record)
        between = [each["Id"] for each in self.engine.api.images() if BASE not in (each["RepoTags"] or [])
                   and not (each["RepoTags"] or [])]
        for name in (image, *tags, *between):
            jobs = [self.submitted(self.attacker, "--image", name, command=("cat", "/secret")),
                    self.built(self.attacker, f"FROM {name}\n", ("cat", "/secret")),
                    self.built(self.attacker, f"FROM {self.base}\nCOPY --from={name} /secret /secret\n", ("cat", "/secret"))]
            for each in jobs:
                self.assertEqual(self.ended(each)["ending"]["kind"], "image_failed", name)
        for name in (image, *tags):
            self.assertEqual(self.output(self.submitted(self.victim, "--image", name, command=("cat", "/secret"))), "treasure\n")
        # The same text is another environment for another user.
        again = self.built(self.attacker, f"FROM {self.base}\nRUN echo treasure > /secret\n", ("cat", "/secret"))
        self.output(again)
        self.assertNotEqual(self.agent.job(again)["environment_digest"], self.agent.job(job)["environment_digest"])

    # --- what never comes to be

    def test_builds_that_hang_keep_nobody_elses_image_waiting(self):
        hanging = [self.built(self.attacker, f"FROM {self.base}\nRUN echo {at}\nRUN busybox sleep 1000\n") for at in range(4)]

        def waits(job, words):
            return words in (self.agent.job(job).get("waiting") or "")
        eventually(lambda: sum(waits(job, "building for") for job in hanging) == 2, "as many hang as are built at once", LONG)
        wanted = self.engine.name_of("plain", "layers:1")
        behind = self.submitted(self.attacker, "--image", wanted, command=("ls", "/one"))
        eventually(lambda: waits(behind, "waits for other builds"), "he is first to ask for what the victim wants", LONG)
        self.output(self.submitted(self.victim, "--image", wanted, command=("ls", "/one")))
        self.assertEqual(self.output(self.built(self.victim, f"FROM {self.base}\nRUN echo made > /made\n", ("cat", "/made"))),
                         "made\n")
        with self.subTest("before a job needs it"):
            made = self.berth(self.third, "env", "build", "--dockerfile",
                              self.files_of(self.third, Dockerfile=f"FROM {self.base}\nRUN echo third\n"), timeout=LONG)
            self.assertIn("third", made.out + made.err)
        self.assertEqual(sum(waits(job, "building for") for job in hanging), 2)
        for job in hanging:
            self.agent.cancel(job)
            self.ended(job)

    # --- names and labels

    def test_containers_and_volumes_of_others_stay_whatever_they_are_called(self):
        job = self.submitted(self.attacker, "--image", self.base)
        self.output(job)
        eventually(lambda: not self.engine.api.containers(), "its container is gone", LONG)
        state = str(self.agent.state)
        labels = {"io.berth.state": state, "io.berth.job": job}
        made = []
        for name in (f"berth-{job}-1", f"berth-{job}-2", "important"):
            body = json.dumps({"Image": BASE, "Cmd": ["sleep", "1000"], "Labels": labels})
            made.append(json.loads(self.engine.api.must("POST", f"/containers/create?name={name}", body))["Id"])
            self.engine.api.must("POST", "/volumes/create", json.dumps({"Name": name, "Labels": labels}))
        try:
            self.agent.restart()
            self.output(self.submitted(self.attacker, "--image", self.base))
            eventually(lambda: len(self.engine.api.containers()) == 3, "only ours are gone", LONG)
            self.assertEqual({each["Id"] for each in self.engine.api.containers()}, set(made))
            self.assertEqual(len(self.engine.api.volumes()), 3)
        finally:
            for each in made:
                self.engine.api.ask("DELETE", f"/containers/{each}?force=1")
            for volume in self.engine.api.volumes():
                self.engine.api.ask("DELETE", f"/volumes/{volume['Name']}")

    def test_what_is_on_record_goes_though_its_agent_was_killed(self):
        job = self.submitted(self.attacker, "--image", self.base, command=("sleep", "1000"))
        self.agent.wait_state(job, "Running", patience=LONG)
        eventually(lambda: len(self.engine.api.containers()) == 1, "it is there", LONG)
        name, = self.engine.api.containers()[0]["Names"]
        self.assertRegex(name, rf"^/berth-{job}-1-[0-9a-f]{{32}}$")
        self.agent.kill()
        self.agent.start()
        self.agent.cancel(job)
        self.ended(job)
        eventually(lambda: self.engine.api.containers() == [], "it is gone", LONG)


if __name__ == "__main__":
    main()
