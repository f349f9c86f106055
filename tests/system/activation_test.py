"""Requests while the agent restarts: none is refused, none is lost, and what was acknowledged runs once."""

import images
from clients import Clients
from harness import ContainerTest, main

RESTARTS = 6


class ActivationTest(ContainerTest):
    def test_no_request_is_lost_while_the_agent_restarts(self):
        with Clients(self, "ann", "bob") as clients:
            for number in range(RESTARTS):
                self.replace_agent(hard=number % 2 == 1)
                clients.await_more()
        clients.assert_served(at_least=2 * RESTARTS)

    def replace_agent(self, hard):
        pid = self.machine.agent_pid()
        if hard:
            self.machine.run("kill", "-9", pid)
        else:
            self.machine.systemctl("restart", "berthd.service")
        self.machine.new_agent(pid)


if __name__ == "__main__":
    main(images.require_containers)
