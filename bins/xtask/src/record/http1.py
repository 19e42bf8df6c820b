"""curl, and requests of our own.

keep-alive, HEAD, POST, HTTP/1.0, compressed and chunked answers, redirects, a range, names for a trace
failing: 404, 500, 405, 400, 413, 416, and what is no request
pipelined: three requests in one segment, and forty
huge: answers and bodies of 70 kB, a body in chunks, one that the server asks for by 100 Continue
slow: the server delays its answer
"""
import sys

from client_log import Log, end
from http1_log import TRACE, Connection, curl, get, post

PORT = int(sys.argv[1])
BASE = f"http://127.0.0.1:{PORT}"
log = Log(sys.argv[2], clock=True)


def run(*arguments, **known):
    curl(log, BASE, *arguments, **known)


run("-A", "shop/1.0", "-H", f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01", "-H", "X-Request-ID: 7",
    "BASE/ok", "BASE/orders/[1-3]?page=2&token=secret", trace_id=TRACE, x_request_id="7")
run("BASE/missing", "BASE/broken")
run("--compressed", "BASE/chunked")
run("-I", "BASE/big")
run("-d", "item=1&item=2", "BASE/orders/4")
run("-0", "BASE/ok")
run("-r", "100-199", "BASE/big")
run("-r", "2000000-", "BASE/big")
run("-X", "DELETE", "BASE/page")
run("-r", "0-69999", "BASE/big")
run("-d", "x" * 2000, "-H", "Expect: 100-continue", "BASE/orders/5")
one = Connection(log, PORT)
one.do(*(get(path) for path in ("/ok", "/missing", "/orders/9")))
one.do(*(get(f"/orders/{number}?of=many") for number in range(40)))
one.do(("HEAD", "/big", (), None), get("/ok"), post("/orders/1", b"a=1"), get("/broken"))
one.do(post("/orders/10", b"x" * 70_000), get("/ok"))
one.do(post("/orders/11", b"".join(b"%x\r\n%s\r\n" % (9000, b"y" * 9000) for _ in range(8)) + b"0\r\n\r\n", "Transfer-Encoding: chunked"))
for _ in range(3):
    entry = one.do(get("/slow"))[0]
entry["at_least_ns"] = 100_000_000
one.socket.close()
# More than it takes: it says so before it has all, and closes.
two = Connection(log, PORT)
two.send(post("/orders/12", b"z" * 10, "Content-Length: 2000000"))
two.hear()
two.socket.close()
# What is no HTTP gets an answer all the same.
three = Connection(log, PORT)
entry = log.begin("GET", "/ok")
three.socket.sendall(b"GET /ok HTTP/1.1\r\nHost: a b\r\n\r\n")
three.waiting.append(entry)
three.hear()
three.socket.close()
log.write()
