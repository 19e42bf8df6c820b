"""dnspython writes and reads the messages, over sockets of our own.

many types, with and without EDNS; over UDP, over TCP; an answer over 512 bytes; cut off (TC) and asked again over TCP
failing: NXDOMAIN, SERVFAIL, REFUSED, FORMERR, NOTIMP, NOTAUTH, BADVERS
pipelined: 30 questions over TCP in one segment, several over UDP from one port
huge: a zone transfer in several messages
slow: the server sleeps
sent again: the same question twice, answered once, and twice
cancelled: nobody hears any more when the answer comes
cut off: joined late over TCP, a client killed in the middle of a question, the server killed before the answer
never answered
"""
import os
import pathlib
import signal
import socket
import struct
import sys
import time

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.update
from client_log import Log, end, kill_server, killed, recorded

PORT, SERVER = int(sys.argv[1]), int(sys.argv[3])
log = Log(sys.argv[2], clock=True)
before = Log(None)
# Of these the number is known better than the name.
NUMBERS = (39, 44, 52, 64, 65)
TYPES = "A AAAA CNAME MX TXT NS SOA PTR SRV CAA NAPTR HTTPS SVCB DS DNSKEY TLSA SSHFP LOC DNAME ANY".split()
NAMES = {
    "CNAME": "orders", "SRV": "_http._tcp", "NAPTR": "sip", "HTTPS": "api", "SVCB": "_dns", "TLSA": "_443._tcp.www", "SSHFP": "host",
    "LOC": "loc", "DNAME": "old", "A": "www", "AAAA": "www",
}


class Asker:
    def __init__(self, log, tcp=False, address="127.0.0.1"):
        self.log = log
        self.tcp = tcp
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.connect(("127.0.0.1", PORT))
        self.socket.settimeout(10)

    def frame(self, wire):
        return struct.pack(">H", len(wire)) + wire if self.tcp else wire

    def entry(self, query, wire, **known):
        question = query.question[0]
        kind = question.rdtype
        return self.log.begin(
            str(int(kind)) if kind in NUMBERS else dns.rdatatype.to_text(kind), question.name.to_text(omit_final_dot=True), protocol="dns",
            request_id=str(query.id), request_bytes=len(wire), **known)

    def send(self, *queries):
        wires = [self.frame(query.to_wire()) for query in queries]
        entries = [self.entry(query, wire) for query, wire in zip(queries, wires)]
        for wire in [b"".join(wires)] if self.tcp else wires:
            self.socket.sendall(wire)
        return entries

    def message(self):
        if not self.tcp:
            return self.socket.recv(65536)
        data = b""
        length = 2
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                raise ConnectionError
            data += more
            if len(data) == 2:
                length = 2 + int.from_bytes(data, "big")
        return data[2:]

    def hear(self, entries):
        wire = self.message()
        answer = dns.message.from_wire(wire, ignore_trailing=True)
        entry = next(entry for entry in entries if entry["request_id"] == str(answer.id))
        code = answer.rcode()
        end(entry, "error" if code else "ok", int(code), response_bytes=len(self.frame(wire)))
        return answer

    def do(self, *queries):
        entries = self.send(*queries)
        for _ in entries:
            answer = self.hear(entries)
        return entries[0], answer


def pause():
    """Until each of the server's threads stands."""
    os.kill(SERVER, signal.SIGSTOP)
    tasks = pathlib.Path(f"/proc/{SERVER}/task")
    while any(") T " not in (task / "stat").read_text() for task in tasks.iterdir()):
        pass


def query(name, kind="A", **settings):
    return dns.message.make_query(f"{name}.test", kind, **settings)


late = Asker(before, tcp=True)
late.do(query("www.shop"))
recorded()
late.log = log
late.do(query("www.shop"))
one = Asker(log)
for kind in TYPES:
    name = f"{NAMES[kind]}.shop" if kind in NAMES else "shop"
    one.do(query(name, kind))
    one.do(query(name, kind, use_edns=0, payload=4096, want_dnssec=True))
