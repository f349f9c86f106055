"""What bad input gets from the command line: an error that names the object, the reason and the remedy, the right
exit code, and nothing half-done."""

import os
import shutil
import socket
import threading

import harness
from harness import BIN, BerthTest


class CommandTest(BerthTest):
    """Commands that cannot be started."""
    config = "cpus: 4"

    def refused_command(self, agent, *command, options=("--no-code",), expect):
        said = agent.berth("run", *options, "--", *command, expect=expect).err
        job = agent.job("@last")
        self.assertEqual((job["state"], job["ending"]["kind"], job["exit_code"]), ("Failed", "start_failed", expect))
        self.assertIn(job["ending"]["reason"].split(":")[0], said)
        self.assertEqual(agent.log_of(job["id"]), b"")
        return job["ending"]["reason"]

    def test_not_found(self):
        agent = self.start_agent()
        self.assertIn("no-such-program", self.refused_command(agent, "no-such-program", expect=127))
        self.assertIn("./none", self.refused_command(agent, "./none", expect=127))
        script = self.place / "work/script.sh"
        script.write_text("#!/bin/sh\n")
        script.chmod(0o755)
        self.assertIn("./script.sh", self.refused_command(agent, "script.sh", expect=127))  # it is not on PATH, but here

    def test_not_executable(self):
        agent = self.start_agent()
        plain = self.place / "work/plain.txt"
        plain.write_text("hello\n")
        self.assertIn("plain.txt", self.refused_command(agent, "./plain.txt", expect=126))
        self.assertIn("work", self.refused_command(agent, str(self.place / "work"), expect=126))
        plain.chmod(0o755)
        self.assertIn("#!", self.refused_command(agent, "./plain.txt", expect=126))

    def test_bad_interpreter(self):
        agent = self.start_agent()
        for head, word in (("#!/no/such/interpreter", "/no/such/interpreter"), ("#!/bin/sh\r", "carriage return")):
            script = self.place / "work/script"
            script.write_bytes(head.encode() + b"\necho x\n")
            script.chmod(0o755)
            self.assertIn(word, self.refused_command(agent, "./script", expect=126))

    def test_missing_working_directory(self):
        agent = self.start_agent()
        gone = self.directory("gone")
        job = agent.submit("true", working_directory=str(gone), held=True)
        gone.rmdir()
        agent.act(job, "release")
        ended = agent.wait(job)
        self.assertEqual((ended["ending"]["kind"], ended["exit_code"]), ("start_failed", 126))
        self.assertIn(str(gone), ended["ending"]["reason"])
        self.assertIn("does not exist", ended["ending"]["reason"])
        code = self.directory("code", a_txt="a")
        job = agent.berth("submit", "--workdir", "sub/dir", "--", "true", cwd=code, expect=None)
        if job.returncode == 0:
            self.assertIn("sub/dir", agent.wait(job.out.strip())["ending"]["reason"])
        else:
            self.assertIn("sub/dir", job.err)

    def test_missing_python(self):
        agent = self.start_agent()
        said = agent.berth("run", "--no-code", "--python", "/no/such/python", "--", "train.py", expect=125).err
        self.assertIn("/no/such/python", said)
        self.assertEqual(agent.job("@last")["ending"]["kind"], "environment_failed")
        said = agent.berth("run", "--no-code", "--python", "/bin/true", "--", "train.py", expect=125).err
        self.assertIn("not a Python interpreter", said)


