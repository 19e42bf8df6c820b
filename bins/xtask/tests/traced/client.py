"""Clients that log each request: who asked, and when, by their own clock, it began and ended.

A line of the log: pid, began_ns, ended_ns, and fields of the call that the client knows.
"""
import asyncio
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time

NO_CHECKS = ssl._create_unverified_context()


def log(began, pid=None, **known):
    print(json.dumps({"pid": pid or os.getpid(), "began_ns": began, "ended_ns": time.time_ns(), **known}), flush=True)


def receive(connection, enough):
    """Until there is enough of it."""
    data = b""
    while not enough(data):
        more = connection.recv(1 << 16)
        if not more:
            raise ConnectionError(data)
        data += more
    return data


def whole(answer):
    head, end, body = answer.partition(b"\r\n\r\n")
    length = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    return end and len(body) >= int(length[0])


def asked(began, request, answer):
    method, path, _ = request.decode().split(" ", 2)
    log(began, protocol="http1", request_type=method, resource=path, status_code=answer.split(b" ")[1].decode(),
        request_bytes=len(request), response_bytes=len(answer))


def requests(count):
    for number in range(int(count)):
        body = b"x" * (1000 * number)
        yield (f"{'POST' if number % 2 else 'GET'} /orders/{os.getpid()}/{number} HTTP/1.1\r\nHost: shop\r\n".encode()
               + (b"Content-Length: %d\r\n\r\n" % len(body) + body if number % 2 else b"\r\n"))


def plain(port, count, connection=None):
    """HTTP/1 over a socket of our own."""
    connection = connection or socket.create_connection(("127.0.0.1", int(port)))
    for request in requests(count):
        began = time.time_ns()
        connection.sendall(request)
        asked(began, request, receive(connection, whole))
    connection.close()


def tls(port, count):
    """The same within TLS."""
    plain(port, count, NO_CHECKS.wrap_socket(socket.create_connection(("127.0.0.1", int(port)))))


def library(port, count):
    """What Python's own client asks within TLS."""
    client = http.client.HTTPSConnection("127.0.0.1", int(port), context=NO_CHECKS)
    for number in range(int(count)):
        path = f"/orders/{os.getpid()}/{number}"
        began = time.time_ns()
        client.request("GET", path)
        answer = client.getresponse()
        answer.read()
        log(began, protocol="http1", request_type="GET", resource=path, status_code=str(answer.status))
    client.close()


def memory(port, count):
    """asyncio encrypts in memory: the library never sees a socket."""
    async def ask():
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port), ssl=NO_CHECKS)
        for request in requests(count):
            began = time.time_ns()
            writer.write(request)
            await writer.drain()
            answer = b""
            while not whole(answer):
                answer += await reader.read(1 << 16)
            asked(began, request, answer)
        writer.close()
        await writer.wait_closed()
    asyncio.run(ask())


def run(command, **known):
    """Another program that asks once."""
    began = time.time_ns()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    output, errors = child.communicate()
    assert child.returncode == 0, errors
    log(began, child.pid, **known)
    return output


def curl(port, version, *paths):
    for path in paths:
        url = f"https://127.0.0.1:{port}{path}"
        began = time.time_ns()
        command = ["curl", "-sk", f"--http{version}", "-o", "/dev/null", "-w", "%{http_version} %{response_code}", url]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        spoken, code = child.communicate()[0].decode().split()
        assert spoken == version, spoken
        log(began, child.pid, protocol="http" + version[0], request_type="GET", resource=path, status_code=code)


def nghttp(port, *paths):
    """All at once on one connection."""
    began = time.time_ns()
    child = subprocess.Popen(["nghttp", "-n", *(f"https://127.0.0.1:{port}{path}" for path in paths)],
                             stderr=subprocess.DEVNULL)
    assert child.wait() == 0
    for path in paths:
        log(began, child.pid, protocol="http2", request_type="GET", resource=path)


def redis(address, count):
    """Each command alone, and then all of them at once."""
    def connect():
        if address.startswith("/"):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(address)
            return connection
        return socket.create_connection(("127.0.0.1", int(address)))
    def command(*words):
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    pairs = []
    for number in range(int(count)):
        key = b"key:%d:%d" % (os.getpid(), number)
        value = b"v" * (500 * number + 1)
        pairs += [(("SET", command(b"SET", key, value)), b"+OK\r\n"),
                  (("GET", command(b"GET", key)), b"$%d\r\n%s\r\n" % (len(value), value))]
    def known(name, request, answer):
        transport = "unix" if address.startswith("/") else "tcp"
        return dict(protocol="redis", transport=transport, request_type=name, status="ok", request_bytes=len(request),
                    response_bytes=len(answer))
    with connect() as connection:
        for (name, request), answer in pairs:
            began = time.time_ns()
            connection.sendall(request)
            assert receive(connection, lambda data: len(data) >= len(answer)) == answer
            log(began, **known(name, request, answer))
        began = time.time_ns()
        connection.sendall(b"".join(request for (_, request), _ in pairs))
        expected = b"".join(answer for _, answer in pairs)
        assert receive(connection, lambda data: len(data) >= len(expected)) == expected
        for (name, request), answer in pairs:
            log(began, **known(name, request, answer))


def psql(host, port, *statements):
    """A program for each statement. The protocol frames a statement in six bytes."""
    for statement in statements:
        run(["psql", "-X", "-q", "-o", "/dev/null", f"host={host} port={port} dbname=shop user=postgres", "-c", statement],
            protocol="postgresql", transport="unix" if host.startswith("/") else "tcp", request_type="QUERY", resource=statement,
            status="ok", request_bytes=len(statement) + 6)


def mariadb(path, *statements):
    """The same with a byte for the command behind four of the frame."""
    for statement in statements:
        run(["mariadb", "--no-defaults", f"--socket={path}", "-uroot", "--skip-ssl", "shop", "-e", statement],
            protocol="mysql", transport="unix", request_type="COM_QUERY", resource=statement, status="ok",
            request_bytes=len(statement) + 5)


def opened(port, count):
    """A connection that is open when the log says so, and used later."""
    connection = socket.create_connection(("127.0.0.1", int(port)))
    began, request = time.time_ns(), b"GET /early HTTP/1.1\r\nHost: shop\r\n\r\n"
    connection.sendall(request)
    receive(connection, whole)
    print("ready", flush=True)
    sys.stdin.readline()
    plain(port, count, connection)


globals()[sys.argv[1]](*sys.argv[2:])
