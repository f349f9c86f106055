"""Submissions and how jobs are named: ids, prefixes, @last; repeated and many at once."""

import harness
from harness import BerthTest


class SubmissionTest(BerthTest):
    config = "cpus: 8\nmax_parallel: 8"

    def test_a_job_is_named_by_its_id_a_prefix_or_last(self):
        agent = self.start_agent()
        jobs = [agent.submit("true", held=True) for _ in range(30)]
        self.assertEqual(agent.job("@last")["id"], jobs[-1])
        self.assertEqual(agent.job(jobs[3])["id"], jobs[3])
        unique = next(jobs[5][:n] for n in range(1, 40)
                      if sum(job.startswith(jobs[5][:n]) for job in [*jobs, *self.all_ids(agent)]) <= 2)
        self.assertEqual(agent.berth_json("show", unique)["id"], jobs[5])
        letters = [job[0] for job in jobs]
        common = next(letter for letter in letters if letters.count(letter) > 1)
        error = self.refuses(409, "conflict", agent.job, common)
        self.assertIn("ambiguous", error["message"])
        said = agent.berth("show", common, expect=2).err
        self.assertTrue(any(job in said for job in jobs if job.startswith(common)), said)
        self.assertIn("no-such-job", agent.berth("show", "no-such-job", expect=2).err)
        agent.berth("cancel", *jobs)

    @staticmethod
    def all_ids(agent):
        return [job["id"] for job in agent.jobs()]

    def test_without_any_job(self):
        agent = self.new_agent().start()
        self.assertIn("no last job", agent.berth("show", "@last", expect=2).err)
        self.assertEqual(agent.berth_json("ps", "-a")["jobs"], [])

    def test_a_repeated_submission_is_the_same_job(self):
        agent = self.start_agent()
        request = agent.request_for("sh", "-c", "echo x >> ran")
        first = agent.submit_request(request)
        again = agent.submit_request(request)
        self.assertEqual((first["known"], again["known"]), (False, True))
        self.assertEqual(first["id"], again["id"])
        agent.wait(first["id"])
        agent.restart()
        self.assertEqual(agent.submit_request(request)["id"], first["id"])
        self.refuses(409, "conflict", agent.submit_request, {**request, "command": ["other"]})
        self.assertEqual((self.place / "work/ran").read_text(), "x\n")

    def test_a_batch_is_one_step(self):
        agent = self.start_agent()
        requests = [agent.request_for("true", held=True) for _ in range(50)]
        jobs = agent.post("/v1/jobs", {"jobs": requests})["jobs"]
        self.assertEqual([job["sequence"] for job in jobs],
                         list(range(jobs[0]["sequence"], jobs[0]["sequence"] + 50)))
        before = len(agent.jobs())
        requests = [agent.request_for("true"), agent.request_for("true", priority=99999)]
        self.refuses(400, "invalid", agent.post, "/v1/jobs", {"jobs": requests})
        self.assertEqual(len(agent.jobs()), before)
        for job in jobs:
            agent.cancel(job["id"])


if __name__ == "__main__":
    harness.main()
