"""Logs where aiokafka sends and hears."""
import re
import time

from aiokafka.conn import AIOKafkaConnection
from client_log import end

# As the protocol guide names them.
NAMES = {"ApiVersion": "ApiVersions", "Offset": "ListOffsets", "GroupCoordinator": "FindCoordinator"}
TOPIC_LISTS = ("topics", "create_topic_requests")
send = AIOKafkaConnection.send
hear = AIOKafkaConnection._handle_frame
sizes = {}


def topics(fields):
    names = []
    for key in TOPIC_LISTS:
        for topic in fields.get(key) or []:
            names.append(topic if isinstance(topic, str) else topic.get("topic", topic.get("name")))
    return ",".join(dict.fromkeys(names)) or None


def codes(fields):
    if isinstance(fields, dict):
        if "error_code" in fields:
            yield fields["error_code"]
        fields = fields.values()
    if not isinstance(fields, (str, bytes, int, type(None))):
        for field in fields:
            yield from codes(field)


def heard(connection, answer):
    """Each connection keeps how long its answers were."""
    sizes[id(connection), int.from_bytes(answer[:4], "big")] = 4 + len(answer)
    return hear(connection, answer)


def logged(log, connection, request, expect_response=True):
    began = time.monotonic_ns()
    sent = send(connection, request, expect_response)
    struct = request.prepare(connection._versions)
    number = connection._correlation_id
    header = struct.build_request_header(correlation_id=number, client_id=connection._client_id)
    name = re.sub(r"Request(_v\d+)?$", "", type(struct).__name__)
    entry = log.begin(
        NAMES.get(name, name), topics(struct.to_object()), request_id=str(number), domain=connection._client_id,
        request_bytes=4 + len(header.encode()) + len(struct.encode()))
    entry.pop("began", None)
    if not expect_response:
        end(entry, "one_way")
        return sent
    entry["kind"] = "request_only"

    async def answered():
        response = await sent
        code = next((code for code in codes(response.to_object()) if code != 0), 0)
        entry.update(kind="request_response", code=str(code), response_bytes=sizes.pop((id(connection), number)))
        entry["elapsed_ns"] = time.monotonic_ns() - began
        if code == 0:
            entry["status"] = "ok"
        return response

    return answered()


def write_to(log):
    AIOKafkaConnection.send = lambda *arguments, **more: logged(log, *arguments, **more)
    AIOKafkaConnection._handle_frame = heard
