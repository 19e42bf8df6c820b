"""curl begins with HTTP/1.1 and asks for HTTP/2."""
import json
import subprocess
import sys
from urllib.parse import urlsplit

from client_log import Log, end

BASE = f"http://127.0.0.1:{sys.argv[1]}"
log = Log(sys.argv[2])


def curl(*arguments):
    arguments = [argument.replace("BASE", BASE) for argument in arguments]
    command = ["curl", "-s", "--http2", "-w", "%{stderr}%{json}\n", *arguments]
    ran = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for number, line in enumerate(ran.stderr.splitlines()):
        said = json.loads(line)
        url = urlsplit(said["url_effective"])
        path = url.path + (f"?{url.query}" if url.query else "")
        code, version = said["response_code"], said["http_version"]
        if number == 0 and version == "2":
            end(log.begin(said["method"], path, protocol="http1"), code=101)
        entry = log.begin(said["method"], path, protocol="http2" if version == "2" else "http1", domain=url.netloc)
        end(entry, "ok" if code < 400 else "error", code)


curl("BASE/ok", "BASE/orders/1?page=2", "BASE/missing")
curl("BASE/missing", "BASE/broken")
curl("-I", "BASE/ok")
# Not with a body.
curl("-d", "item=1", "BASE/orders/2", "BASE/ok")
log.write()
