"""What a client did, in the order in which it began it, one JSON object a line.

operation, resource: what was asked, in the words of the protocol
status: ok, error, cancelled (by the client), unanswered, one_way (no answer wanted)
code, message: of the answer, as the client saw them; of what it cancelled, those it would have seen
elapsed_ns: from before it sent the first byte to after it had the last one of the answer, by its clock: never less than what was seen
at_least_ns: what the client knows the answer to have taken, because it asked for that
Other members name fields of the call. What the client does not know is absent, and not compared.
"""
import json
import os
import signal
import sys
import time


class Log:
    def __init__(self, path, clock=False):
        """With a clock an entry is begun before anything of it is sent and ended when all of its answer is there."""
        self.path = path
        self.clock = clock
        self.entries = []

    def begin(self, operation, resource=None, **known):
        entry = {"operation": operation}
        if resource is not None:
            entry["resource"] = resource
        entry.update(known)
        if self.clock:
            entry["began"] = time.monotonic_ns()
        self.entries.append(entry)
        return entry

    def write(self):
        with open(self.path, "w") as file:
            for entry in self.entries:
                entry.pop("began", None)
                file.write(json.dumps(entry) + "\n")


def end(entry, status="ok", code=None, message=None, **known):
    began = entry.pop("began", None)
    if began is not None and status in ("ok", "error"):
        entry["elapsed_ns"] = time.monotonic_ns() - began
    entry["status"] = status
    if code is not None:
        entry["code"] = str(code)
    if message is not None:
        entry["message"] = message
    entry.update(known)


def recorded():
    """Returns when the capture runs: what the client did before is not in it."""
    print("ready", flush=True)
    sys.stdin.readline()


def receive(socket, length):
    """So many bytes."""
    data = bytearray()
    while len(data) < length:
        more = socket.recv(min(length - len(data), 1 << 20))
        if not more:
            raise ConnectionError
        data += more
    return bytes(data)


def killed(act):
    """Another client, ended as by `kill -9` when `act` has returned."""
    child = os.fork()
    if child == 0:
        act()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def kill_server():
    """Ends the server as `kill -9` does."""
    os.kill(int(sys.argv[3]), signal.SIGKILL)
