"""HTTP that becomes WebSocket: the upgrade is a call, what follows is not HTTP; an upgrade refused, one by what asks for another protocol."""
import sys

import websockets
from client_log import Log, end
from http1_log import Connection, get
from websockets.sync.client import connect
from websockets.sync.server import serve
import threading

PORT = int(sys.argv[1])
log = Log(sys.argv[2], clock=True)


def talk(socket):
    for message in socket:
        socket.send(message)


def choose(connection, request):
    if request.path == "/refused":
        return connection.respond(403, "not you\n")
    if request.path == "/plain":
        return connection.respond(200, "no socket\n")
    return None


server = serve(talk, "127.0.0.1", PORT, process_request=choose, compression=None)
threading.Thread(target=server.serve_forever, daemon=True).start()
for path in ("/chat?room=1", "/refused"):
    entry = log.begin("GET", path, protocol="http1", domain=f"127.0.0.1:{PORT}", endpoint=path.split("?")[0])
    try:
        with connect(f"ws://127.0.0.1:{PORT}{path}", compression=None) as socket:
            end(entry, code=socket.response.status_code)
            for message in ("hello", "GET / HTTP/1.1\r\n\r\n", b"x" * 70_000):
                socket.send(message)
                assert socket.recv() == message
    except websockets.InvalidStatus as error:
        end(entry, "error", error.response.status_code)
one = Connection(log, PORT)
one.do(get("/plain"))
server.shutdown()
log.write()
