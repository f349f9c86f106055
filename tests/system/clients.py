"""Users who submit jobs without a pause while something happens to the agent, and what must be true afterwards."""

import threading
from collections import Counter

from machine import eventually

# A line for each submission: the job's id, or what went wrong. Each job leaves its id in ~/ran.
_SUBMIT = """while [ ! -e ~/stop ]; do
  if job=$(berth submit --no-code -- sh -c 'echo $BERTH_JOB_ID >> ~/ran' 2>&1); then echo "$job"; else echo "FAILED $job"; fi
done"""


class Clients:
    """Within `with`, each user's shell submits one job after the other."""

    def __init__(self, test, *users):
        self.test = test
        self.machine = test.machine
        self.users = users
        self.answers = {}

    def __enter__(self):
        self._threads = [threading.Thread(target=self._submit, args=(user,)) for user in self.users]
        for thread in self._threads:
            thread.start()
        self.await_more()
        return self

    def __exit__(self, *_):
        for user in self.users:
            self.machine.run("touch", "stop", user=user)
        for thread in self._threads:
            thread.join()

    def await_more(self):
        """Until some more jobs have run."""
        before = self._count()
        eventually(lambda: self._count() > before + 5, "requests are served")

    def assert_served(self, at_least):
        """No request failed, and each acknowledged job ran once."""
        eventually(lambda: not any(self.machine.status()["jobs"].values()), "all jobs have ended")
        for user in self.users:
            answers = self.answers[user]
            self.test.assertEqual([answer for answer in answers if answer.startswith("FAILED")], [])
            self.test.assertGreater(len(answers), at_least)
            self.test.assertEqual(Counter(self.machine.read(f"/home/{user}/ran").split()), Counter(answers))

    def _submit(self, user):
        self.answers[user] = self.machine.sh(_SUBMIT, user=user, timeout=120).splitlines()

    def _count(self):
        return int(self.machine.sh("cat /home/*/ran 2>/dev/null | wc -l"))
