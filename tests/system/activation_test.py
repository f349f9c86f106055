"""Requests while the agent restarts: none is refused, none is lost, and what was acknowledged runs once."""

import threading
from collections import Counter

import images
from harness import ContainerTest, eventually, main

# Submits until ~/stop is there; a line for each submission: the job's id, or what went wrong.
_SUBMIT = """while [ ! -e ~/stop ]; do
  if job=$(berth submit --no-code -- sh -c 'echo $BERTH_JOB_ID >> ~/ran' 2>&1); then echo "$job"; else echo "FAILED $job"; fi
done"""


class ActivationTest(ContainerTest):
    restarts = 6

    def test_no_request_is_lost_while_the_agent_restarts(self):
        users = ("ann", "bob")
        acknowledged = {}
        clients = [threading.Thread(target=self.submit_until_stopped, args=(user, acknowledged)) for user in users]
        for client in clients:
            client.start()
        try:
            for number in range(self.restarts):
                self.replace_agent(hard=number % 2 == 1)
        finally:
            for user in users:
                self.machine.run("touch", "stop", user=user)
            for client in clients:
                client.join()
        for user in users:
            self.assert_ran_once(user, acknowledged[user])

    def submit_until_stopped(self, user, acknowledged):
        acknowledged[user] = self.machine.sh(_SUBMIT, user=user, timeout=120).splitlines()

    def replace_agent(self, hard):
        pid = self.machine.agent_pid()
        submitted = self.count()
        eventually(lambda: self.count() > submitted + 5, "requests are served")
        if hard:
            self.machine.run("kill", "-9", pid)
        else:
            self.machine.systemctl("restart", "berthd.service")
        self.machine.new_agent(pid)

    def count(self):
        return int(self.machine.sh("cat /home/*/ran 2>/dev/null | wc -l"))

    def assert_ran_once(self, user, answers):
        self.assertEqual([answer for answer in answers if answer.startswith("FAILED")], [])
        self.assertGreater(len(answers), 5 * self.restarts / 2)
        eventually(lambda: self.machine.status()["jobs"]["running"] + self.machine.status()["jobs"]["queued"] == 0,
                   "all jobs have ended")
        ran = Counter(self.machine.read(f"/home/{user}/ran").split())
        self.assertEqual(ran, Counter(answers))


if __name__ == "__main__":
    main(images.require_containers)
