"""PostgreSQL, logged in by libpq and then spoken to message by message, logged by the byte, on connections that are not seen whole.

joined: the capture begins between two answers, with a statement prepared before, and in the middle of a long answer
pipelined: 40 statements in one segment, in three turns, one of them failing
failing: by pg_cancel_backend, by pg_terminate_backend
huge: 70 kB there and back, 700 rows, COPY of 70 kB both ways
slow: pg_sleep
cancelled: pg_cancel_backend, a client that closes while it waits
cut off: the client is killed in the middle of a statement and while it waits, the server's process while a client waits
"""
import os
import signal
import socket
import struct
import sys

from client_log import Log, end, killed, receive, recorded
from psycopg import pq

log = Log(sys.argv[2], clock=True)
before = Log(None)


def message(kind, body=b""):
    return kind + struct.pack(">I", len(body) + 4) + body


def text(value):
    return value.encode() + b"\0"


class Client:
    def __init__(self, log):
        self.log = log
        # It asks for TLS only where that is wanted, here not.
        entry = log.begin("STARTUP", domain="shop")
        self.libpq = pq.PGconn.connect(f"host=127.0.0.1 port={sys.argv[1]} dbname=shop user=postgres sslmode=disable".encode())
        end(entry, code="00000")
        self.socket = socket.socket(fileno=os.dup(self.libpq.socket))
        self.socket.setblocking(True)
        self.pid = self.libpq.backend_pid

    def message(self):
        head = receive(self.socket, 5)
        body = receive(self.socket, int.from_bytes(head[1:], "big") - 4)
        return head[:1], body

    def entry(self, operation, statement, length, **known):
        cut = {"resource_begin": statement[:500]} if len(statement) > 65_000 else {"resource": statement}
        return self.log.begin(operation, protocol="postgresql", request_bytes=length, **cut, **known)

    def send(self, *statements):
        """Simple queries."""
        messages = [message(b"Q", text(statement)) for statement in statements]
        entries = [self.entry("QUERY", statement, len(sent)) for statement, sent in zip(statements, messages)]
        self.socket.sendall(b"".join(messages))
        return entries

    def extended(self, *turns):
        """Statements prepared, bound and executed, each turn ended by a Sync, in one segment. All but those that fail give a row."""
        sent, waiting = b"", []
        for turn in turns:
            for statement in turn:
                parse = message(b"P", text("") + text(statement) + b"\0\0")
                execute = message(b"E", text("") + bytes(4))
                waiting.append((self.entry("PARSE", statement, len(parse)), self.entry("EXECUTE", statement, None)))
                # What goes before an execute may count for it or not.
                waiting[-1][1].pop("request_bytes")
                sent += parse + message(b"B", b"\0\0" + bytes(6)) + message(b"D", b"P\0") + execute
            sent += message(b"S")
            waiting.append(None)
        self.socket.sendall(sent)
        failed = False
        for entries in waiting:
            if entries is None:
                while self.message()[0] != b"Z":
                    pass
                failed = False
                continue
            if failed:
                for entry in entries:
                    end(entry, "unanswered")
                continue
            kind, body = self.message()
            assert kind == b"1", (kind, body)
            end(entries[0], code="00000")
            while True:
                kind, body = self.message()
                if kind in b"CE":
                    break
            failed = kind == b"E"
            self.ended(entries[1], kind, body)

    def ended(self, entry, kind, body):
        if kind == b"E":
            fields = {part[:1]: part[1:].decode() for part in body.split(b"\0") if part}
            end(entry, "error", fields[b"C"], fields[b"M"])
        else:
            end(entry, code="00000")

    def hear(self, entry):
        """The answer to a query, up to where the next one may begin."""
        length, last = 0, None
        while True:
            kind, body = self.message()
            if kind in (b"C", b"E"):
                last = kind, body
            if kind == b"D":
                self.row = body
            if kind == b"Z":
                break
            length += len(body) + 5
            if kind == b"G":
                return entry
        self.ended(entry, *last)
        entry["response_bytes"] = length
        return entry

    def do(self, *statements):
        entries = self.send(*statements)
        for entry in entries:
            self.hear(entry)
        return entries[0]


