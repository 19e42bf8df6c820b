"""redis-py, logged by the byte, and connections that are not seen whole.

joined: the capture begins between two answers, and in the middle of a long answer
pipelined: 250 commands before the first answer is read
failing: within a pipeline, and by CLIENT UNBLOCK
huge: 200 KiB there and back, 700 values
slow: waiting that ends without a value, waiting for somebody else
cancelled: the client closes while it waits, and it is ended by CLIENT KILL
cut off: the client is killed in the middle of a command and while it waits, the server while a client waits
"""
import socket
import sys
import time

import redis
from client_log import Log, end, kill_server, killed, recorded
from redis.connection import Connection

PORT = int(sys.argv[1])
log = Log(sys.argv[2], clock=True)
before = Log(None)


class Counted:
    """A socket that counts what it receives."""

    def __init__(self, socket):
        self.socket = socket
        self.count = 0

    def recv(self, *arguments):
        data = self.socket.recv(*arguments)
        self.count += len(data)
        return data

    def __getattr__(self, name):
        return getattr(self.socket, name)


class Client:
    def __init__(self, log, **settings):
        self.log = log
        self.connection = Connection(
            port=PORT, protocol=2, socket_timeout=30, driver_info=None, parser_class=redis._parsers._RESP2Parser, **settings)
        self.connection.connect()
        self.socket = Counted(self.connection._sock)
        self.connection._parser._buffer._sock = self.socket

    def send(self, *commands):
        entries = []
        for command in commands:
            length = len(b"".join(self.connection.pack_command(*command)))
            name = command[0].upper()
            text = " ".join(map(str, command))
            # A text field ends there.
            cut = {"resource_begin": text[:500]} if len(text) > 65536 else {"resource": text}
            entries.append(self.log.begin(name, protocol="redis", endpoint=name, request_bytes=length, **cut))
        self.connection.send_packed_command(self.connection.pack_commands(commands))
        return entries

    def hear(self, entry, alone=True):
        count = self.socket.count
        try:
            self.connection.read_response()
            known = ("ok",)
        except redis.ResponseError as error:
            known = ("error", None, str(error))
        end(entry, *known)
        if alone:
            entry["response_bytes"] = self.socket.count - count

    def do(self, *commands):
        entries = self.send(*commands)
        for entry in entries:
            self.hear(entry, len(entries) == 1)
        return entries[0]


late, middle = Client(before), Client(before)
late.do(("SET", "a", "1"))
late.do(("SET", "huge", "x" * 400_000))
middle.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
held = middle.send(("GET", "huge"))[0]
recorded()
late.log = middle.log = log
late.do(("GET", "a"))
late.do(("GET", "a"), ("INCR", "a"))
# The rest of an answer that began before.
middle.hear(held)
middle.do(("GET", "a"))
middle.do(("PING",))

one, two = Client(log), Client(log)
one.do(*[("SET", f"k:{number}", number) for number in range(125)], ("INCR", "k:1"), ("LPUSH", "k:1", "x"), *[("GET", f"k:{number}") for number in range(123)])
one.do(("SET", "big", "y" * 200_000))
one.do(("GET", "big"))
one.do(("RPUSH", "list", *range(700)))
one.do(("LRANGE", "list", "0", "-1"))
one.do(("BLPOP", "none", "0.2"))["at_least_ns"] = 200_000_000
number = two.send(("CLIENT", "ID"))
two.hear(number[0])
waiting = one.send(("BLPOP", "queue", "30"))[0]
time.sleep(0.1)
two.do(("RPUSH", "queue", "job"))
one.hear(waiting)
waiting["at_least_ns"] = 90_000_000
one.connection.send_command("CLIENT", "ID")
log.begin("CLIENT", "CLIENT ID")
number = one.connection.read_response()
waiting = one.send(("BLPOP", "queue", "30"))[0]
two.do(("CLIENT", "UNBLOCK", number, "ERROR"))
one.hear(waiting)
# It goes while it waits.
waiting = one.send(("BLPOP", "queue", "30"))[0]
one.connection.disconnect()
end(waiting, "unanswered")
three = Client(log)
three.connection.send_command("CLIENT", "ID")
log.begin("CLIENT", "CLIENT ID")
number = three.connection.read_response()
waiting = three.send(("BLPOP", "queue", "30"))[0]
two.do(("CLIENT", "KILL", "ID", number))
end(waiting, "unanswered")


def dies_in_command():
    dying = Client(before)
    command = b"".join(dying.connection.pack_command("SET", "k:1", "z" * 100_000))
    dying.connection._sock.sendall(command[:30_000])


entry = log.begin("SET")
killed(dies_in_command)
end(entry, "unanswered")
entry = log.begin("BLPOP", "BLPOP queue 30")
killed(lambda: Client(before).send(("BLPOP", "queue", "30")))
end(entry, "unanswered")
two.do(("GET", "k:1"))
entries = two.send(("INCR", "a"), ("BLPOP", "queue", "30"), ("GET", "a"))
two.hear(entries[0], alone=False)
kill_server()
try:
    two.connection.read_response()
except redis.ConnectionError:
    pass
for entry in entries[1:]:
    end(entry, "unanswered")
log.write()