class OptionTest(BerthTest):
    """Mistakes in options are told before anything is sent."""

    def test_each_names_its_option_and_what_to_write(self):
        agent = self.start_agent()
        before = agent.jobs()
        for options, words in (
                (["--timeout", "soon"], ["--timeout", "soon", "90s"]),
                (["--memory", "lots"], ["--memory", "lots", "4G"]),
                (["--cpus", "-1"], ["--cpus"]),
                (["--priority", "5000"], ["--priority", "5000", "1000"]),
                (["--retry", "sometimes=2"], ["--retry", "sometimes", "lost"]),
                (["--env", "1=2=3", "--env", "=x"], ["--env"]),
                (["--env", "NOT_SET_ANYWHERE"], ["--env", "NOT_SET_ANYWHERE"]),
                (["--tag", "novalue"], ["--tag", "novalue"]),
                (["--code", "/no/such/directory"], ["/no/such/directory"]),
                (["--code", ".", "--no-code"], ["--code", "--no-code"]),
                (["--output", "../above"], ["--output", "../above"]),
                (["--workdir", "../above"], ["--workdir", "../above"]),
                (["--stop-signal", "PLEASE"], ["--stop-signal", "PLEASE"]),
                (["--log-cap", "1k"], ["log_cap"]),
                (["--unknown-option"], ["--unknown-option"])):
            said = agent.berth("submit", *options, "--", "true", expect=2).err
            for word in words:
                self.assertIn(word, said, options)
        self.assertIn("command", agent.berth("submit", "--no-code", expect=2).err)
        self.assertIn("verb", agent.berth("frobnicate", expect=2).err)
        self.assertEqual(agent.jobs(), before)

    def test_jobs_that_are_none(self):
        agent = self.start_agent()
        for verb in ("show", "logs", "cancel", "wait", "retry", "hold", "release", "download"):
            self.assertIn("no-such", agent.berth(verb, "no-such", expect=2).err, verb)
            self.assertIn("names no job", agent.berth(verb, "../../etc", expect=2).err, verb)
        self.assertEqual(agent.berth("cancel", "no-such", "@last", expect=2).out.count(":"), 1)  # the other was done

    def test_home_and_root_are_not_sent_by_accident(self):
        agent = self.start_agent()
        for directory in (self.place / "home", "/"):
            said = agent.berth("submit", "--", "true", cwd=directory, expect=2).err
            self.assertIn("--code", said)


class TreeTest(BerthTest):
    """Trees that cannot be sent as they are, or look so."""
    config = "cpus: 4"

    def assert_nothing_half_done(self, agent, before):
        self.assertEqual(agent.jobs(), before)
        self.assertEqual(list((agent.state / "incoming").iterdir()), [])

    def refused_tree(self, agent, code, *words):
        before = agent.jobs()
        said = agent.berth("submit", "--", "true", cwd=code, expect=2).err
        for word in words:
            self.assertIn(word, said)
        self.assert_nothing_half_done(agent, before)
        return said

    def accepted_tree(self, agent, code, script):
        done = agent.berth("run", "--", "sh", "-c", script, cwd=code)
        return done.out, done.err

    def test_a_name_with_a_line_break(self):
        agent = self.start_agent()
        code = self.directory("code", good_txt="x")
        (code / "two\nlines").write_text("x")
        said = self.refused_tree(agent, code, "two\\x0alines", ".gitignore")
        self.assertNotIn("two\nlines", said)
        (code / ".amlignore").write_text("two*\n")
        self.assertEqual(self.accepted_tree(agent, code, "ls")[0], "good.txt\n")

    def test_a_name_that_is_not_utf_8(self):
        agent = self.start_agent()
        code = self.directory("code")
        with open(os.fsencode(code) + b"/caf\xe9.txt", "w"):
            pass
        self.refused_tree(agent, code, "caf\\xe9.txt", "UTF-8")

    def test_symbolic_links_that_loop_or_lead_nowhere(self):
        agent = self.start_agent()
        code = self.directory("code", target_txt="t\n")
        for name, target in (("loop", "loop"), ("a", "b"), ("b", "a"), ("up", "."), ("dangling", "nowhere"),
                             ("good", "target.txt")):
            (code / name).symlink_to(target)
        out, _ = self.accepted_tree(agent, code, "readlink loop a b up dangling; cat good")
        self.assertEqual(out, "loop\nb\na\n.\nnowhere\nt\n")

    def test_links_out_of_the_tree_stay_links(self):
        agent = self.start_agent()
        code = self.directory("code")
        (self.place / "secret").write_text("secret\n")
        (code / "out").symlink_to("../secret")
        out, err = self.accepted_tree(agent, code, "readlink out; cat out || echo not here")
        self.assertEqual(out.splitlines()[0], "../secret")
        self.assertIn("not here", out)
        self.assertIn("leads out", err)

    def test_sockets_pipes_and_devices_are_left_out(self):
        agent = self.start_agent()
        code = self.directory("code", good_txt="x")
        os.mkfifo(code / "pipe")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(code / "socket"))
            out, err = self.accepted_tree(agent, code, "ls")
        self.assertEqual(out, "good.txt\n")
        self.assertIn("pipe", err)
        self.assertIn("socket", err)

    def test_an_unreadable_file(self):
        agent = self.start_agent(machine=True, config=f"group: {group_name(65534)}") if os.geteuid() == 0 \
            else self.start_agent()
        code = self.directory("code", good_txt="x", secret_txt="y")
        (code / "secret.txt").chmod(0)
        prefix = ()
        if os.geteuid() == 0:
            prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
            for path in (code, self.place / "work", self.place / "home"):
                path.chmod(0o777)
        program = self.place / "berth"  # the build may lie where others cannot look
        shutil.copy(BIN / "berth", program)
        before = agent.jobs()
        done = harness.family.run([*prefix, str(program), "submit", "--", "true"], 60, cwd=code,
                                  env=agent.cli_environment())
        self.assertEqual(done.returncode, 2, done)
        self.assertIn(b"secret.txt", done.stderr)
        self.assertIn(b"Permission denied", done.stderr)
        self.assert_nothing_half_done(agent, before)

    def test_a_file_that_changes_while_it_is_read(self):
        agent = self.start_agent()
        code = self.directory("code")
        log, stopping = code / "growing.bin", threading.Event()

        def grow():
            with open(log, "wb", buffering=0) as file:
                while not stopping.is_set():
                    file.write(os.urandom(65536))
                    if file.tell() > 64 << 20:
                        file.truncate(0)
                        file.seek(0)
        writer = threading.Thread(target=grow, daemon=True)
        writer.start()
        try:
            before = agent.jobs()
            outcomes = set()
            for _ in range(5):
                done = agent.berth("submit", "--", "sha256sum", "growing.bin", cwd=code, expect=None)
                outcomes.add(done.returncode)
                if done.returncode != 0:
                    self.assertIn("growing.bin", done.err)
                    self.assertRegex(done.err, "keeps changing|changed while")
                    self.assertEqual(agent.jobs(), before)
                else:
                    self.assertEqual(agent.wait(done.out.strip())["state"], "Completed")
                    before = agent.jobs()
            self.assertTrue(outcomes <= {0, 2}, outcomes)
        finally:
            stopping.set()
            writer.join()

    def test_a_tree_that_vanishes(self):
        agent = self.start_agent()
        code = self.directory("code", a_txt="a")
        done = harness.family.run(["/bin/sh", "-c", f'rm -r "$PWD"; exec "{BIN}/berth" submit -- true'], 60, cwd=code,
                                  env=agent.cli_environment())
        self.assertEqual(done.returncode, 2)
        self.assertEqual(len(agent.jobs()), 1)


