"""Within a virtual machine: submits jobs as fast as it can over several connections. Tells the witness of every
acknowledgement the moment it comes, and each job tells it that it runs. Its argument: how many connections."""

import json
import os
import secrets
import sys
import threading

sys.path.insert(0, "/opt/test")
from client import UnixConnection  # noqa: E402

WITNESS = "/dev/ttyS2"
# A subshell opens the line: a session's leader would make it its terminal, and hang it up for all at its end.
COMMAND = ["/bin/sh", "-c", f'(echo "RAN $BERTH_JOB_ID" > {WITNESS})']


def submit_for_ever(witness):
    connection = UnixConnection("/run/berth/berth.sock", 60)
    while True:
        request = {"submission_id": secrets.token_hex(16), "command": COMMAND, "working_directory": "/tmp"}
        connection.request("POST", "/v1/jobs", json.dumps(request), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        word = f"ACK {answer['jobs'][0]['id']}" if response.status < 300 else f"REFUSED {response.status}"
        os.write(witness, f"{word}\n".encode())


def main(connections):
    witness = os.open(WITNESS, os.O_WRONLY | os.O_NOCTTY)
    threads = [threading.Thread(target=submit_for_ever, args=(witness,), daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main(int(sys.argv[1]))
