"""HTTP/1 over sockets of our own, and by curl, logged by the byte."""
import json
import re
import socket
import subprocess
from urllib.parse import urlsplit

from client_log import end

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def low(path):
    """The path without its query and, in place of numbers, `{}`."""
    return re.sub(r"/\d+(?=/|$)", "/{}", path.split("?")[0])


def curl(log, base, *arguments, **known):
    """Each transfer says what was sent and received. What it had to send again or in pieces it does not count."""
    arguments = [argument.replace("BASE", base) for argument in arguments]
    command = ["curl", "-s", "-w", "%{stderr}%{json}\n", *arguments]
    ran = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for said in map(json.loads, ran.stderr.splitlines()):
        url = urlsplit(said["url_effective"])
        path = url.path + (f"?{url.query}" if url.query else "")
        entry = log.begin(said["method"], path, protocol="http1", domain=url.netloc, endpoint=low(path), **known)
        code = said["response_code"]
        # It counts whole microseconds.
        entry.pop("began")
        entry["elapsed_ns"] = round(said["time_total"] * 1e9) + 1000
        if code == 0:
            entry.update(status="unanswered")
            continue
        end(entry, "ok" if code < 400 else "error", code)
        if said["size_upload"] == 0:
            entry["request_bytes"] = said["size_request"]
        # It takes 100 Continue for a part of the answer.
        if "--compressed" not in arguments and "Expect: 100-continue" not in arguments and said["exitcode"] == 0:
            entry["response_bytes"] = said["size_header"] + said["size_download"]


class Connection:
    """A connection of our own: what is sent is written down before, what came after."""

    def __init__(self, log, port):
        self.log = log
        self.host = f"127.0.0.1:{port}"
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.received = b""
        self.waiting = []

    def send(self, *requests):
        """Requests in one segment, each a method, a path, further headers and a body."""
        data = b""
        for method, path, headers, body in requests:
            lines = "".join(f"{header}\r\n" for header in headers)
            if body is not None and not any(header.startswith(("Transfer-Encoding", "Content-Length")) for header in headers):
                lines += f"Content-Length: {len(body)}\r\n"
            message = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\n{lines}\r\n".encode() + (body or b"")
            entry = self.log.begin(
                method, path, protocol="http1", domain=self.host, endpoint=low(path), request_bytes=len(message))
            self.waiting.append(entry)
            data += message
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(1 << 20)
        self.received += data
        return data

    def head(self):
        """Waits for the head of an answer; gives its status, its headers and how long it is."""
        while b"\r\n\r\n" not in self.received:
            if not self.more():
                return None
        length = self.received.index(b"\r\n\r\n") + 4
        lines = self.received[:length].decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        return int(lines[0].split(" ")[1]), headers, length

    def hear(self):
        """One answer, whole."""
        entry = self.waiting.pop(0)
        while True:
            code, headers, length = self.head()
            if code >= 200:
                break
            self.received = self.received[length:]
        if entry["operation"] != "HEAD" and code not in (204, 304):
            if headers.get("transfer-encoding") == "chunked":
                while not self.received.endswith(b"0\r\n\r\n"):
                    self.more()
                length = len(self.received)
            elif "content-length" in headers:
                length += int(headers["content-length"])
            else:
                while self.more():
                    pass
                length = len(self.received)
        while len(self.received) < length:
            if not self.more():
                break
        complete = len(self.received) >= length
        self.received = self.received[length:]
        end(entry, "ok" if code < 400 else "error", code)
        if complete:
            entry["response_bytes"] = length
        return entry

    def do(self, *requests):
        self.send(*requests)
        return [self.hear() for _ in requests]

    def unanswered(self):
        for entry in self.waiting:
            end(entry, "unanswered")
        self.waiting = []


def get(path, *headers):
    return "GET", path, headers, None


def post(path, body, *headers):
    return "POST", path, headers, body
