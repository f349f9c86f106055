"""Serves the files of a directory over HTTP, on loopback, and keeps all who ask waiting while there is a file `closed` in it.
Who asks leaves a file `asked`. Its arguments: directory, port."""

import functools
import http.server
import os
import sys
import time


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        open(os.path.join(self.directory, "asked"), "w").close()
        while os.path.exists(os.path.join(self.directory, "closed")):
            time.sleep(0.05)
        super().do_GET()


def main(directory, port):
    handler = functools.partial(Handler, directory=directory)
    http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), handler).serve_forever()


main(*sys.argv[1:])
