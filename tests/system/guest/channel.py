"""Within a virtual machine: runs what the host asks for over a serial line, one JSON request per line, one JSON answer
per line. A request has id, argv, input, timeout; an answer id, code (null when the time was over), out, err."""

import json
import os
import subprocess
import sys
import threading
import tty


def answer(request):
    try:
        done = subprocess.run(request["argv"], input=request["input"].encode(), capture_output=True,
                              timeout=request["timeout"])
        code, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        code, out, err = None, late.stdout or b"", late.stderr or b""
    except OSError as failure:
        code, out, err = 127, b"", str(failure).encode()
    return {"id": request["id"], "code": code, "out": out.decode(errors="replace"), "err": err.decode(errors="replace")}


def main(port):
    line = os.open(port, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line)
    requests = os.fdopen(line, "rb", closefd=False)
    lock = threading.Lock()

    def serve(request):
        text = (json.dumps(answer(request)) + "\n").encode()
        with lock, os.fdopen(line, "wb", closefd=False) as answers:
            answers.write(text)
    for text in requests:
        try:
            request = json.loads(text)
        except ValueError:
            continue  # part of a line, sent before the line was read
        threading.Thread(target=serve, args=(request,), daemon=True).start()


main(sys.argv[1])