late, middle = Client(before), Client(before)
late.do("CREATE TABLE orders (id INT, customer TEXT)")
late.socket.sendall(message(b"P", text("kept") + text("SELECT 17") + b"\0\0") + message(b"S"))
while late.message()[0] != b"Z":
    pass
middle.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
held = middle.send("SELECT repeat('x', 150000)")[0]
recorded()
late.log = middle.log = log
entry = log.begin("EXECUTE", attributes={"db.postgresql.statement": "kept"}, resource=None)
entry["resource"] = None
late.socket.sendall(message(b"B", text("") + text("kept") + bytes(6)) + message(b"E", text("") + bytes(4)) + message(b"S"))
while late.message()[0] != b"Z":
    pass
end(entry, code="00000")
late.do("SELECT count(*) FROM orders")
# The rest of an answer that began before.
middle.hear(held)
middle.do("SELECT 'after it'")

one, two = Client(log), Client(log)
one.do("INSERT INTO orders VALUES (1, 'Ann')", "SELECT customer FROM orders", "SELECT price FROM orders", "SELECT 'last'")
one.extended([f"SELECT {number}" for number in range(20)], ["SELECT 1", "SELECT 1 / 0", "SELECT 2"], [f"SELECT {number}" for number in range(20, 37)])
one.do(f"INSERT INTO orders VALUES (2, '{'y' * 70_000}')")
one.do("SELECT customer FROM orders WHERE id = 2")
one.do("SELECT number, repeat('r', 100) FROM generate_series(1, 700) AS number")
copy = one.send("COPY orders FROM STDIN")[0]
copy["operation"] = "COPY"
copy.pop("request_bytes")
one.hear(copy)
one.socket.sendall(b"".join(message(b"d", f"{number}\t{'z' * 10_000}\n".encode()) for number in range(7)) + message(b"c"))
one.hear(copy).pop("response_bytes")
copy = one.do("COPY (SELECT * FROM orders WHERE length(customer) = 10000) TO STDOUT")
copy["operation"] = "COPY"
copy.pop("response_bytes")
one.do("SELECT pg_sleep(0.3)")["at_least_ns"] = 300_000_000
for function in ("pg_cancel_backend", "pg_terminate_backend"):
    waiting = one.send("SELECT pg_sleep(60)")[0]
    looking = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    while two.do(looking) and not two.row.endswith(b"1"):
        pass
    two.do(f"SELECT {function}({one.pid})")
    if function == "pg_cancel_backend":
        one.hear(waiting)
    else:
        while (answer := one.message())[0] != b"E":
            pass
        one.ended(waiting, *answer)
three = Client(log)
waiting = three.send("SELECT pg_sleep(50)")[0]
three.socket.close()
three.libpq.finish()
# The server may say something at its end, which nobody hears.
end(waiting, "cancelled")


def dies_in_statement():
    dying = Client(before)
    dying.socket.sendall(message(b"Q", text(f"SELECT '{'k' * 100_000}'"))[:40_000])
    os.kill(os.getpid(), signal.SIGKILL)


def dies_waiting():
    dying = Client(before)
    dying.send("SELECT pg_sleep(40)")
    os.kill(os.getpid(), signal.SIGKILL)


for resource, act in (("SELECT 'k", dies_in_statement), ("SELECT pg_sleep(40)", dies_waiting)):
    log.begin("STARTUP").pop("began")
    entry = log.begin("QUERY", resource_begin=resource)
    killed(act)
    end(entry, "cancelled")
two.do("SELECT 'before the end'")
waiting = two.send("SELECT pg_sleep(30)")[0]
os.kill(two.pid, signal.SIGKILL)
try:
    two.message()
except ConnectionError:
    pass
end(waiting, "unanswered")
log.write()
