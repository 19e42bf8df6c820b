"""dig, which says of each question how long it and its answer were and how long it took.

failing: no such name; TCP; an alias; backwards
"""
import re
import subprocess
import sys

from client_log import Log, end

log = Log(sys.argv[2])
CODES = {"NOERROR": 0, "NXDOMAIN": 3, "REFUSED": 5}
for arguments in (["shop.test"], ["orders.test", "AAAA"], ["none.test"], ["+tcp", "db.test"], ["-x", "10.1.2.3"], ["elsewhere.example"]):
    command = ["dig", "@127.0.0.1", "-p", sys.argv[1], "+tries=1", "+time=2", "+qr", "-u", *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    name, kind = re.search(r"^;(\S+?)\.?\s+IN\s+(\w+)$", said, re.MULTILINE).groups()
    number, = set(re.findall(r"id: (\d+)", said))
    code = CODES[re.findall(r"status: (\w+)", said)[1]]
    answers = re.findall(r"^[^;\s]\S*\s+\d+\s+IN\s+\w+\s+(\S+?)\.?$", said, re.MULTILINE)
    known = {"attributes": {"dns.answers": ",".join(answers)}} if answers else {}
    # It does not count what goes before a message over TCP.
    before = 2 if "+tcp" in arguments else 0
    asked, answered = (int(count) + before for count in re.findall(r"(?:QUERY SIZE|MSG SIZE  rcvd): (\d+)", said))
    entry = log.begin(kind, name, protocol="dns", domain=name, request_id=number, request_bytes=asked, **known)
    took = int(re.search(r"Query time: (\d+) usec", said)[1])
    end(entry, "error" if code else "ok", code, response_bytes=answered, elapsed_ns=(took + 1) * 1000)
log.write()
