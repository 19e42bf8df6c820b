"""curl and nghttp, which say of each transfer what came of it. nghttp sends all its requests at once, on one connection."""
import json
import re
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit

from client_log import Log, end

BASE = f"http://127.0.0.1:{sys.argv[1]}"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
log = Log(sys.argv[2])


def curl(*arguments, **known):
    url = f"{BASE}{arguments[-1]}"
    command = ["curl", "-s", "-o", "/dev/null", "--http2-prior-knowledge", "-w", "%{json}", *arguments[:-1], url]
    said = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout)
    path = urlsplit(said["url_effective"])
    assert said["http_version"] == "2", said
    begin(said["method"], path.path + (f"?{path.query}" if path.query else ""), said["response_code"], **known)


def nghttp(*arguments, paths, method="GET"):
    command = ["nghttp", "-n", "-s", *arguments, *(BASE + path for path in paths)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    # "id responseEnd requestStart process code size request path", with a star for what the server pushed.
    lines = re.findall(r"^ *(\d+) +\S+( \*)? +\S+ +\S+ +(\d+) +\S+ (/.*)$", said, re.MULTILINE)
    assert sum(pushed == "" for _, pushed, _, _ in lines) == len(paths), said
    for stream, pushed, code, path in sorted(lines, key=lambda line: (line[1], int(line[0]))):
        if pushed:
            begin("GET", path, int(code), request_id=stream, attributes={"initiator": "server"})
        else:
            begin(method, path, int(code), request_id=stream)


def begin(method, path, code, **known):
    entry = log.begin(method, path, protocol="http2", domain=BASE.removeprefix("http://"), **known)
    end(entry, "ok" if code < 400 else "error", code)


curl("-A", "shop/1.0", "-H", f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01", "/orders/1?page=2&token=secret", trace_id=TRACE)
for path in ("/ok", "/missing", "/broken"):
    curl(path)
curl("-I", "/ok")
curl("-X", "DELETE", "/orders/5")
curl("-r", "0-4999", "/big")
curl("--compressed", "/chunked")
# Curl goes away when it hears how much there is.
curl("--max-filesize", "1000", "-r", "0-4999", "/big")
nghttp(paths=[f"/orders/{number}?page=2" for number in range(10)] + ["/missing", "/ok", "/broken"])
nghttp("-H", "x-request-id: 7", "-H", "cookie: a=1; b=2", "-H", "range: bytes=0-2999", paths=["/big", "/ok", "/big?again", "/orders/1"])
# The table of headers is kept small, so that what stands in it is replaced.
nghttp("--header-table-size=100", "--encoder-header-table-size=100", paths=[f"/orders/{number}?of=table" for number in range(6)])
with tempfile.NamedTemporaryFile() as body:
    body.write(b"item=1&item=2")
    body.flush()
    nghttp("-d", body.name, paths=["/orders/4", "/missing"], method="POST")
    nghttp("-d", body.name, "-H", ":method: PUT", paths=["/orders/4"], method="PUT")
nghttp(paths=["/page", "/orders/1"])
nghttp("--no-dep", "--window-bits=10", "-b64", paths=["/orders/20", "/missing"])
log.write()
