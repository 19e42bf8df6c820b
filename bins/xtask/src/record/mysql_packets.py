"""MySQL, logged by the byte."""
import fcntl
import struct
import sys
import termios

import mysql.connector
from client_log import end, receive

QUERY = 3


class Client:
    """The library logs in; commands and answers are read here, packet by packet."""

    def __init__(self, log):
        self.log = log
        entry = log.begin("LOGIN")
        self.server = mysql.connector.connect(
            host="127.0.0.1", port=int(sys.argv[1]), user="root", ssl_disabled=True, use_pure=True, charset="utf8mb4",
            collation="utf8mb4_general_ci", autocommit=None, database="shop")
        # It has sent a statement of its own, too.
        entry.pop("began", None)
        end(entry, code=0)
        self.socket = self.server._socket.sock

    def packet(self):
        head = self.read(4)
        return self.read(int.from_bytes(head[:3], "little"))

    def read(self, length):
        self.count += length
        return receive(self.socket, length)

    def send(self, *texts, pause=0):
        """A pause is a number of bytes, after which it waits until the server has them."""
        entries, sent = [], b""
        for text in texts:
            packet = packets(bytes([QUERY]) + text.encode())
            cut = {"resource_begin": text[:200]} if len(text) > 65_000 else {"resource": text}
            entries.append(self.log.begin("COM_QUERY", protocol="mysql", request_bytes=len(packet), **cut))
            sent += packet
        self.socket.sendall(sent[:pause])
        while pause and int.from_bytes(fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)), sys.byteorder):
            pass
        self.socket.sendall(sent[pause:])
        return entries

    def hear(self, entry):
        """The answer of a query: OK, an error, or columns and rows, each ended by an EOF."""
        self.count = 0
        ends = 2
        while ends:
            packet = self.packet()
            if packet[0] == 0xFF:
                return end(entry, "error", int.from_bytes(packet[1:3], "little"), packet[9:].decode(), response_bytes=self.count)
            if packet[0] == 0xFE and len(packet) < 9:
                ends -= 1
            elif packet[0] == 0 and ends == 2 and self.count == len(packet) + 4:
                break
        end(entry, code=0, response_bytes=self.count)

    def do(self, *texts, **more):
        entries = self.send(*texts, **more)
        for entry in entries:
            self.hear(entry)
        return entries[0]


def packets(payload):
    data, number = b"", 0
    while True:
        part, payload = payload[:0xFFFFFF], payload[0xFFFFFF:]
        data += struct.pack("<I", len(part))[:3] + bytes([number]) + part
        number += 1
        if len(part) < 0xFFFFFF:
            return data
