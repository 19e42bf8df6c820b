"""The h2 library, logged frame by frame, and connections that are not seen whole; against nginx.

joined: the capture begins between two requests, with headers in the table that are referred to later
pipelined: 20 streams at once
failing: no such page, the server resets a stream
huge: 70 kB there and back
slow: answers that the server delays, others between them
cancelled: the client resets before the answer and in the middle of it
GOAWAY: the server takes four requests a connection; what came too late is not looked at
cut off: the client is killed in the middle of a body, the server while it is sent one
"""
import os
import pathlib
import signal
import socket
import sys

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
from client_log import Log, end, killed, recorded

PORT, FEW = int(sys.argv[1]), int(sys.argv[4])
log = Log(sys.argv[2], clock=True)
before = Log(None)
DATA, HEADERS, PUSH_PROMISE, GOAWAY, CONTINUATION = 0, 1, 5, 7, 9


class Frames:
    """Counts the bytes of the frames of each stream that carry its message."""

    def __init__(self):
        self.data = b""
        self.bytes = {}

    def feed(self, data):
        self.data += data
        while len(self.data) >= 9:
            length = 9 + int.from_bytes(self.data[:3], "big")
            if len(self.data) < length:
                return
            yield self.data[:length]
            stream = int.from_bytes(self.data[5:9], "big")
            if self.data[3] in (DATA, HEADERS, PUSH_PROMISE, CONTINUATION):
                self.bytes[stream] = self.bytes.get(stream, 0) + length
            self.data = self.data[length:]


class Client:
    def __init__(self, log, port=PORT):
        self.log = log
        self.host = f"127.0.0.1:{port}"
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(20)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
        self.sent, self.received = Frames(), Frames()
        self.entries, self.ended, self.last = {}, set(), None
        self.answers = {}
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.ENABLE_PUSH: 0})
        data = self.h2.data_to_send()
        self.socket.sendall(data)

    def flush(self):
        data = self.h2.data_to_send()
        list(self.sent.feed(data))
        self.socket.sendall(data)

    def open(self, *paths, method="GET", body=None, more=(), finish=True):
        """All in one go."""
        streams = []
        for path in paths:
            stream = self.h2.get_next_available_stream_id()
            entry = self.log.begin(method, path, protocol="http2", domain=self.host, request_id=str(stream))
            self.entries[stream] = entry
            headers = [(":method", method), (":scheme", "http"), (":authority", self.host), (":path", path), *more]
            self.h2.send_headers(stream, headers, end_stream=body is None and finish)
            streams.append(stream)
        self.flush()
        for stream in streams if body else ():
            rest = body
            while rest:
                room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(rest))
                if stream in self.ended:
                    # It has answered and does not want the rest.
                    break
                if room:
                    self.h2.send_data(stream, rest[:room], end_stream=finish and room == len(rest))
                    rest = rest[room:]
                    self.flush()
                else:
                    self.hear()
        return streams

    def hear(self):
        data = self.socket.recv(1 << 16)
        if not data:
            return False
        frames = list(self.received.feed(data))
        for frame in frames:
            if frame[3] == GOAWAY:
                self.last = int.from_bytes(frame[9:13], "big")
        # The library would hear nothing after it.
        for event in self.h2.receive_data(b"".join(frame for frame in frames if frame[3] != GOAWAY)):
            if isinstance(event, h2.events.ResponseReceived):
                self.answers[event.stream_id] = int(dict(event.headers)[b":status"])
                # The duration ends with the head.
                self.headed(event.stream_id)
            elif isinstance(event, h2.events.DataReceived):
                if event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                self.ended.add(event.stream_id)
                if isinstance(event, h2.events.StreamReset) and event.stream_id not in self.answers:
                    self.entries[event.stream_id].update(
                        status="error", exception=f"RST_STREAM {h2.errors.ErrorCodes(event.error_code).name}")
        self.flush()
        return True

    def headed(self, stream):
        code = self.answers[stream]
        end(self.entries[stream], "ok" if code < 400 else "error", code)

    def done(self, streams):
        """Waits for the ends of the answers. Lengths are compared where all went its way."""
        while not self.ended.issuperset(streams) and self.hear():
            pass
        for stream in streams:
            if stream in self.ended and stream in self.answers:
                self.entries[stream].update(request_bytes=self.sent.bytes[stream], response_bytes=self.received.bytes[stream])
        return [self.entries[stream] for stream in streams]

    def do(self, *paths, **more):
        return self.done(self.open(*paths, **more))


late = Client(before)
late.do("/orders/1?seen=before", more=[("x-request-id", "7")])
recorded()
late.log = log
# What stands in the table is not known: the host in both, the path in the first.
for entry in late.do("/orders/1?seen=before", "/orders/2?seen=now", more=[("x-request-id", "7")]):
    entry.pop("domain")
    if "before" in entry["resource"]:
        entry["resource"] = None
    entry.update(captured_complete=False)
late.socket.close()

one = Client(log)
one.do(*(f"/orders/{number}" for number in range(18)), "/missing", "/broken")
one.do("/orders/30", method="POST", body=b"x" * 70_000)
one.do("/big", more=[("range", "bytes=0-69999")])
# The first is answered at once, and so are those that do not wait.
streams = one.open("/slow", "/slow", "/slow", "/ok", "/missing")
one.done(streams)
one.entries[streams[2]]["at_least_ns"] = 150_000_000
# It changes its mind, before the answer and within.
one.do("/slow")
stream, = one.open("/slow", "/slow")[1:]
one.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
one.flush()
end(one.entries[stream], "cancelled")
one.entries[stream]["exception"] = "RST_STREAM CANCEL"
two = Client(log)
stream, = two.open("/big")
while stream not in two.answers:
    two.hear()
two.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
two.flush()
two.entries[stream].update(status="cancelled", exception="RST_STREAM CANCEL")
two.done(two.open("/ok"))
# A name in capitals is not allowed: the server resets the stream.
bad, = two.open("/ok", more=[("Bad", "1")])
two.done([bad])
two.socket.close()

# One after the other, then all at once, on connections that take four.
few = Client(log, FEW)
for number in range(4):
    few.do(f"/orders/{number}")
while few.hear():
    pass
few = Client(log, FEW)
streams = few.open(*(f"/orders/{number}?at=once" for number in range(8)))
few.done(streams)
while few.hear():
    pass
for stream in streams:
    if stream not in few.answers:
        assert stream > few.last
        few.entries[stream].pop("began", None)
        few.entries[stream].update(exception="GOAWAY NO_ERROR", kind="request_only")


def dies():
    dying = Client(before)
    dying.open("/orders/40", method="POST", body=b"x" * 30_000, finish=False)
    os.kill(os.getpid(), signal.SIGKILL)


entry = log.begin("POST", "/orders/40", domain=one.host)
killed(dies)
# nginx answers what it need not read, whether or not somebody is left to hear it.
entry.pop("began")
last = Client(log)
stream, = last.open("/orders/41", method="POST", body=b"x" * 3000, finish=False)
for worker in pathlib.Path(f"/proc/{sys.argv[3]}/task/{sys.argv[3]}/children").read_text().split():
    os.kill(int(worker), signal.SIGKILL)
try:
    while last.hear():
        pass
except ConnectionError:
    pass
if stream not in last.answers:
    end(last.entries[stream], "unanswered")
log.write()
