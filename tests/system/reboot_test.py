"""A machine that goes down without notice while jobs run and wait."""

import images
from harness import VirtualMachineTest, eventually, main

_COUNTS = "echo $BERTH_ATTEMPT >> ~/$1; sync ~/$1; [ $BERTH_ATTEMPT = 2 ] || sleep 100000"


class RebootTest(VirtualMachineTest):
    keeps_disk = True

    def running(self, name, *options):
        job = self.machine.submit("/bin/sh", "-c", _COUNTS, "sh", name, options=options)
        self.machine.process(job, "sleep 100000")
        return job

    def reset(self):
        """The kernel restarts the machine at once: nothing is synced, nobody is asked."""
        self.machine.sh("(sleep 0.2; echo b > /proc/sysrq-trigger) >/dev/null 2>&1 &")
        self.machine.await_end()
        self.machine.boot()

    def test_running_jobs_are_lost_and_waiting_ones_run(self):
        self.machine.configure(max_parallel=2, cpus=2)
        again = self.running("again", "--retry", "lost=1")
        once = self.running("once")
        waiting = [self.machine.submit_sh(f"echo {number} >> ~/waited") for number in range(3)]
        held = self.machine.submit("true", options=("--hold",))
        for job in waiting:
            self.assertEqual(self.machine.job(job)["state"], "Queued")
        self.reset()
        for job in waiting:
            self.succeeded(job)
        self.assertEqual(sorted(self.machine.read("/home/ann/waited").split()), ["0", "1", "2"])
        lost = self.machine.wait(once)
        self.assertEqual((lost["ending"], len(lost["attempts"])), ({"kind": "lost", "cause": "reboot"}, 1))
        self.assertIn("restarted", self.machine.berth("show", once).out)
        record = self.succeeded(again)
        self.assertEqual([attempt["ending"]["kind"] for attempt in record["attempts"]], ["lost", "exited"])
        self.assertEqual(self.machine.read("/home/ann/again").split(), ["1", "2"])
        self.assertEqual(self.machine.read("/home/ann/once").split(), ["1"])
        self.assertEqual(self.machine.job(held)["state"], "Queued")
        self.assertEqual(self.machine.status()["health"], "ok")

    def test_a_reboot_in_good_order_gives_jobs_their_grace(self):
        script = "trap 'echo saved >> ~/work; sync ~/work; exit 0' TERM; echo begun >> ~/work; while :; do sleep 0.2; done"
        resumed = "if [ -e ~/work ]; then echo resumed >> ~/work; else " + script + "; fi"
        job = self.machine.submit_sh(resumed, options=("--retry", "preempted=1", "--grace", "30s"))
        eventually(lambda: self.machine.exists("/home/ann/work"), "the job works")
        waiting = self.machine.submit_sh("echo ran >> ~/queued", options=("--hold",))
        self.machine.reboot()
        record = self.succeeded(job)
        self.assertEqual([attempt["ending"]["kind"] for attempt in record["attempts"]], ["preempted", "exited"])
        self.assertEqual(self.machine.read("/home/ann/work").split(), ["begun", "saved", "resumed"])
        self.machine.berth("release", waiting, user="ann")
        self.succeeded(waiting)
        self.assertEqual(self.machine.read("/home/ann/queued"), "ran\n")


if __name__ == "__main__":
    main(images.require_virtual_machines)
