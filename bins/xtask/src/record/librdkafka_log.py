"""What librdkafka says with "debug=protocol" of what it sends and receives."""
import re

# As the protocol guide names them.
NAMES = {"ApiVersion": "ApiVersions"}


def read(log, said):
    """Lines are "…|SEND|client#kind-1| [thrd:…]: broker: Sent MetadataRequest (v12, 26 bytes @ 0, CorrId 2)"."""
    waiting = {}
    for line in said:
        found = re.search(r"\|(\w+)#(\w+-\d+)\| .*: (Sent|Received) (\w+?)(Request|Response) \(v\d+, (\d+).*CorrId (\d+)", line)
        if found is None:
            continue
        client, instance, what, name, _, size, number = found.groups()
        # Each connection counts for itself; its thread carries the broker's name.
        key = (client, instance, re.search(r"\[thrd:([^\]]*)\]", line)[1], number)
        if what == "Sent":
            waiting[key] = log.begin(NAMES.get(name, name), request_id=number, domain=client, request_bytes=int(size))
        else:
            # It does not count the length and the number that it was found by.
            waiting.pop(key).update(kind="request_response", response_bytes=int(size) + 8)