one.do(query("Any.Wild.SHOP"))
one.do(dns.message.make_query("version.bind", "TXT", "CH"))
# More than fits, without EDNS and with little room.
for settings in ({}, {"use_edns": 0, "payload": 600}):
    asked = query("big.shop", "TXT", **settings)
    _, answer = one.do(asked)
    assert answer.flags & dns.flags.TC
    Asker(log, tcp=True).do(asked)
one.do(query("big.shop", "TXT", use_edns=0, payload=4096))
# Errors.
one.do(query("none.shop"))
one.do(query("www.broken"))
one.do(dns.message.make_query("www.example", "A"))
status = query("shop", "SOA")
status.set_opcode(dns.opcode.STATUS)
one.do(status)
notify = query("shop", "SOA")
notify.set_opcode(dns.opcode.NOTIFY)
one.do(notify)
one.do(query("www.shop", use_edns=1))
# Two questions are one too many.
double = query("www.shop")
double.question.append(query("mail.shop").question[0])
one.do(double)
update = dns.update.UpdateMessage("shop.test")
update.add("new", 300, "A", "10.1.2.7")
one.do(update)
# Options of EDNS.
cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")
subnet = dns.edns.ECSOption("10.9.8.0", 24)
one.do(query("www.shop", use_edns=0, options=[cookie, subnet, dns.edns.GenericOption(3, b"")]))
# Several at once.
one.do(*(query(f"n{number}.shop", "TXT") for number in range(8)))
two = Asker(log, tcp=True)
two.do(*(query(f"n{number}.shop", "TXT") for number in range(30)))
two.do(query("none.shop"))

# A transfer ends with the record with which it began.
asked = query("shop", "AXFR")
entry, = two.send(asked)
records, length, messages = 0, 0, 0
while records < 2:
    wire = two.message()
    length += len(two.frame(wire))
    messages += 1
    answer = dns.message.from_wire(wire, xfr=True, one_rr_per_rrset=True)
    records += sum(record.rdtype == dns.rdatatype.SOA for record in answer.answer)
assert messages > 1
end(entry, code=0, response_bytes=length)
two.do(query("www.shop"))
three = Asker(log, tcp=True)
three.do(dns.message.make_query("www.example", "AXFR"))

# Slow, sent again, given up.
pause()
asked = query("mail.shop")
slow = one.send(asked)
time.sleep(0.2)
os.kill(SERVER, signal.SIGCONT)
one.hear(slow)
slow[0]["at_least_ns"] = 190_000_000
pause()
again = query("www.shop")
entries = one.send(again)
time.sleep(0.05)
one.socket.send(again.to_wire())
os.kill(SERVER, signal.SIGCONT)
one.hear(entries)
# The second answer stands alone.
second = log.begin("A", "www.shop.test", request_id=str(again.id), kind="response_only")
end(second, code=0, response_bytes=len(one.message()))
entries[0]["attributes"] = {"retries": 1}
never = Asker(log, address="127.0.0.2")
asked = query("www.shop")
entries = never.send(asked)
never.socket.send(asked.to_wire())
end(entries[0], "unanswered", attributes={"retries": 1})
never.socket.close()
never = Asker(log, address="127.0.0.2")
end(never.send(query("mail.shop"))[0], "unanswered")


def dies():
    dying = Asker(before, tcp=True)
    dying.socket.sendall(dying.frame(query("www.shop").to_wire())[:20])


killed(dies)
last = Asker(log, tcp=True)
last.do(query("www.shop"))
pause()
entries = last.send(query("n1.shop", "TXT"), query("n2.shop", "TXT"))
more = one.send(query("n3.shop", "TXT"))
kill_server()
for entry in entries + more:
    end(entry, "unanswered")
log.write()
