"""grpcio's server in a process of its own, and connections that are not seen whole.

joined: the capture begins between two calls, with headers in the table that are referred to later
failing: answers of nothing but trailers, a message longer than the server takes
huge: messages of 70 kB both ways, 50 of 2 kB in a stream
slow: an answer, and a deadline that passes
cancelled: before the answer
GOAWAY: the server takes a connection for a while only
cut off: the client is killed while it waits, the server while a client waits
"""
import atexit
import os
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
from client_log import Log, end, recorded
from grpc_log import beginning, finish

PORT = sys.argv[1]
OPTIONS = {"normal": [("grpc.max_receive_message_length", 100_000)], "short": [("grpc.max_connection_age_ms", 200), ("grpc.max_connection_age_grace_ms", 10_000)]}


def serve(options):
    def get(request, context):
        if request == b"none":
            context.abort(grpc.StatusCode.NOT_FOUND, "no order")
        if request == b"slow":
            time.sleep(0.3)
        if request == b"never":
            time.sleep(60)
        return b"x" * int(request[:5]) if request.isdigit() else b"fine"

    def listing(request, context):
        for _ in range(int(request)):
            yield b"y" * 2000

    methods = {"Get": grpc.unary_unary_rpc_method_handler(get), "List": grpc.unary_stream_rpc_method_handler(listing)}
    server = grpc.server(futures.ThreadPoolExecutor(8), options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Orders", methods),))
    assert server.add_insecure_port(f"127.0.0.1:{PORT}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


def ask(request):
    """What the killed client does."""
    call = grpc.insecure_channel(f"127.0.0.1:{PORT}").unary_unary("/shop.Orders/Get").future(request)
    threading.Event().wait(0.5)
    os.kill(os.getpid(), 9)


if sys.argv[2] == "serve":
    serve(OPTIONS[sys.argv[3]])
    sys.exit()
if sys.argv[2] == "ask":
    ask(b"never")


def another(*arguments):
    return subprocess.Popen([sys.executable, __file__, PORT, *arguments], stdout=subprocess.PIPE, text=True)


def server(kind):
    process = another("serve", kind)
    atexit.register(process.kill)
    assert process.stdout.readline() == "ready\n"
    return process


log = Log(sys.argv[2], clock=True)
begin = beginning(log, PORT)


def future(channel, request, **more):
    return channel.unary_unary("/shop.Orders/Get").future(request, **more)


def unary(channel, request, received=1, **more):
    return finish(begin("Get", 1, received), future(channel, request, **more))


normal = server("normal")
late = grpc.insecure_channel(f"127.0.0.1:{PORT}")
future(late, b"before").result()
recorded()
# The table holds what would say that this is gRPC. The outcome is seen all the same.
for request, status, message in ((b"after", "ok", ""), (b"none", "error", "no order")):
    call = future(late, request)
    assert (call.code() is grpc.StatusCode.OK) == (status == "ok")
    entry = log.begin("POST", protocol="http2", captured_complete=False)
    entry.pop("began")
    end(entry, status, 200, message)
    entry["resource"] = None
channel = grpc.insecure_channel(f"127.0.0.1:{PORT}", options=[("grpc.use_local_subchannel_pool", 1)])
unary(channel, b"hello")
unary(channel, b"none", 0)
unary(channel, b"70000")
unary(channel, b"0" * 70_000)
unary(channel, b"0" * 110_000, 0)
entry = begin("List", 1, 50)
call = channel.unary_stream("/shop.Orders/List")(b"50")
assert len(list(call)) == 50
end(entry, code=0)
unary(channel, b"slow")["at_least_ns"] = 300_000_000
unary(channel, b"never", 0, timeout=0.2)
entry = begin("Get", 1, 0)
call = future(channel, b"never")
time.sleep(0.1)
call.cancel()
finish(entry, call)
another("ask").wait()
# What the server says then nobody hears.
begin("Get", 1).pop("began")
entry = begin("Get", 1, 0)
call = future(channel, b"never")
time.sleep(0.1)
normal.kill()
assert call.code() is grpc.StatusCode.UNAVAILABLE
end(entry, "cancelled")
channel.close()
late.close()
normal.wait()
short = server("short")
channel = grpc.insecure_channel(f"127.0.0.1:{PORT}", options=[("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100)])
# Over several connections: a call that is under way when the server says that it wants no more is answered.
for _ in range(6):
    entry = begin("Get", 1, 1)
    entry.pop("began")
    finish(entry, future(channel, b"slow", wait_for_ready=True))
channel.close()
short.kill()
short.wait()
log.write()
