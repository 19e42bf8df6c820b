"""Logs where aiokafka sends and hears."""
import re

from aiokafka.conn import AIOKafkaConnection
from client_log import end

# As the protocol guide names them.
NAMES = {"ApiVersion": "ApiVersions", "Offset": "ListOffsets", "GroupCoordinator": "FindCoordinator"}
TOPIC_LISTS = ("topics", "create_topic_requests")
send = AIOKafkaConnection.send


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


def logged(log, connection, request, expect_response=True):
    sent = send(connection, request, expect_response)
    struct = request.prepare(connection._versions)
    name = re.sub(r"Request(_v\d+)?$", "", type(struct).__name__)
    known = {"request_id": str(connection._correlation_id), "domain": connection._client_id}
    entry = log.begin(NAMES.get(name, name), topics(struct.to_object()), **known)
    if not expect_response:
        end(entry, "one_way")
        return sent

    async def answered():
        response = await sent
        code = next((code for code in codes(response.to_object()) if code != 0), 0)
        entry["code"] = str(code)
        if code == 0:
            entry["status"] = "ok"
        return response

    return answered()


def write_to(log):
    AIOKafkaConnection.send = lambda *arguments, **more: logged(log, *arguments, **more)