class PackTest(BerthTest):
    """A real pack, damaged."""
    config = "max_upload: 4MiB"

    def pack(self):
        """(a pack, the digest of its snapshot), from another agent."""
        source = self.start_agent("source")
        code = self.directory("code", train_py="print('x')\n" * 50)
        (code / "weights.bin").write_bytes(os.urandom(300_000))
        for number in range(40):
            (code / f"module_{number}.py").write_text(f"value = {number}\n" * 30)
        job = source.berth("submit", "--", "true", cwd=code).out.strip()
        source.wait(job)
        return source.get(f"/v1/jobs/{job}/code"), source.job(job)["snapshot"]

    def send(self, agent, pack):
        return agent.request("POST", "/v1/snapshots", pack)

    def assert_refused(self, agent, digest, answer, *codes):
        self.assertIn(answer.error["code"], codes, answer)
        self.assertTrue(answer.error["message"])
        self.assertEqual(agent.request("GET", f"/v1/snapshots/{digest}").status, 404)
        self.refuses(404, "not_found", agent.submit, "true", snapshot=digest)
        self.assertEqual(list((agent.state / "incoming").iterdir()), [])

    def test_truncated(self):
        pack, digest = self.pack()
        agent = self.start_agent()
        for length in (0, 1, 7, 8, 39, 40, 41, 100, 1000, len(pack) // 2, len(pack) - 1):
            self.assert_refused(agent, digest, self.send(agent, pack[:length]), "corrupt", "invalid")
        self.assertEqual(self.send(agent, pack).status, 201)

    def test_with_more_behind_it(self):
        pack, digest = self.pack()
        agent = self.start_agent()
        self.assert_refused(agent, digest, self.send(agent, pack + b"more"), "corrupt", "invalid")
        self.assert_refused(agent, digest, self.send(agent, pack + pack), "corrupt", "invalid")

    def test_with_flipped_bytes(self):
        pack, digest = self.pack()
        agent = self.start_agent()
        step = max(1, len(pack) // 150)
        for offset in [*range(0, 120), *range(120, len(pack), step)]:
            damaged = bytearray(pack)
            damaged[offset] ^= 0x41
            answer = self.send(agent, bytes(damaged))
            self.assert_refused(agent, digest, answer, "corrupt", "invalid", "not_found", "too_large", "unsupported")
        self.assertEqual(self.send(agent, pack).json["digest"], digest)

    def test_oversized(self):
        _, digest = self.pack()
        agent = self.start_agent()
        self.assert_refused(agent, digest, self.send(agent, b"BRTHPAK1" + os.urandom(5 << 20)), "too_large")

    def test_announcing_enormous_sizes(self):
        pack, digest = self.pack()
        agent = self.start_agent()
        header = pack[:40]
        for rest in (b"\x00" + b"\xff" * 20, b"\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                     b"\x00\x01" + b"\xff" * 9 + b"\x01" + b"\xff" * 9 + b"\x01"):
            self.assert_refused(agent, digest, self.send(agent, header + rest), "corrupt", "invalid", "too_large",
                                "not_found")

    def test_a_snapshot_that_nobody_sent(self):
        agent = self.start_agent()
        error = self.refuses(404, "not_found", agent.submit, "true", snapshot="ab" * 32)
        self.assertIn("snapshot", error["message"])


class RequestTest(BerthTest):
    """Job requests that no agent can take."""

    def refused_request(self, agent, *words, remove=(), **fields):
        request = {**agent.request_for("true"), **fields}
        for name in remove:
            del request[name]
        error = self.refuses(400, "invalid", agent.post, "/v1/jobs", request)
        for word in words:
            self.assertIn(word, error["message"])

    def test_unknown_fields_are_named(self):
        agent = self.start_agent()
        self.refused_request(agent, "comand", comand=["x"])
        self.refused_request(agent, "cpus", resources={"cpus": 3})
        self.refused_request(agent, "grace", stop={"grace": 3})
        self.refused_request(agent, "path", environment={"kind": "none", "path": "x"})
        self.refuses(400, "invalid", agent.post, "/v1/jobs", {"jobs": [agent.request_for("true")], "more": 1})

    def test_wrong_types_and_values(self):
        agent = self.start_agent()
        before = agent.jobs()
        self.refused_request(agent, "command", remove=["command"])
        self.refused_request(agent, "command", command="true")
        self.refused_request(agent, "command", command=[])
        self.refused_request(agent, "command", command=["a\0b"])
        self.refused_request(agent, "command", command=["x" * (2 << 20)])
        self.refused_request(agent, "submission_id", submission_id="short")
        self.refused_request(agent, "submission_id", remove=["submission_id"])
        self.refused_request(agent, "priority", priority="high")
        self.refused_request(agent, "priority", priority=1.5)
        self.refused_request(agent, "priority", priority=10**30)
        self.refused_request(agent, "timeout_ms", timeout_ms=-5)
        self.refused_request(agent, "tags", tags={"a": 1})
        self.refused_request(agent, "tags", tags={str(n): "x" for n in range(500)})
        self.refused_request(agent, "environment_variables", environment_variables={"A=B": "x"})
        self.refused_request(agent, "working_directory", working_directory="relative")
        self.refused_request(agent, "outputs", outputs=["../x"])
        self.refused_request(agent, "outputs", outputs=["/etc"])
        self.refused_request(agent, "retries", retries={"weather": 1})
        self.refused_request(agent, "snapshot", snapshot="not a digest")
        self.refused_request(agent, "name", name="a\nb")
        self.assertEqual(agent.jobs(), before)

    def test_what_is_no_json(self):
        agent = self.start_agent()
        for body in (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"command": ["\xff"]}', b"[" * 100_000,
                     b'{"a":' * 1000 + b"1" + b"}" * 1000, b"1e999999", b'"' + b"x" * 100_000):
            answer = agent.request("POST", "/v1/jobs", body)
            self.assertEqual((answer.status, answer.error["code"]), (400, "invalid"), body[:20])
        self.assertEqual(agent.request("POST", "/v1/jobs", {"jobs": []}).status, 400)
        self.assertEqual(agent.request("POST", "/v1/jobs/@last/priority", {"priority": "1"}).status, 400)

    def test_text_in_any_language_is_taken(self):
        agent = self.start_agent()
        job = agent.submit("echo", "héllo 世界 \U0001f680", name="名前", tags={"clé": "välue"})
        shown = agent.wait(job)
        self.assertEqual((shown["name"], shown["tags"]), ("名前", {"clé": "välue"}))
        self.assertEqual(agent.log_of(job).decode(), "héllo 世界 \U0001f680\n")
        self.assertIn("名前", agent.berth("ps", "-a").out)


def group_name(gid):
    import grp
    return grp.getgrgid(gid).gr_name


if __name__ == "__main__":
    harness.main()
