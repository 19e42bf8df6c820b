"""Python's own HTTP server, in a process that can be ended, and connections that are not seen whole.

joined: the capture begins between two answers, and in the middle of a long answer
slow: an answer, and one whose body comes in drops
cancelled: the client goes in the middle of an answer, and before it
cut off: the client is killed in the middle of a body and while it waits, the server in the middle of an answer
"""
import http.server
import os
import socket
import sys
import threading
import time

from client_log import Log, end, killed, recorded
from http1_log import Connection, get, post

PORT = int(sys.argv[1])
HUGE = 3_000_000
log = Log(sys.argv[2], clock=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/slow":
            time.sleep(0.3)
        if path == "/never":
            time.sleep(60)
        self.send_response(200)
        size = {"/huge": HUGE, "/drops": 50, "/half": 1000}.get(path, 5)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if path == "/drops":
            for _ in range(5):
                self.wfile.write(b"x" * 10)
                time.sleep(0.02)
        elif path == "/half":
            self.wfile.write(b"x" * 400)
            os.kill(os.getpid(), 9)
        else:
            self.wfile.write(b"x" * size)

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        if len(self.rfile.read(length)) < length:
            self.close_connection = True
        else:
            self.do_GET()

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        # What is sent waits here, not in the kernel.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        super().server_bind()


server = os.fork()
if server == 0:
    Server(("127.0.0.1", PORT), Handler).serve_forever()
while True:
    try:
        socket.create_connection(("127.0.0.1", PORT)).close()
        break
    except ConnectionRefusedError:
        time.sleep(0.01)

before = Log(None)
late, middle = Connection(before, PORT), Connection(before, PORT)
late.do(get("/a"))
middle.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
middle.send(get("/huge"))
middle.head()
recorded()
late.log = middle.log = log
late.do(get("/b"))
late.do(get("/c"), get("/d/17"))
late.socket.close()
# The rest of an answer that began before.
middle.hear()
middle.do(get("/after"))
middle.socket.close()

one = Connection(log, PORT)
one.do(get("/slow"))[0]["at_least_ns"] = 300_000_000
one.do(get("/drops"))
one.do(post("/taken", b"x" * 100_000))
# It has read the head when it goes.
one.send(get("/huge"))
code, _, _ = one.head()
end(one.waiting.pop(), code=code)
one.socket.close()
two = Connection(log, PORT)
two.send(get("/never"))
two.socket.shutdown(socket.SHUT_WR)
two.socket.close()
two.unanswered()


def dies_in_body():
    dying = Connection(before, PORT)
    dying.socket.sendall(f"POST /taken HTTP/1.1\r\nHost: {dying.host}\r\nContent-Length: 100000\r\n\r\n".encode() + b"x" * 40_000)


def dies_waiting():
    Connection(before, PORT).send(get("/never"))


for method, path, act in (("POST", "/taken", dies_in_body), ("GET", "/never", dies_waiting)):
    entry = log.begin(method, path, domain=one.host)
    killed(act)
    end(entry, "unanswered")
three = Connection(log, PORT)
three.send(get("/half"))
waits = Connection(log, PORT)
waits.send(get("/never"))
three.hear()
os.waitpid(server, 0)
waits.unanswered()
log.write()
