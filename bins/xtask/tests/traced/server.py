"""Servers of Python's library. Each says its port when it listens, and ends with its standard input."""
import asyncio
import http.server
import os
import socketserver
import ssl
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b"order\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


class Forking(socketserver.ForkingTCPServer):
    allow_reuse_address = True


def serve(server):
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


def plain():
    serve(http.server.HTTPServer(("127.0.0.1", 0), Handler))


def tls(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/certificate", f"{folder}/key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    serve(server)


def forking():
    """A process for each connection."""
    with Forking(("127.0.0.1", 0), Handler) as server:
        serve(server)


def looping():
    """One thread for all connections."""
    async def answer(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
                await reader.readexactly(int(length[0]) if length else 0)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norder\n")
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        os._exit(0)
    asyncio.run(main())


globals()[sys.argv[1]](*sys.argv[2:])
