"""Agents and supervisors of different versions meet in files. The versions are data, so newer and older ones are
rehearsed by rewriting what lies in a running job's directory; what a released version wrote is kept in data/."""

import json
import re
import shutil
import sqlite3
import time

import harness
import processes
from harness import BIN, DATA, BerthTest, eventually

WAITING = "echo up; while [ ! -e go ]; do sleep 0.05; done; echo down; exit 5"
UNKNOWN = {"colour": "blue", "nested": {"list": [1, {"x": None}], "text": "…"}, "flag": True}


def rewrite(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def newer(content, minor=7):
    content["version"]["minor"] = minor
    content.update(UNKNOWN)
    for part in content.values():
        if isinstance(part, dict) and part is not content["nested"]:
            part["unknown"] = UNKNOWN


class AdoptionTest(BerthTest):
    config = "cpus: 8\nmax_parallel: 8"

    def running_job(self, agent, script=WAITING, **fields):
        job = agent.sh(script, **fields)
        pid = agent.running_pid(job, "/bin/sh")
        self.assertIn("echo down", processes.command_line(pid))
        agent.started_record(job)
        return job, pid

    def let_go(self):
        (self.place / "work/go").touch()

    def assert_ended_well(self, agent, job):
        ended = agent.wait(job)
        self.assertEqual((ended["exit_code"], len(ended["attempts"])), (5, 1))
        self.assertEqual(agent.log_of(job), b"up\ndown\n")
        return ended

    def adopt_after(self, agent, job, pid, change):
        """Restarts the agent over the changed files; the job must not notice."""
        agent.stop()
        change(agent.launch_directory(job))
        agent.start()
        self.assertEqual(agent.job(job)["state"], "Running")
        self.assertTrue(processes.is_alive(pid))
        self.assertIn("echo down", processes.command_line(pid))

    def test_a_job_of_a_newer_minor_version_is_adopted(self):
        agent = self.start_agent()
        job, pid = self.running_job(agent)

        self.adopt_after(agent, job, pid, lambda directory: rewrite(directory / "started.json", newer))
        self.let_go()
        self.assert_ended_well(agent, job)

    def test_a_job_of_a_newer_minor_version_can_be_canceled(self):
        agent = self.start_agent()
        job, pid = self.running_job(agent)
        self.adopt_after(agent, job, pid, lambda directory: rewrite(directory / "started.json", newer))
        agent.cancel(job)
        self.assertEqual(agent.wait(job)["state"], "Canceled")
        self.assertEqual(processes.of_job(job), [])

    def test_fields_that_an_older_minor_version_had_not_are_not_missed(self):
        agent = self.start_agent()
        job, pid = self.running_job(agent)

        def older(content):
            content["version"] = {"major": 1, "minor": 0}
            for name in ("time", "cgroup"):
                content.pop(name, None)
        self.adopt_after(agent, job, pid, lambda directory: rewrite(directory / "started.json", older))
        self.let_go()
        self.assert_ended_well(agent, job)

    def ending_found(self, agent, change, **fields):
        """The job as an agent records it that finds the ending changed so."""
        job, _ = self.running_job(agent, **fields)
        agent.stop()
        self.let_go()
        path = agent.launch_directory(job) / "ending.json"
        eventually(path.exists, "the supervisor has written the ending")
        rewrite(path, change)
        with sqlite3.connect(agent.state / "berth.db") as database:  # an agent of before seals had none on record
            database.execute("UPDATE attempt SET seal = ''")
        database.close()
        agent.start()
        return agent.wait(job)

    def test_an_ending_of_a_newer_minor_version_is_recorded(self):
        agent = self.start_agent()
        ended = self.ending_found(agent, newer)
        self.assertEqual((ended["exit_code"], ended["state"]), (5, "Failed"))
        self.assertGreater(ended["duration_ms"], 0)

    def test_an_ending_with_the_fewest_fields_is_recorded(self):
        agent = self.start_agent()

        def older(content):
            for name in set(content) - {"version", "outcome"}:
                del content[name]
        ended = self.ending_found(agent, older)
        self.assertEqual((ended["exit_code"], ended["state"]), (5, "Failed"))
        self.assertGreaterEqual(ended["duration_ms"], 0)

    def test_a_higher_major_version_is_refused_and_the_job_lives_on(self):
        agent = self.start_agent()
        job, pid = self.running_job(agent)
        agent.stop()
        path = agent.launch_directory(job) / "started.json"
        original = path.read_text()
        rewrite(path, lambda content: content["version"].update(major=2))
        agent.start()
        other = agent.sh("echo other")  # the agent works on
        self.assertEqual(agent.wait(other)["state"], "Completed")
        eventually(lambda: "version 2" in agent.log(), "the agent's log says why")
        self.assertIn("version 2", agent.berth("logs", "--agent", job).out)
        self.assertEqual(agent.job(job)["state"], "Running")
        self.assertTrue(processes.is_alive(pid))
        agent.stop()  # the right version is installed again
        path.write_text(original)
        agent.start()
        self.assertTrue(processes.is_alive(pid))
        self.let_go()
        self.assert_ended_well(agent, job)

    def test_a_file_that_is_damaged_costs_no_other_job(self):
        agent = self.start_agent()
        job, _ = self.running_job(agent)
        other, _ = self.running_job(agent)
        agent.stop()
        (agent.launch_directory(job) / "started.json").write_text("{")
        agent.start()
        self.assertEqual(agent.job(other)["state"], "Running")
        self.let_go()
        self.assert_ended_well(agent, other)
        eventually(lambda: agent.job(job)["state"] in ("Failed", "Running"), "the damaged one is told")
        eventually(lambda: not processes.of_job(job), "it has ended by itself")


class SupervisorTest(BerthTest):
    """berth-shim alone, with launches of other versions."""

    def launch(self, **changes):
        directory = self.directory("launch")
        text = (DATA / "launch-1.0.json").read_text()
        content = json.loads(text.replace("@WORK@", str(self.place / "work")))
        content.update(changes)
        (directory / "launch.json").write_text(json.dumps(content))
        (directory / "log").touch()
        done = harness.family.run([str(BIN / "berth-shim"), str(directory)], 30)
        return done.returncode, json.loads((directory / "ending.json").read_text()), (directory / "log").read_text()

    def test_a_launch_of_version_1_0(self):
        code, ending, log = self.launch()
        self.assertEqual((code, ending["outcome"], log), (0, {"exited": 3}, "out\nerr\nvalue\n"))
        golden = json.loads((DATA / "ending-1.0.json").read_text())
        self.assertLessEqual(set(golden), set(ending), "fields are never renamed or taken away")
        started = json.loads((DATA / "started-1.0.json").read_text())
        self.assertLessEqual(set(started), set(json.loads((self.place / "launch/started.json").read_text())))

    def test_a_launch_of_a_newer_minor_version(self):
        _, ending, log = self.launch(version={"major": 1, "minor": 9}, **UNKNOWN)
        self.assertEqual((ending["outcome"], log), ({"exited": 3}, "out\nerr\nvalue\n"))

    def test_a_launch_of_a_higher_major_version_is_refused(self):
        _, ending, log = self.launch(version={"major": 2, "minor": 0})
        self.assertEqual((ending["outcome"]["not_started"]["exit_code"], log), (126, ""))
        self.assertIn("version 2", ending["outcome"]["not_started"]["reason"])

    def test_nobody_runs_a_launch_twice(self):
        self.launch()
        directory = self.place / "launch"
        harness.family.run([str(BIN / "berth-shim"), str(directory)], 30)
        self.assertEqual((directory / "log").read_text(), "out\nerr\nvalue\n")


class StateDirectoryTest(BerthTest):
    """What version 1.0 left on a disk: a job that ended, one that waits, and one whose ending nobody has read yet."""

    def test_the_state_of_version_1_0_is_taken_up(self):
        agent = self.new_agent(config="cpus: 2\nmax_parallel: 2")
        restore_state(DATA / "state-1.0", agent.state, self.place)
        agent.start()
        ended, waiting, unread = [job["id"] for job in agent.jobs()]
        self.assertEqual(agent.job(ended)["exit_code"], 3)
        self.assertEqual(agent.log_of(ended), b"old output\n")
        self.assertEqual(agent.job(ended)["tags"], {"written": "by 1.0"})
        self.assertEqual((agent.job(waiting)["state"], agent.job(waiting)["held"]), ("Queued", True))
        self.assertEqual(agent.wait(unread)["exit_code"], 7)
        self.assertEqual(agent.log_of(unread), b"unread output\n")
        agent.act(waiting, "release")
        self.assertEqual(agent.wait(waiting)["state"], "Completed")
        self.assertEqual(agent.log_of(waiting), b"ran at last\n")
        self.assertEqual(agent.wait(agent.submit("true"))["state"], "Completed")


# --- the golden state: the database as SQL, the jobs' directories as they are, the test's directory as @PLACE@

def restore_state(golden, state, place):
    shutil.copytree(golden / "jobs", state / "jobs")
    for path in state.rglob("*.json"):
        path.write_text(path.read_text().replace("@PLACE@", str(place)))
    db = sqlite3.connect(state / "berth.db")
    db.executescript((golden / "berth.sql").read_text().replace("@PLACE@", str(place)))
    db.close()


class RecordState(BerthTest):
    """Not a test: `upgrade_test.py RecordState.record` writes data/state-X.Y anew, for a version about to be released."""

    def record(self):
        agent = self.new_agent(config="cpus: 2\nmax_parallel: 2", cgroup=False).start()
        agent.wait(agent.sh("echo old output; exit 3", tags={"written": "by 1.0"}))
        agent.sh("echo ran at last", held=True)
        job = agent.sh("echo unread output; while [ ! -e go ]; do sleep 0.05; done; exit 7")
        agent.running_pid(job, "/bin/sh")
        agent.stop()
        (self.place / "work/go").touch()
        eventually((agent.launch_directory(job) / "ending.json").exists, "the supervisor has written the ending")
        time.sleep(0.2)
        golden = DATA / "state-1.0"
        shutil.rmtree(golden, ignore_errors=True)
        shutil.copytree(agent.state / "jobs", golden / "jobs")
        for path in golden.rglob("*.json"):
            path.write_text(path.read_text().replace(str(self.place), "@PLACE@"))
        db = sqlite3.connect(agent.state / "berth.db")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        sql = f"PRAGMA user_version = {version};\n" + "\n".join(db.iterdump()) + "\n"
        (golden / "berth.sql").write_text(re.sub(re.escape(str(self.place)), "@PLACE@", sql))
        db.close()
        agent.start()


if __name__ == "__main__":
    harness.main()
