"""A page of packages, as pip reads one, that a test opens and closes."""

import base64
import http.server
import threading


class Page:
    """Answers only while it is open, so that a test knows a build to be going on; with `login` ("user:password") only who
    has that."""

    def __init__(self, directory, login=None):
        self.open, self.asked, self.closing = threading.Event(), threading.Event(), False
        wanted = "Basic " + base64.b64encode(login.encode()).decode() if login else None
        page = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(directory))

            def do_GET(self):
                if wanted and self.headers.get("Authorization") != wanted:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="x"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                page.asked.set()
                while not page.open.wait(0.05):
                    if page.closing:
                        return
                super().do_GET()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that has gone
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}/"

    def close(self):
        self.closing = True
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
