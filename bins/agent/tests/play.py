"""Plays recorded conversations over real sockets: what each side sent, one turn after the other, both sides in this process.

The file has a JSON object a line: transport, port of the server, turns of side ("c" or "s") and bytes in hexadecimal digits."""
import json
import socket
import sys


def receive(end, length):
    while length > 0:
        length -= len(end.recv(min(length, 1 << 16)))


def tcp(port, turns):
    with socket.create_server(("127.0.0.1", port)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        for side, data in turns:
            sender, receiver = (client, server) if side == "c" else (server, client)
            sender.sendall(data)
            receive(receiver, len(data))


def udp(port, turns):
    with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", port))
        client.connect(server.getsockname())
        for side, data in turns:
            if side == "c":
                client.send(data)
                _, asker = server.recvfrom(1 << 16)
            else:
                server.sendto(data, asker)
                client.recv(1 << 16)


with open(sys.argv[1]) as conversations:
    for line in conversations:
        spoken = json.loads(line)
        turns = [(side, bytes.fromhex(data)) for side, data in spoken["turns"]]
        (tcp if spoken["transport"] == "tcp" else udp)(spoken["port"], turns)
