"""A gRPC client and its server, in one process."""
import sys
import threading
from concurrent import futures

import grpc
from client_log import Log
from grpc_log import beginning, finish

PORT = sys.argv[1]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
log = Log(sys.argv[2])
over = threading.Event()


def get(request, context):
    if request == b"none":
        context.abort(grpc.StatusCode.NOT_FOUND, "no order \u201c17\u201d: 100 % gone\n")
    if request.startswith(b"code "):
        context.abort(next(code for code in grpc.StatusCode if code.value[0] == int(request[5:])), request.decode())
    if request == b"raise":
        raise KeyError("order")
    if request == b"slow":
        over.wait(60)
    context.set_trailing_metadata((("served-by", "one"),))
    return b"x" * int(request) if request.isdigit() else request


def listing(request, context):
    for number in range(int(request)):
        yield b"order %d" % number
    if request == b"4":
        context.abort(grpc.StatusCode.DATA_LOSS, "the fifth is lost")


def upload(requests, context):
    return b"%d" % sum(1 for _ in requests)


def chat(requests, context):
    for request in requests:
        yield b"you said " + request


METHODS = {
    "Get": grpc.unary_unary_rpc_method_handler(get),
    "List": grpc.unary_stream_rpc_method_handler(listing),
    "Upload": grpc.stream_unary_rpc_method_handler(upload),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
}
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Orders", METHODS),))
assert server.add_insecure_port(f"127.0.0.1:{PORT}")
server.start()
channel = grpc.insecure_channel(f"127.0.0.1:{PORT}")
begin = beginning(log, PORT)


def unary(request, method="Get", received=1, timeout=None, **known):
    entry = begin(method, 1, received, **known)
    metadata = [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")] if "trace_id" in known else []
    call = channel.unary_unary(f"/shop.Orders/{method}").future(request, timeout=timeout, metadata=metadata)
    return entry, call


def done(entry, call):
    call.exception()
    finish(entry, call)


done(*unary(b"hello"))
done(*unary(b"hello", trace_id=TRACE))
done(*unary(b"", timeout=30))
done(*unary(b"3000"))
done(*unary(b"y" * 3000))
done(*unary(b"none", received=0))
for code in (3, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16):
    done(*unary(b"code %d" % code, received=0))
done(*unary(b"raise", received=0))
done(*unary(b"what", method="Unknown", received=0))
# Several at once.
for entry, call in [unary(b"%d" % number) for number in range(6)]:
    done(entry, call)

for count in (0, 3, 4):
    entry = begin("List", 1, count)
    call = channel.unary_stream("/shop.Orders/List")(b"%d" % count)
    try:
        assert len(list(call)) == count
    except grpc.RpcError:
        pass
    finish(entry, call)
for count in (0, 5):
    entry = begin("Upload", count, 1)
    answer, call = channel.stream_unary("/shop.Orders/Upload").with_call(iter([b"part"] * count))
    assert answer == b"%d" % count
    finish(entry, call)
entry = begin("Chat", 3, 3)
call = channel.stream_stream("/shop.Orders/Chat")(iter([b"one", b"two", b"three"]))
assert len(list(call)) == 3
finish(entry, call)

# Cancelled after the first answer.
entry = begin("Chat", 1, 1)
said = threading.Event()


def first_only():
    yield b"one"
    said.wait(60)


call = channel.stream_stream("/shop.Orders/Chat")(first_only())
next(call)
call.cancel()
said.set()
finish(entry, call)
# The deadline passes.
done(*unary(b"slow", received=0, timeout=0.2))
over.set()
channel.close()
server.stop(None).wait()
log.write()
