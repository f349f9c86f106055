"""A machine that shuts down gives jobs their grace to save what they have."""

import time

import images
from harness import ContainerTest, eventually, main

# Saves a checkpoint when it is asked to stop; started again, it goes on from there.
_TRAINS = """[ ! -e ~/checkpoint ] || { echo resumed; exit 0; }
trap 'cp "$BERTH_STOP_REASON" ~/reason; sleep 1; date > ~/checkpoint; exit 0' TERM
touch ~/ready
while :; do sleep 0.1; done"""
_IGNORES = "trap '' TERM; touch ~/ignores; while :; do sleep 0.1; done"


class ShutdownTest(ContainerTest):
    def training(self, *options):
        job = self.machine.submit_sh(_TRAINS, options=("--grace", "20s", *options))
        eventually(lambda: self.machine.exists("/home/ann/ready"), "the job trains")
        return job

    def on_disk(self, path):
        """Read from outside, once the machine is off."""
        path = self.machine.path(path)
        return path.read_text() if path.exists() else None

    def test_a_job_may_save_its_work_when_the_machine_shuts_down(self):
        job = self.training("--retry", "preempted=1")
        unlucky = self.machine.submit("sleep", "600", user="bob")
        self.machine.process(unlucky, "sleep 600")
        held = self.machine.submit("true", user="bob", options=("--hold",))
        self.machine.power_off()
        self.assertTrue(self.on_disk("/home/ann/checkpoint"))
        reason, grace = self.on_disk("/home/ann/reason").split("\n")[:2]
        self.assertEqual((reason, grace), ("shutdown", "20"))
        self.machine.boot()
        told = self.machine.sh("journalctl -b -1 -u berthd.service -o cat || true")
        if "agent stop" in told:  # a journal that outlives the boot
            self.assertNotIn("jobs run on", told)
        self.assertEqual(self.succeeded(job)["attempts"][0]["ending"]["kind"], "preempted")
        self.assertIn("resumed", self.machine.log(job))
        record = self.machine.wait(unlucky)
        self.assertEqual(record["ending"]["kind"], "preempted")
        self.assertIn("shut", record["ending_words"])
        self.assertEqual(self.machine.job(held)["state"], "Queued")

    def test_a_job_that_will_not_stop_does_not_hold_up_the_shutdown(self):
        job = self.machine.submit_sh(_IGNORES, options=("--grace", "2s"))
        eventually(lambda: self.machine.exists("/home/ann/ignores"), "the job ignores the signal")
        begin = time.monotonic()
        self.machine.power_off()
        self.assertLess(time.monotonic() - begin, 20)
        self.machine.boot()
        self.assertEqual(self.machine.wait(job)["ending"]["kind"], "preempted")

    def test_draining_gives_the_same_grace(self):
        job = self.training()
        self.machine.berth("drain", "--stop")
        self.assertEqual(self.machine.wait(job)["ending"]["kind"], "preempted")
        self.assertEqual(self.machine.read("/home/ann/reason").split("\n")[:2], ["drain", "20"])
        self.assertTrue(self.machine.exists("/home/ann/checkpoint"))

    def test_canceling_and_time_limits_tell_their_reasons(self):
        job = self.training()
        self.machine.berth("cancel", job, user="ann")
        self.machine.wait(job)
        self.assertEqual(self.machine.read("/home/ann/reason").split("\n")[:2], ["canceled", "20"])
        self.machine.sh("rm /home/ann/*")
        job = self.training("--timeout", "2s")
        self.machine.wait(job)
        self.assertEqual(self.machine.read("/home/ann/reason").split("\n")[:2], ["timed_out", "20"])


if __name__ == "__main__":
    main(images.require_containers)
