"""Calls of grpcio, logged."""
import grpc
from client_log import end


def beginning(log, port):
    """What begins an entry for a call of a method, with the numbers of messages that the client knows of."""

    def begin(method, sent=None, received=None, **known):
        counts = {"message_count_request": sent, "message_count_response": received}
        counts = {name: count for name, count in counts.items() if count is not None}
        return log.begin(
            method, f"/shop.Orders/{method}", protocol="grpc", domain=f"127.0.0.1:{port}", attributes=counts, **known)

    return begin


def finish(entry, call):
    code = call.code()
    # The duration ends before the trailers come.
    if code in (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED):
        end(entry, "cancelled", code.value[0])
    elif code is grpc.StatusCode.OK:
        end(entry, code=0)
    else:
        end(entry, "error", code.value[0], call.details())
    return entry
